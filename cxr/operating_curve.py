"""What a threshold stands for, from a bundle's facts: measured on validation, or not known.

Every figure is one that model.json holds; nothing is interpolated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEPS = 100
"""Of a slider for a model without a curve."""


@dataclass(frozen=True, slots=True)
class TriageFigures:
    """Sensitivity and specificity of one threshold.

    Attributes:
        n_positive: Abnormal studies that sensitivity is of; None where model.json does not say.
        n_negative: Normal studies that specificity is of; likewise.
        data: What they were measured on.
    """

    sensitivity: float
    specificity: float
    n_positive: int | None
    n_negative: int | None
    data: str


@dataclass(frozen=True, slots=True)
class FindingFigures:
    """What a detector's score threshold gave for one label.

    Attributes:
        threshold: At which it was measured.
        sensitivity: Share of the true boxes that were found.
        false_boxes_per_image: False boxes of this label, over all images.
        boxes: True boxes.
    """

    threshold: float
    sensitivity: float
    false_boxes_per_image: float
    boxes: int


def triage_steps(facts: Mapping[str, Any] | None, *, shipped: float) -> list[float]:
    """Thresholds that a slider offers: the measured ones, or even steps where there are none.

    Args:
        facts: model.json of a classifier; None where the models of a result are not at hand.
        shipped: The operating point; always among them.
    """
    curve = (facts or {}).get("operating_curve")
    if curve:
        return sorted({shipped, *(point["threshold"] for point in curve["points"])})
    return sorted({shipped, *(step / STEPS for step in range(STEPS + 1))})


def triage_figures(facts: Mapping[str, Any], threshold: float) -> TriageFigures | None:
    """Figures of a threshold; None where it was not measured."""
    curve: Mapping[str, Any] = facts.get("operating_curve") or {"points": ()}
    for point in curve["points"]:
        if point["threshold"] == threshold:
            return TriageFigures(
                sensitivity=point["sensitivity"],
                specificity=point["specificity"],
                n_positive=curve["n_positive"],
                n_negative=curve["n_negative"],
                data=curve["data"],
            )
    shipped = facts["operating_point"]
    measured = (shipped.get("sensitivity"), shipped.get("specificity"))
    if threshold != shipped["threshold"] or None in measured:
        return None
    return TriageFigures(
        sensitivity=shipped["sensitivity"],
        specificity=shipped["specificity"],
        n_positive=None,
        n_negative=None,
        data=shipped["chosen_by"],
    )


def finding_figures(facts: Mapping[str, Any], threshold: float) -> dict[str, FindingFigures]:
    """By label, the figures measured nearest to a score threshold; empty without a curve."""
    curve: Mapping[str, Any] = facts.get("operating_curve") or {"labels": {}}
    figures = {}
    for label, found in curve["labels"].items():
        nearest = min(found["points"], key=lambda point: abs(point["threshold"] - threshold))
        figures[label] = FindingFigures(
            threshold=nearest["threshold"],
            sensitivity=nearest["sensitivity"],
            false_boxes_per_image=nearest["false_boxes_per_image"],
            boxes=found["boxes"],
        )
    return figures
