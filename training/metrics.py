"""Figures of merit of a classifier and a detector, and their bootstrap intervals.

Plain NumPy on arrays; knows nothing of models, studies or files. Detection follows the COCO
protocol (greedy matching by score, 101-point interpolated precision); the tests hold it against
pycocotools.

Sources: Fawcett, An introduction to ROC analysis, 2006 (AUROC by ranks); Guo et al., On calibration
of modern neural networks, 2017 (ECE); Lin et al., Microsoft COCO, 2014 and pycocotools' COCOeval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

COCO_IOUS: Final = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
"""IoU thresholds that COCO's mAP averages over."""

MAX_DETECTIONS: Final = 100
"""Detections of one class in one image that count, best first; COCO's maxDets."""

FloatArray = npt.NDArray[np.floating[Any]]


def auroc(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    Args:
        truth: (N,) true or 1 where positive.
        scores: (N,) any monotonic score of the positive class.

    Returns:
        In [0, 1]; NaN where one of the two classes is absent.
    """
    positive, values = np.asarray(truth, bool), np.asarray(scores, np.float64)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # ranks from 1, shared by equal scores
    rank_sum = float(mean_rank[inverse][positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def auprc(truth: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision: precision at each threshold, weighted by the recall it gains.

    Args:
        truth: (N,) true or 1 where positive.
        scores: (N,) any monotonic score of the positive class.

    Returns:
        In [0, 1]; NaN where there is no positive.
    """
    positive, values = np.asarray(truth, bool), np.asarray(scores, np.float64)
    if not positive.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(positive[order])
    # equal scores enter together: only the last of a run is a threshold
    last = np.append(np.diff(values[order]) != 0, True)
    precision = (hits / np.arange(1, len(hits) + 1))[last]
    recall = (hits / positive.sum())[last]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def expected_calibration_error(
    truth: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = 15
) -> float:
    """Mean gap between probability and observed frequency over equally wide bins.

    Args:
        truth: (N,) true or 1 where positive.
        probabilities: (N,) of the positive class, in [0, 1].
        bins: Number of bins; 15 as in Guo et al.

    Returns:
        In [0, 1]; NaN without samples.
    """
    positive, values = np.asarray(truth, np.float64), np.asarray(probabilities, np.float64)
    if not len(values):
        return float("nan")
    which = np.minimum((values * bins).astype(int), bins - 1)
    # |sum of p - sum of y| per bin is already the gap weighted by the bin's count
    gaps = np.bincount(which, values - positive, minlength=bins)
    return float(np.abs(gaps).sum() / len(values))


def sensitivity_specificity(
    truth: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: float
) -> tuple[float, float]:
    """Fraction of positives at or above the threshold, and of negatives below it.

    Returns:
        Sensitivity and specificity in [0, 1]; NaN where their class is absent.
    """
    positive = np.asarray(truth, bool)
    called = np.asarray(scores, np.float64) >= threshold
    sensitivity = float(called[positive].mean()) if positive.any() else float("nan")
    specificity = float((~called[~positive]).mean()) if (~positive).any() else float("nan")
    return sensitivity, specificity


def bootstrap_interval(
    statistic: Callable[[npt.NDArray[np.intp]], float],
    n: int,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic over n exchangeable units (studies, patients).

    Args:
        statistic: Given the indices of a resample (n of them, with replacement), the figure.
            NaN (a resample without positives, say) is left out.
        n: Number of units.
        seed: Of the resampling.
        resamples: How many.
        level: Coverage, 0.95 for a 95 % interval.

    Returns:
        Lower and upper end; both NaN where no resample gives a number.
    """
    generator = np.random.default_rng(seed)
    drawn = [statistic(generator.integers(0, n, n)) for _ in range(resamples)] if n else []
    return percentile_interval(drawn, level=level)


def percentile_interval(drawn: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """The middle part of a statistic's resampled values, without the NaNs.

    Args:
        drawn: (resamples,) values.
        level: Coverage.

    Returns:
        Lower and upper end; both NaN where there is no number.
    """
    values = np.asarray(drawn, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class ImageBoxes:
    """What is true and what was found in one image; all boxes in one frame.

    Attributes:
        true_boxes: (T, 4) x_min, y_min, x_max, y_max.
        true_labels: (T,) int.
        boxes: (D, 4) likewise, of the detections.
        labels: (D,) int.
        scores: (D,) float.
    """

    true_boxes: FloatArray
    true_labels: npt.NDArray[np.integer[Any]]
    boxes: FloatArray
    labels: npt.NDArray[np.integer[Any]]
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class Matches:
    """The detections of one class in one image, best score first, and whether each is a hit.

    Attributes:
        scores: (D,) descending.
        hits: (D,) bool: matched to a true box that no better detection had taken.
        truths: Number of true boxes of the class in the image.
    """

    scores: FloatArray
    hits: npt.NDArray[np.bool_]
    truths: int


def pairwise_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes, in [0, 1]."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    area_first = (first[:, 2:] - first[:, :2]).prod(axis=1)
    area_second = (second[:, 2:] - second[:, :2]).prod(axis=1)
    union = area_first[:, None] + area_second[None] - overlap
    return overlap / np.maximum(union, np.finfo(np.float64).tiny)


def match(image: ImageBoxes, label: int, *, iou: float) -> Matches:
    """Match one class's detections to its true boxes, greedily by score as COCO does.

    Args:
        image: Truth and detections.
        label: Which class.
        iou: A hit overlaps its true box by at least this much.
    """
    truth = np.asarray(image.true_boxes, np.float64).reshape(-1, 4)[image.true_labels == label]
    chosen = np.flatnonzero(image.labels == label)
    chosen = chosen[np.argsort(-image.scores[chosen], kind="stable")][:MAX_DETECTIONS]
    overlaps = pairwise_iou(np.asarray(image.boxes, np.float64).reshape(-1, 4)[chosen], truth)
    free = np.ones(len(truth), bool)
    hits = np.zeros(len(chosen), bool)
    for row in range(len(chosen) if len(truth) else 0):
        candidates = np.where(free, overlaps[row], -1.0)
        best = int(candidates.argmax())
        if candidates[best] >= iou:
            free[best], hits[row] = False, True
    return Matches(image.scores[chosen], hits, len(truth))


def average_precision(matches: Sequence[Matches]) -> float:
    """COCO's average precision of one class at one IoU: mean precision at 101 recall levels.

    Args:
        matches: One entry an image; resample this list to bootstrap.

    Returns:
        In [0, 1]; NaN where no image holds a true box of the class.
    """
    truths = sum(entry.truths for entry in matches)
    if not truths:
        return float("nan")
    scores = np.concatenate([entry.scores for entry in matches])
    hits = np.concatenate([entry.hits for entry in matches])[np.argsort(-scores, kind="stable")]
    found = np.cumsum(hits)
    return interpolated_precision(found / truths, found / np.arange(1, len(found) + 1))


def interpolated_precision(recall: FloatArray, precision: FloatArray) -> float:
    """Mean over 101 recall levels of the best precision at that recall or beyond.

    Args:
        recall: (D,) ascending, in [0, 1], one entry a detection from the best on.
        precision: (D,) likewise.
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0.0)[np.minimum(at, len(envelope))].mean())


@dataclass(frozen=True, slots=True)
class DetectionFigures:
    """Average precisions of a detector.

    Attributes:
        ap50: By label name, at IoU 0.5; NaN where a label has no true box.
        mean_ap50: Mean over the labels that have a true box.
        mean_ap: Likewise, averaged over IoU 0.50 to 0.95 (COCO's mAP).
    """

    ap50: dict[str, float]
    mean_ap50: float
    mean_ap: float


def detection_figures(
    images: Sequence[ImageBoxes], labels: Sequence[str], *, first_label_id: int = 1
) -> DetectionFigures:
    """AP50 for each label, mean AP50 and COCO mAP.

    Args:
        images: Truth and detections; label ids run from `first_label_id` in the order of `labels`.
        labels: Names, without background.
        first_label_id: Id of labels[0]; 1 where 0 is background.
    """
    table = np.asarray(
        [
            [
                average_precision([match(image, label, iou=iou) for image in images])
                for iou in COCO_IOUS
            ]
            for label in range(first_label_id, first_label_id + len(labels))
        ]
    )
    return DetectionFigures(
        ap50=dict(zip(labels, table[:, 0].tolist(), strict=True)),
        mean_ap50=_mean_of_numbers(table[:, 0]),
        mean_ap=_mean_of_numbers(table),
    )


def _mean_of_numbers(values: FloatArray) -> float:
    """Mean without the NaNs; NaN, and no warning, where nothing else is left."""
    numbers = values[np.isfinite(values)]
    return float(numbers.mean()) if len(numbers) else float("nan")
