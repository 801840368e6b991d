"""The whole command on small inputs: the files it writes, and figures that follow from times."""

import importlib.util
import json
import statistics

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from export.bench import main
from export.bench_cases import EAGER, EAGER_FEWER, FLOAT32, INT8, OPENVINO, STOCK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The command, with the smallest inputs that both networks take."""
    out = tmp_path_factory.mktemp("bench")
    arguments = ["--quick", "--rounds", "1", "--no-path", "--classifier-px", "64"]
    assert main([*arguments, "--detector-px", "64", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def result(written):
    return json.loads((written / "bench.json").read_text())


def case(result, key):
    return next(case for case in result["cases"] if case["key"] == key)


def rows(result, key):
    return {row["backend"]: row for row in case(result, key)["rows"]}


def test_every_backend_that_is_installed_is_measured(result):
    expected = {EAGER, STOCK, FLOAT32, INT8}
    if importlib.util.find_spec("openvino"):
        expected.add(OPENVINO)
    else:
        assert any(line.startswith("OpenVINO: not installed") for line in result["left_out"])
    assert set(rows(result, "classifier_64")) == expected
    assert set(rows(result, "detector_64")) == expected | {EAGER_FEWER}


def test_openvino_answers(result):
    pytest.importorskip("openvino", reason="pip install -e '.[bench]' to measure OpenVINO")
    assert rows(result, "detector_64")[OPENVINO]["median_ms"] > 0


def test_ratios_follow_from_the_medians(result):
    for key in ("classifier_64", "detector_64"):
        found = rows(result, key)
        for row in found.values():
            assert row["ratio"] == pytest.approx(found[EAGER]["median_ms"] / row["median_ms"])
            (turn,) = row["round_medians_ms"]
            assert row["median_ms"] == pytest.approx(turn)
    found = rows(result, "detector_64")
    assert found[FLOAT32]["ratio_equal_proposals"] == pytest.approx(
        found[EAGER_FEWER]["median_ms"] / found[FLOAT32]["median_ms"]
    )
    for task in ("classifier", "detector"):  # in the form that ships
        form = result[f"{task}_form"]
        assert result[f"{task}_ratio"] == rows(result, f"{task}_64")[form]["ratio"]


def test_percentages_follow_from_operations_time_and_peak(result):
    for key in ("classifier_64", "detector_64"):
        peak = case(result, key)["peak_gops"]
        rates = case(result, key)["peak_candidates_gops"].values()
        assert set(peak) == {"float32", "int8"}
        assert max(peak.values()) == max(rates)
        for row in rows(result, key).values():
            reached = row["gop"] / (row["median_ms"] / 1e3)
            assert row["percent_of_peak"] == pytest.approx(100 * reached / peak[row["precision"]])
    assert (
        result["detector_percent_of_peak"]
        == rows(result, "detector_64")[result["detector_form"]]["percent_of_peak"]
    )


def test_operations_are_those_of_the_networks(result):
    # EfficientNet-B4 at 380 px is known to take 4.2 to 4.5 billion multiply-accumulates
    gop = statistics.median(row["gop"] for row in rows(result, "classifier_64").values())
    assert gop / 2 * (380 / 64) ** 2 == pytest.approx(4.4, rel=0.15)
    found = rows(result, "detector_64")
    # of so small an input, suppression leaves fewer regions than 1,000 or even 300
    assert found[EAGER]["gop"] == found[STOCK]["gop"]
    assert found[EAGER_FEWER]["gop"] == found[INT8]["gop"] == found[FLOAT32]["gop"]


def test_everything_has_memory_size_and_loading_time(result):
    for one in result["cases"]:
        for row in one["rows"]:
            assert row["peak_memory_mb"] > 20, row["backend"]
            assert row["disk_mb"] > 1, row["backend"]
            assert 0 < row["load_s"] < row["start_s"], row["backend"]


def test_the_pair_that_ships_is_measured_as_it_is(result):
    names = [row["backend"] for row in case(result, "shipped")["rows"]]
    assert [name.split(",")[0] for name in names] == [
        "models/demo/classifier",
        "models/demo/detector",
    ]


def test_the_machine_and_the_date_are_kept(result):
    assert result["machine"]["processors"] >= 1
    assert result["machine"]["versions"]["torch"]
    assert set(result["load_average"]) == {"before", "after"}
    assert result["quick"] is True
    assert result["path"] is None
    assert result["path_ratio"] is None


def test_table_and_picture_lie_beside(written):
    assert "| **ours, float32** |" in (written / "bench.md").read_text()
    assert (written / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_pair_is_said_before_anything_is_measured(tmp_path, capsys):
    assert main(["--models", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1
    assert "name one with --models" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
