"""What fewer proposals cost, as it is printed."""

import dataclasses

from export.gate import Verdict
from export.proposals import Cost, main, table


def test_the_table_shows_each_number_beside_the_first():
    first = Verdict(
        figure="mean AP50",
        data="200 validation studies of phantoms",
        n=200,
        float32=0.5638,
        candidate=0.5638,
        fall_at_most=0.0,
        agreement=1.0,
    )
    fewer = dataclasses.replace(first, candidate=0.563, fall_at_most=0.0064, agreement=0.973)
    better = dataclasses.replace(first, candidate=0.57, fall_at_most=-0.001)
    lines = table([Cost(1000, first, 290), Cost(100, fewer, 153.4), Cost(50, better, 1)]).split(
        "\n"
    )
    assert lines[1].split() == ["1000", "0.5638", "0.0000", "100.0%", "290"]
    assert lines[2].split() == ["100", "0.5630", "0.0064", "97.3%", "153"]
    assert lines[3].split()[2] == "0.0000"  # it rose
    assert "200 validation studies of phantoms" in lines[4]


def test_a_number_that_is_none_is_refused(tmp_path, capsys):
    assert main(["none.pth", "--data", str(tmp_path), "--counts", "300", "0"]) == 1
    assert "--counts are from 1 on" in capsys.readouterr().err
