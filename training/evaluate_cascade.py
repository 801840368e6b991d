"""The two models as production chains them: a film that triage calls normal never meets the
detector, so every finding on it is lost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.estimates import Estimate, proportion
from training.evaluate_detection import DetectorFigures, class_rankings
from training.evaluate_triage import TriageFigures
from training.evaluated_models import Pair
from training.ranking import Ranking
from training.studies import Study


@dataclass(frozen=True, slots=True)
class CascadeClass:
    """What becomes of a class's true boxes.

    Attributes:
        label: The class.
        boxes: True boxes.
        found: Found behind the gate: the end-to-end result.
        lost_at_gate: On films called normal.
        lost_though_detectable: Those of `lost_at_gate` that the detector alone would have found.
        missed_by_detector: On films sent on, and not found.
        end_to_end: `found` of `boxes`.
        detector_alone: Found without the gate, of `boxes`.
        false_boxes: Behind the gate.
        false_boxes_alone: Without the gate.
    """

    label: str
    boxes: int
    found: int
    lost_at_gate: int
    lost_though_detectable: int
    missed_by_detector: int
    end_to_end: Estimate
    detector_alone: Estimate
    false_boxes: int
    false_boxes_alone: int


@dataclass(frozen=True)
class CascadeFigures:
    """A pair of models on the test split.

    Attributes:
        pair: The models.
        n: Films.
        classes: In the order of the detector's labels.
        outcomes: Films by what is true and what the chain says: `normal`, `boxes` (abnormal, with
            findings) or `no_boxes` (abnormal, none of the detectable findings localised).
    """

    pair: Pair
    n: int
    classes: tuple[CascadeClass, ...]
    outcomes: dict[str, dict[str, int]]

    @property
    def total(self) -> CascadeClass:
        """All classes together."""

        def added(field: str) -> int:
            return sum(getattr(entry, field) for entry in self.classes)

        boxes, found, detectable = added("boxes"), added("found"), added("lost_though_detectable")
        return CascadeClass(
            label="all classes",
            boxes=boxes,
            found=found,
            lost_at_gate=added("lost_at_gate"),
            lost_though_detectable=detectable,
            missed_by_detector=added("missed_by_detector"),
            end_to_end=proportion(found, boxes),
            detector_alone=proportion(found + detectable, boxes),
            false_boxes=added("false_boxes"),
            false_boxes_alone=added("false_boxes_alone"),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pair": self.pair.name,
            "classifier": self.pair.classifier.sha256,
            "detector": self.pair.detector.sha256,
            "n": self.n,
            "outcomes": self.outcomes,
            "classes": [
                asdict(entry)
                | {
                    "end_to_end": entry.end_to_end.to_json(),
                    "detector_alone": entry.detector_alone.to_json(),
                }
                for entry in (*self.classes, self.total)
            ],
        }


def cascade_figures(
    pair: Pair, studies: Sequence[Study], *, triage: TriageFigures, detector: DetectorFigures
) -> CascadeFigures:
    """Follow every true box through gate and detector at their operating points.

    Args:
        pair: The models.
        studies: Of the test split, in the order of both figures.
        triage: The classifier's figures.
        detector: The detector's.
    """
    rankings = class_rankings(studies, detector.findings, detector.model.labels)
    classes = tuple(
        _follow(label, ranking, passed=triage.called) for label, ranking in rankings.items()
    )
    outcomes = {truth: {"normal": 0, "no_boxes": 0, "boxes": 0} for truth in ("abnormal", "normal")}
    for study, passed, found in zip(studies, triage.called, detector.findings, strict=True):
        said = ("boxes" if len(found) else "no_boxes") if passed else "normal"
        outcomes["abnormal" if study.abnormal else "normal"][said] += 1
    return CascadeFigures(pair, len(studies), classes, outcomes)


def _follow(label: str, ranking: Ranking, *, passed: npt.NDArray[np.bool_]) -> CascadeClass:
    boxes = int(ranking.truths.sum())
    hits = np.bincount(ranking.films[ranking.hits], minlength=len(passed))
    false = np.bincount(ranking.films[~ranking.hits], minlength=len(passed))
    lost = int(ranking.truths[~passed].sum())
    found = int(hits[passed].sum())
    return CascadeClass(
        label=label,
        boxes=boxes,
        found=found,
        lost_at_gate=lost,
        lost_though_detectable=int(hits[~passed].sum()),
        missed_by_detector=boxes - lost - found,
        end_to_end=proportion(found, boxes),
        detector_alone=proportion(int(hits.sum()), boxes),
        false_boxes=int(false[passed].sum()),
        false_boxes_alone=int(false.sum()),
    )
