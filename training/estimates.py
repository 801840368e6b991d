"""Figures with their number of cases and a 95 % interval.

Ranked figures (AUROC, average precision) get a bootstrap over patients, because studies of one
patient resemble each other. Plain proportions get Wilson's interval, which keeps a width where all
of a few cases agree.

Source: Wilson, Probable inference, 1927; Efron and Tibshirani, An introduction to the bootstrap.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.metrics import percentile_interval

RESAMPLES: Final = 1000
"""Enough for the second decimal of a 2.5 % quantile."""

Z_95: Final = 1.959964
"""97.5 % quantile of the normal distribution."""

Weights = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure.

    Attributes:
        value: None where there is nothing to compute it from.
        n: Cases it stands on: studies, positives, boxes, as its name says.
        interval: 95 %; None where there is none.
    """

    value: float | None
    n: int
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        """Such as `0.973 (0.951 to 0.990)`."""
        if self.value is None:
            return "\N{EN DASH}"
        if self.interval is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.interval[0]:.3f} to {self.interval[1]:.3f})"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        interval = list(self.interval) if self.interval else None
        return {"value": self.value, "n": self.n, "interval_95": interval}


def patient_resamples(patients: Sequence[str], *, resamples: int, seed: int = 0) -> Weights:
    """How often each study stands in each bootstrap resample of patients.

    Args:
        patients: (N,) patient of each study.
        resamples: How many.
        seed: Of the resampling.

    Returns:
        (resamples, N) counts from 0.
    """
    names = {name: index for index, name in enumerate(dict.fromkeys(patients))}
    of_study = np.asarray([names[name] for name in patients], np.int64)
    generator = np.random.default_rng(seed)
    count = len(names)
    drawn = [
        np.bincount(generator.integers(0, count, count), minlength=count)[of_study]
        for _ in range(resamples if count else 0)
    ]
    return np.asarray(drawn, np.int64).reshape(-1, len(patients))


def bootstrapped(
    statistic: Callable[[npt.NDArray[np.intp]], float], weights: Weights, *, n: int
) -> Estimate:
    """A statistic of studies with its bootstrap interval.

    Args:
        statistic: Given positions of studies, repeats included, the figure or NaN.
        weights: From `patient_resamples`.
        n: Cases to report.
    """
    positions = np.arange(weights.shape[1])
    value = statistic(positions)
    return estimate(value, [statistic(np.repeat(positions, row)) for row in weights], n=n)


def estimate(value: float, drawn: npt.ArrayLike, *, n: int) -> Estimate:
    """A figure from its value and its resampled values; NaN becomes None."""
    if not math.isfinite(value):
        return Estimate(None, n, None)
    low, high = percentile_interval(drawn)
    return Estimate(float(value), n, (low, high) if math.isfinite(low) else None)


def proportion(hits: int, n: int) -> Estimate:
    """A proportion with Wilson's interval."""
    if not n:
        return Estimate(None, 0, None)
    share = hits / n
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    # at the ends of [0, 1] rounding must not leave the proportion outside its own interval
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Estimate(share, n, (low, high))
