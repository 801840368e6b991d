import math

import numpy as np
import pytest

from training.estimates import Estimate, bootstrapped, estimate, patient_resamples, proportion
from training.metrics import auroc


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Wilson 1927 as tabulated, to 3 decimals
        (8, 10, 0.490, 0.943),
        (0, 10, 0.0, 0.278),
        (10, 10, 0.722, 1.0),
        (50, 100, 0.404, 0.596),
    ],
)
def test_proportion_has_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    answer = proportion(hits, n)
    assert answer.value == hits / n
    assert answer.interval == pytest.approx((low, high), abs=5e-4)
    assert answer.interval[0] <= answer.value <= answer.interval[1]


def test_proportion_of_nothing_is_no_number() -> None:
    assert proportion(0, 0) == Estimate(None, 0, None)


def test_resamples_keep_a_patients_studies_together() -> None:
    weights = patient_resamples(["a", "b", "a", "c"], resamples=200, seed=1)
    assert weights.shape == (200, 4)
    assert (weights[:, 0] == weights[:, 2]).all()
    # three patients are drawn with replacement from three
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len({tuple(row) for row in weights.tolist()}) > 5


def test_clustering_widens_the_interval() -> None:
    """Twenty copies of each patient's study are not twenty times the evidence."""
    truth = np.tile([True, True, False, False, True, False], 20)
    scores = np.tile([0.9, 0.4, 0.5, 0.1, 0.6, 0.3], 20)

    def interval(patients: list[str]) -> float:
        weights = patient_resamples(patients, resamples=300)
        found = bootstrapped(lambda i: auroc(truth[i], scores[i]), weights, n=len(truth))
        assert found.value == pytest.approx(8 / 9)
        assert found.interval is not None
        return found.interval[1] - found.interval[0]

    alone = interval([str(index) for index in range(120)])
    clustered = interval([str(index % 6) for index in range(120)])
    assert clustered > 3 * alone


def test_no_number_becomes_none_in_json() -> None:
    answer = estimate(math.nan, [math.nan, 0.5], n=3)
    assert answer.to_json() == {"value": None, "n": 3, "interval_95": None}
    assert str(estimate(0.5, [0.4, 0.4, 0.6, 0.6], n=3)) == "0.500 (0.400 to 0.600)"
