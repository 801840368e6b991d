"""The batch function beside the three stages: the arithmetic, and one small run."""

import pytest

from infra.batch_rate import Rates, Spent, measure, table
from lambdas.shared.limits import MIB
from tests.builders import film, png


def test_ratios_are_medians_of_rounds_and_not_of_sums():
    """One slow round of the stages must not decide."""
    rates = Rates(
        images=10,
        batch=[Spent(2, 1.0), Spent(2, 1.0), Spent(4, 2.0)],
        stages=[Spent(3, 2.0), Spent(40, 2.0), Spent(6, 4.0)],
        memory=[500 * MIB, 510 * MIB, 512 * MIB],
    )
    assert rates.ratio == 1.5
    assert rates.cpu_ratio == 2
    lines = table(rates).splitlines()
    assert lines[1].split()[:3] == ["batch", "5.00", "images/s"]
    assert "100 ms of processor time an image" in lines[1]
    assert lines[3].split() == ["ratio", "1.50", "2.00"]
    assert "500 MiB after the first round, 512 after the last" in lines[4]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_ways_are_measured_on_the_same_images(tiny_models_folder, tmp_path):
    (tmp_path / "film.png").write_bytes(png(film()))
    told = []
    rates = measure(tmp_path, tiny_models_folder, rounds=1, images=4, tell=told.append)
    assert len(rates.batch) == len(rates.stages) == len(rates.memory) == 1
    assert all(spent.seconds > 0 and spent.cpu_s > 0 for spent in (*rates.batch, *rates.stages))
    assert rates.memory[0] > 0
    assert len(told) == 2
