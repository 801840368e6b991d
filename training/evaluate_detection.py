"""Figures of a detector: average precision, FROC, operating point, and the readers beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lambdas.detect.detect import DEFAULT_MAX_FINDINGS
from lambdas.shared.boxes import UnitBox
from training import metrics
from training.agreement import Agreement, reader_agreement, region_iou
from training.estimates import Estimate, Weights, estimate, patient_resamples, proportion
from training.evaluated_models import EvaluatedModel
from training.operating_points import HIT_IOU, DetectorPoint, findings_at
from training.predictions import FloatArray
from training.ranking import FROC_RATES, Ranking, image_boxes, judged_films, rank, true_boxes
from training.studies import Study
from training.subgroups import subgroups


@dataclass(frozen=True)
class ClassFigures:
    """One class of a detector on the test split.

    Attributes:
        label: The class.
        boxes: True boxes.
        films: Films with one.
        left_out: Films that name the class without a box: neither right nor wrong there.
        ap50: Average precision at IoU 0.5; n is the true boxes, as in all figures here.
        ap: Averaged over IoU 0.50 to 0.95.
        froc: Sensitivity at each of `FROC_RATES` false boxes an image; None without a box.
        threshold: Of the operating point.
        sensitivity: At it.
        precision: At it; n is the findings.
        false_per_image: False boxes an image at it.
        by_reader: AP50 against each reader alone; n is that reader's boxes.
        agreement: Of the readers with each other.
        detector_iou: Overlap of the findings with reader 1's boxes in films where both mark the
            class; n is those films.
        detector_at_half: Part of those films with an overlap of at least 0.5.
    """

    label: str
    boxes: int
    films: int
    left_out: int
    ap50: Estimate
    ap: Estimate
    froc: Mapping[float, float | None]
    threshold: float
    sensitivity: Estimate
    precision: Estimate
    false_per_image: float
    by_reader: Mapping[int, Estimate]
    agreement: Agreement
    detector_iou: Estimate
    detector_at_half: float | None


@dataclass(frozen=True, slots=True)
class DetectorSubgroup:
    """Findings at the operating point in a part of the films.

    Attributes:
        attribute: `sex`, `age` or `view`.
        value: Such as `F`.
        films: Of the part.
        sensitivity: n is the true boxes of all classes.
        false_per_image: False boxes of all classes an image.
    """

    attribute: str
    value: str
    films: int
    sensitivity: Estimate
    false_per_image: float


@dataclass(frozen=True)
class DetectorFigures:
    """A detector on the test split.

    Attributes:
        model: The detector.
        point: Chosen on validation.
        n: Films.
        classes: In the order of the labels.
        mean_ap50: Mean over the classes that have a box.
        mean_ap: COCO's mAP.
        rankings: By label, of all detections, at IoU 0.5.
        findings: (F, 6) of each film at the operating point.
        ap50_draws: (resamples, classes) for comparing variants on the same resamples.
        subgroups: By sex, age band and view.
    """

    model: EvaluatedModel
    point: DetectorPoint
    n: int
    classes: tuple[ClassFigures, ...]
    mean_ap50: Estimate
    mean_ap: Estimate
    rankings: Mapping[str, Ranking]
    findings: tuple[FloatArray, ...]
    ap50_draws: FloatArray
    subgroups: tuple[DetectorSubgroup, ...]

    def mean_ap50_of(self, labels: Sequence[str]) -> Estimate:
        """Mean AP50 of some of the labels, where they have a box."""
        chosen = [i for i, name in enumerate(self.model.labels) if name in labels]
        values = [self.classes[i].ap50.value for i in chosen]
        return estimate(
            _mean([np.nan if value is None else value for value in values]),
            [_mean(row) for row in self.ap50_draws[:, chosen]],
            n=sum(self.classes[i].boxes for i in chosen),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.sha256,
            "n": self.n,
            "operating_point": {
                "thresholds": dict(self.point.thresholds),
                "chosen_by": self.point.chosen_by,
                "validation_n": self.point.n,
                "validation_f1": dict(self.point.validation_f1),
                "kept": list(self.point.kept),
            },
            "mean_ap50": self.mean_ap50.to_json(),
            "coco_map": self.mean_ap.to_json(),
            "classes": [_class_json(entry) for entry in self.classes],
            "subgroups": [
                {
                    "attribute": group.attribute,
                    "value": group.value,
                    "films": group.films,
                    "sensitivity": group.sensitivity.to_json(),
                    "false_boxes_per_image": group.false_per_image,
                }
                for group in self.subgroups
            ],
        }


def class_rankings(
    studies: Sequence[Study],
    detections: Sequence[FloatArray],
    labels: Sequence[str],
    *,
    iou: float = HIT_IOU,
    reader: int | None = None,
) -> dict[str, Ranking]:
    """Ranked detections of each label.

    Args:
        studies: Of a split.
        detections: (D, 6) of each study.
        labels: Of the detector.
        iou: Of a hit.
        reader: Whose boxes are true; None for both as in training.
    """
    images = image_boxes(studies, detections, labels, reader=reader)
    return {
        label: rank(images, index, iou=iou, judged=judged_films(studies, label, reader=reader))
        for index, label in enumerate(labels)
    }


def most_findings(model: EvaluatedModel) -> int:
    """Findings that the stage function keeps for one image."""
    return int(model.bundle.facts["operating_point"].get("max_findings", DEFAULT_MAX_FINDINGS))


def detector_figures(
    model: EvaluatedModel,
    studies: Sequence[Study],
    detections: Sequence[FloatArray],
    *,
    point: DetectorPoint,
    resamples: int,
) -> DetectorFigures:
    """Judge a detector on the test split.

    Args:
        model: The detector.
        studies: Of the split.
        detections: (D, 6) of each study, as in `Predictions`.
        point: Chosen on validation.
        resamples: Of the bootstrap.
    """
    labels = model.labels
    weights = patient_resamples([study.patient_id for study in studies], resamples=resamples)
    by_iou = [class_rankings(studies, detections, labels, iou=iou) for iou in metrics.COCO_IOUS]
    values, drawn = _average_precisions(by_iou, labels, weights)
    most = most_findings(model)
    findings = tuple(findings_at(found, labels, point, most=most) for found in detections)
    at_point = class_rankings(studies, findings, labels)
    by_reader = {r: class_rankings(studies, detections, labels, reader=r) for r in (1, 2)}
    classes = []
    for index, label in enumerate(labels):
        ranking = by_iou[0][label]
        boxes = int(ranking.truths.sum())
        hits, false = at_point[label].above(0.0)
        overlaps = _overlaps(studies, findings, labels, label)
        classes.append(
            ClassFigures(
                label=label,
                boxes=boxes,
                films=int((ranking.truths > 0).sum()),
                left_out=int((~ranking.judged).sum()),
                ap50=estimate(values[index, 0], drawn[:, index, 0], n=boxes),
                ap=estimate(values[index].mean(), drawn[:, index].mean(axis=1), n=boxes),
                froc={rate: _number(ranking.sensitivity_at(rate)) for rate in FROC_RATES},
                threshold=point.thresholds[label],
                sensitivity=proportion(hits, boxes),
                precision=proportion(hits, hits + false),
                false_per_image=false / max(1, int(ranking.judged.sum())),
                by_reader={
                    r: estimate(
                        rankings[label].average_precision(),
                        [rankings[label].average_precision(row) for row in weights],
                        n=int(rankings[label].truths.sum()),
                    )
                    for r, rankings in by_reader.items()
                },
                agreement=reader_agreement(studies, label),
                detector_iou=_mean_overlap(overlaps, resamples),
                detector_at_half=float(np.mean(np.asarray(overlaps) >= HIT_IOU))
                if overlaps
                else None,
            )
        )
    boxes = sum(entry.boxes for entry in classes)
    return DetectorFigures(
        model=model,
        point=point,
        n=len(studies),
        classes=tuple(classes),
        mean_ap50=estimate(_mean(values[:, 0]), [_mean(row[:, 0]) for row in drawn], n=boxes),
        mean_ap=estimate(_mean(values), [_mean(row) for row in drawn], n=boxes),
        rankings=by_iou[0],
        findings=findings,
        ap50_draws=drawn[:, :, 0],
        subgroups=tuple(_subgroups(studies, at_point)),
    )


def _subgroups(
    studies: Sequence[Study], at_point: Mapping[str, Ranking]
) -> Iterator[DetectorSubgroup]:
    for attribute, value, inside in subgroups(studies):
        hits = boxes = false = 0
        for ranking in at_point.values():
            own = inside[ranking.films]
            hits += int((ranking.hits & own).sum())
            false += int((~ranking.hits & own).sum())
            boxes += int(ranking.truths[inside].sum())
        films = int(inside.sum())
        yield DetectorSubgroup(attribute, value, films, proportion(hits, boxes), false / films)


def _average_precisions(
    by_iou: Sequence[Mapping[str, Ranking]], labels: Sequence[str], weights: Weights
) -> tuple[FloatArray, FloatArray]:
    """(L, IoUs), and (resamples, L, IoUs) of the same."""
    shape = (len(labels), len(by_iou))
    values, drawn = np.empty(shape), np.empty((len(weights), *shape))
    for column, rankings in enumerate(by_iou):
        for row, label in enumerate(labels):
            values[row, column] = rankings[label].average_precision()
            drawn[:, row, column] = [rankings[label].average_precision(each) for each in weights]
    return values, drawn


def _overlaps(
    studies: Sequence[Study], findings: Sequence[FloatArray], labels: Sequence[str], label: str
) -> list[float]:
    """Overlap of findings and reader 1's boxes in each film where both mark the class."""
    index = list(labels).index(label)
    overlaps = []
    for study, found in zip(studies, findings, strict=True):
        boxes, _ = true_boxes(study, [label], reader=1)
        own = found[found[:, 0] == index, 2:]
        if len(boxes) and len(own):
            overlaps.append(
                region_iou([UnitBox(*map(float, b)) for b in own], [UnitBox(*b) for b in boxes])
            )
    return overlaps


def _mean_overlap(overlaps: Sequence[float], resamples: int) -> Estimate:
    values = np.asarray(overlaps)
    if not len(values):
        return Estimate(None, 0, None)
    interval = metrics.bootstrap_interval(
        lambda chosen: float(values[chosen].mean()), len(values), resamples=max(1, resamples)
    )
    return Estimate(float(values.mean()), len(values), interval if len(values) > 1 else None)


def _mean(values: Any) -> float:
    """Mean without the NaNs; NaN, and no warning, where nothing else is left."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return float(numbers.mean()) if len(numbers) else float("nan")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _class_json(entry: ClassFigures) -> dict[str, Any]:
    agreement = entry.agreement
    return {
        "label": entry.label,
        "boxes": entry.boxes,
        "films": entry.films,
        "left_out": entry.left_out,
        "ap50": entry.ap50.to_json(),
        "coco_ap": entry.ap.to_json(),
        "froc": {f"{rate:g}": value for rate, value in entry.froc.items()},
        "threshold": entry.threshold,
        "sensitivity": entry.sensitivity.to_json(),
        "precision": entry.precision.to_json(),
        "false_boxes_per_image": entry.false_per_image,
        "ap50_by_reader": {str(r): value.to_json() for r, value in entry.by_reader.items()},
        "reader_agreement": {
            "films": agreement.both,
            "mean_iou": agreement.mean,
            "interval_95": list(agreement.interval) if agreement.interval else None,
            "at_half": agreement.at_half,
        },
        "detector_iou_with_reader_1": entry.detector_iou.to_json(),
        "detector_at_half": entry.detector_at_half,
    }
