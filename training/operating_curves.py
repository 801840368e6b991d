"""What other thresholds than the chosen one gave on validation, compactly, for model.json.

A viewer with a slider can then say what a threshold stands for. Every point is one that was
measured; none is interpolated.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.predictions import FloatArray
from training.ranking import Ranking

TRIAGE_POINTS: Final = 50
"""Most points of a classifier's curve: a step of a slider each."""

DETECTOR_POINTS: Final = 20
"""Most points for each class of a detector."""

DECIMALS: Final = 4


def triage_curve(
    probabilities: FloatArray,
    truth: npt.NDArray[np.bool_],
    *,
    candidates: FloatArray,
    chosen: float,
    data: str,
) -> dict[str, Any]:
    """Sensitivity and specificity by threshold, as model.json's `operating_curve` has it.

    Args:
        probabilities: (N,) of the positive label, as records show them.
        truth: (N,) abnormal or not.
        candidates: (T,) thresholds that differ in their effect, ascending.
        chosen: The operating point; always among the points.
        data: Name of the data.
    """
    thresholds = _thinned(candidates, chosen=chosen, most=TRIAGE_POINTS)
    return {
        "data": data,
        "n_positive": int(truth.sum()),
        "n_negative": int((~truth).sum()),
        "points": [
            {
                "threshold": threshold,
                "sensitivity": round(float((probabilities[truth] >= threshold).mean()), DECIMALS),
                "specificity": round(float((probabilities[~truth] < threshold).mean()), DECIMALS),
            }
            for threshold in thresholds
        ],
    }


def detector_curve(
    rankings: Mapping[str, Ranking], *, chosen: Mapping[str, float], data: str
) -> dict[str, Any]:
    """Sensitivity and false boxes by class and threshold, as `operating_curve` has it.

    A class without a true box has no sensitivity, and is left out.

    Args:
        rankings: On the validation studies.
        chosen: The operating thresholds; always among the points.
        data: Name of the data.
    """
    labels = {}
    for label, ranking in rankings.items():
        boxes, films = int(ranking.truths.sum()), int(ranking.judged.sum())
        if not boxes:
            continue
        points = []
        candidates = np.unique(ranking.scores.round(DECIMALS))
        for threshold in _thinned(candidates, chosen=chosen[label], most=DETECTOR_POINTS):
            hits, false = ranking.above(threshold)
            points.append(
                {
                    "threshold": threshold,
                    "sensitivity": round(hits / boxes, DECIMALS),
                    "false_boxes_per_image": round(false / films, DECIMALS),
                }
            )
        labels[label] = {"boxes": boxes, "images": films, "points": points}
    return {"data": data, "labels": labels}


def _thinned(candidates: FloatArray, *, chosen: float, most: int) -> list[float]:
    """Evenly many of the candidates, ascending, with both ends and the chosen one."""
    if len(candidates) >= most:
        kept = np.linspace(0, len(candidates) - 1, most - 1).round().astype(int)
        candidates = candidates[kept]
    return sorted({round(float(value), DECIMALS) for value in (*candidates, chosen)})
