"""Choose temperature and thresholds on the validation split, and write them into a bundle.

Triage: a miss hides every finding, so the threshold keeps a target sensitivity, and of those that
do it takes the one with the largest sum of sensitivity and specificity. Detection: for each class
the threshold with the best F1 at IoU 0.5. All fall halfway between two scores that were seen.

Source: Guo et al., On calibration of modern neural networks, 2017 (temperature).
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.classify.classify import decide
from lambdas.shared.bundle import FACTS_FILE, GRAPH_FILE, Bundle, load_bundle
from lambdas.shared.findings import Triage
from training.operating_curves import detector_curve, triage_curve
from training.predictions import FloatArray
from training.prepared import write_whole
from training.ranking import Ranking

TARGET_SENSITIVITY: Final = 0.95
"""Of triage, on validation."""

MIN_CASES: Final = 10
"""Fewer positives, negatives or boxes than this choose nothing: the shipped point stays."""

TEMPERATURES: Final = (0.05, 20.0)
"""Range searched."""

EDGE: Final = 1.05
"""A fit within this factor of the range's end ran into it."""

KEPT: Final = " (kept: "
"""Begins the reason for which a shipped point stays."""

HIT_IOU: Final = 0.5


@dataclass(frozen=True, slots=True)
class TriagePoint:
    """Where triage decides.

    Attributes:
        temperature: The scores are divided by it; None for no calibration.
        threshold: Of the positive label's probability.
        chosen_by: How, in words.
        n: Validation studies it was chosen on.
        sensitivity: On those; None where the shipped point stays.
        specificity: Likewise.
        curve: What other thresholds gave, for model.json; None where the shipped point stays.
    """

    temperature: float | None
    threshold: float
    chosen_by: str
    n: int
    sensitivity: float | None
    specificity: float | None
    curve: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DetectorPoint:
    """Where detections become findings.

    Attributes:
        thresholds: Of the score, by label.
        chosen_by: How, in words.
        n: Validation studies it was chosen on.
        kept: Labels whose shipped threshold stays, for want of boxes or of a single hit.
        validation_f1: By label, where a threshold was chosen.
        curve: What other thresholds gave, for model.json.
    """

    thresholds: Mapping[str, float]
    chosen_by: str
    n: int
    kept: tuple[str, ...]
    validation_f1: Mapping[str, float]
    curve: Mapping[str, Any] | None = None


def choose_triage_point(
    bundle: Bundle,
    scores: Sequence[FloatArray],
    truth: npt.NDArray[np.bool_],
    *,
    data: str,
    target: float = TARGET_SENSITIVITY,
) -> TriagePoint:
    """Temperature and threshold of a classifier.

    Args:
        bundle: The classifier's.
        scores: As the graph gave them, one array a validation study.
        truth: (N,) abnormal or not.
        data: Name of the data, for the record.
        target: Sensitivity to keep.
    """
    shipped = bundle.facts["operating_point"]
    calibration = bundle.facts["calibration"]
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < MIN_CASES:
        return TriagePoint(
            temperature=calibration["temperature"] if calibration else None,
            threshold=shipped["threshold"],
            chosen_by=shipped["chosen_by"].partition(KEPT)[0]
            + f"{KEPT}{positives} abnormal and {negatives} normal validation studies, fewer than "
            f"{MIN_CASES})",
            n=len(truth),
            sensitivity=None,
            specificity=None,
        )
    temperature = _fit_temperature(bundle, scores, truth)
    probabilities = triage_probabilities(bundle, scores, temperature=temperature)
    candidates = between_scores(probabilities)
    sensitivity = np.asarray([(probabilities[truth] >= t).mean() for t in candidates])
    specificity = np.asarray([(probabilities[~truth] < t).mean() for t in candidates])
    gain = np.where(sensitivity >= target, sensitivity + specificity, -1.0)
    # of equals the highest, which sends the fewest normal films on
    best = len(gain) - 1 - int(gain[::-1].argmax())
    threshold, studies = float(candidates[best]), f"{len(truth)} validation studies of {data}"
    return TriagePoint(
        temperature=temperature,
        threshold=threshold,
        chosen_by=f"largest sensitivity + specificity with sensitivity of at least {target:g}, on "
        + studies,
        n=len(truth),
        sensitivity=float(sensitivity[best]),
        specificity=float(specificity[best]),
        curve=triage_curve(
            probabilities, truth, candidates=candidates, chosen=threshold, data=studies
        ),
    )


def choose_detector_point(
    bundle: Bundle, rankings: Mapping[str, Ranking], *, data: str
) -> DetectorPoint:
    """Thresholds of a detector.

    Args:
        bundle: The detector's.
        rankings: Of its labels on the validation studies, at `HIT_IOU`.
        data: Name of the data, for the record.
    """
    shipped = bundle.facts["operating_point"]
    thresholds, best_f1, kept = {}, {}, []
    n = 0
    for label, ranking in rankings.items():
        n = len(ranking.truths)
        boxes = int(ranking.truths.sum())
        found, seen = np.cumsum(ranking.hits), np.arange(1, len(ranking.hits) + 1)
        f1 = 2 * found / np.maximum(seen + boxes, 1)
        # equal scores enter together: only the last of a run can be a threshold
        f1 = np.where(np.append(np.diff(ranking.scores) != 0, True)[: len(f1)], f1, 0.0)
        if boxes < MIN_CASES or not found.any():
            thresholds[label] = float(shipped["thresholds"][label])
            kept.append(label)
            continue
        best = int(f1.argmax())
        below = ranking.scores[best + 1] if best + 1 < len(f1) else 0.0
        thresholds[label] = _halfway(ranking.scores[best], below)
        best_f1[label] = float(f1[best])
    chosen_by = f"best F1 of each class at IoU {HIT_IOU:g}, on {n} validation studies of {data}"
    if len(kept) == len(thresholds):
        chosen_by = str(shipped["chosen_by"])
    elif kept:
        chosen_by += f"; unchanged for want of boxes or hits: {', '.join(kept)}"
    curve = detector_curve(
        rankings, chosen=thresholds, data=f"{n} validation studies of {data}, IoU {HIT_IOU:g}"
    )
    return DetectorPoint(thresholds, chosen_by, n, tuple(kept), best_f1, curve)


def triage_probabilities(
    bundle: Bundle, scores: Sequence[FloatArray], *, temperature: float | None
) -> FloatArray:
    """(N,) probabilities of the positive label, as the stage function gives them."""
    changed = _with_temperature(bundle, temperature)
    return np.asarray([decide(entry, bundle=changed).probability for entry in scores])


def between_scores(scores: FloatArray) -> FloatArray:
    """(T,) thresholds that differ in their effect on these scores, ascending.

    0, which keeps all, and for each score that was seen halfway down to the next lower one.
    """
    seen = np.unique(scores)
    halves = [_halfway(high, low) for low, high in zip([0.0, *seen[:-1]], seen, strict=True)]
    return np.unique([0.0, *halves])


def triage_at(bundle: Bundle, point: TriagePoint, scores: Sequence[FloatArray]) -> list[Triage]:
    """The stage function's decisions at a point."""
    changed = with_triage_point(bundle, point)
    return [decide(entry, bundle=changed) for entry in scores]


def findings_at(
    detections: FloatArray, labels: Sequence[str], point: DetectorPoint, *, most: int
) -> FloatArray:
    """The detections that the stage function would keep at a point.

    Args:
        detections: (D, 6) as in `Predictions`, best score first.
        labels: Of the detector.
        point: The thresholds.
        most: Findings kept for one image.
    """
    thresholds = np.asarray([point.thresholds[label] for label in labels])
    return detections[detections[:, 1] >= thresholds[detections[:, 0].astype(np.int64)]][:most]


def with_triage_point(bundle: Bundle, point: TriagePoint) -> Bundle:
    """A copy of the bundle that decides at the point."""
    changed = _with_temperature(bundle, point.temperature)
    operating = changed.facts["operating_point"] | {
        "threshold": point.threshold,
        "chosen_by": point.chosen_by,
        "sensitivity": point.sensitivity,
        "specificity": point.specificity,
    }
    return _with_point(changed, operating, point.curve)


def with_detector_point(bundle: Bundle, point: DetectorPoint) -> Bundle:
    """A copy of the bundle that keeps findings at the point."""
    operating = bundle.facts["operating_point"] | {
        "thresholds": dict(point.thresholds),
        "chosen_by": point.chosen_by,
    }
    return _with_point(bundle, operating, point.curve)


def write_operating_point(bundle: Bundle, metrics: Sequence[Mapping[str, Any]]) -> Bundle:
    """Write a bundle's changed facts into its model.json; the graph stays as it is.

    Args:
        bundle: From `with_triage_point` or `with_detector_point`.
        metrics: To stand in model.json in place of those that are there.

    Returns:
        The bundle as loaded again.

    Raises:
        ContractError: The bundle would not load; then nothing is written.
    """
    facts = bundle.facts | {"metrics": [dict(metric) for metric in metrics]}
    text = (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch)
        (trial / GRAPH_FILE).symlink_to(bundle.graph_path.resolve())
        (trial / FACTS_FILE).write_bytes(text)
        load_bundle(trial, task=bundle.task)
    write_whole(bundle.folder / FACTS_FILE, text)
    return load_bundle(bundle.folder, task=bundle.task)


def _with_point(
    bundle: Bundle, operating: Mapping[str, Any], curve: Mapping[str, Any] | None
) -> Bundle:
    facts = bundle.facts | {"operating_point": dict(operating)}
    if curve is not None:
        facts |= {"operating_curve": dict(curve)}
    return dataclasses.replace(bundle, facts=facts)


def _with_temperature(bundle: Bundle, temperature: float | None) -> Bundle:
    before = bundle.facts["calibration"]
    calibration = None
    if temperature is not None:
        fitted_on = "validation split, by least negative log-likelihood"
        if before and before["temperature"] == temperature:
            fitted_on = before["fitted_on"]
        calibration = {"method": "temperature", "temperature": temperature, "fitted_on": fitted_on}
    return dataclasses.replace(bundle, facts=bundle.facts | {"calibration": calibration})


def _fit_temperature(
    bundle: Bundle, scores: Sequence[FloatArray], truth: npt.NDArray[np.bool_]
) -> float | None:
    """The temperature with the least negative log-likelihood, to 3 digits.

    None where the graph ends in probabilities, which no temperature can change; the shipped one
    where the likelihood has no maximum in range, as when validation is separated without an error.
    """
    if bundle.facts["output"]["activation"] == "none":
        return None
    low, high = np.log(TEMPERATURES)
    for _ in range(4):
        grid = np.linspace(low, high, 13)
        losses = [_loss(bundle, scores, truth, float(np.exp(value))) for value in grid]
        best = int(np.argmin(losses))
        low, high = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    fitted = float(f"{np.exp((low + high) / 2):.3g}")
    if min(fitted / TEMPERATURES[0], TEMPERATURES[1] / fitted) < EDGE:
        shipped = bundle.facts["calibration"]
        return float(shipped["temperature"]) if shipped else None
    return fitted


def _loss(
    bundle: Bundle,
    scores: Sequence[FloatArray],
    truth: npt.NDArray[np.bool_],
    temperature: float,
) -> float:
    # the record shows 4 decimals: 0 and 1 there mean within half of the last one
    chance = triage_probabilities(bundle, scores, temperature=temperature).clip(5e-5, 1 - 5e-5)
    return float(-np.log(np.where(truth, chance, 1 - chance)).mean())


def _halfway(high: float, low: float) -> float:
    """Between two scores, to the 4 decimals that records show; never above `high` nor at `low`."""
    return float(min(high, max(round((high + low) / 2, 4), round(low + 1e-4, 4))))
