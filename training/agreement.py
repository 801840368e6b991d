"""How far two readers agree on where a finding lies: the ceiling for any detector's AP50."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lambdas.shared.boxes import UnitBox
from training.metrics import bootstrap_interval
from training.studies import Study

PUBLISHED_IOU: Final = {
    "Aortic elongation": 0.63,
    "Cardiomegaly": 0.69,
    "Scoliosis": 0.65,
    "Aortic atheromatosis": 0.44,
    "Pleural effusion": 0.39,
    "Nodule": 0.32,
}
"""Mean overlap of PadChest-GR's readers; Castro et al. 2024."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both readers' boxes of one class.

    Attributes:
        label: The class.
        both: Studies in which both readers drew it.
        first_only: Studies in which reader 1 alone drew it.
        second_only: Studies in which reader 2 alone drew it.
        ious: Overlap of what the readers covered, for each study of `both`.
        interval: Bootstrap 95 % interval of the mean of `ious`; None below two studies.
    """

    label: str
    both: int
    first_only: int
    second_only: int
    ious: tuple[float, ...]
    interval: tuple[float, float] | None

    @property
    def mean(self) -> float | None:
        """Mean overlap where both drew."""
        return float(np.mean(self.ious)) if self.ious else None

    @property
    def at_half(self) -> float | None:
        """Share of `ious` of at least 0.5: how often one reader would be a hit on the other."""
        return float(np.mean(np.asarray(self.ious) >= 0.5)) if self.ious else None


def reader_agreement(studies: Sequence[Study], label: str, *, seed: int = 0) -> Agreement:
    """Agreement on one class.

    Several boxes of one reader are taken as the area they cover together, so that one wide box
    against two narrow ones counts by what is covered and no pairing has to be invented.

    Args:
        studies: Of any split.
        label: Fine label.
        seed: Of the bootstrap, which resamples studies.
    """
    ious, first_only, second_only = [], 0, 0
    for study in studies:
        first, second = (
            [drawn.box for drawn in study.boxes if drawn.label == label and drawn.reader == reader]
            for reader in (1, 2)
        )
        if first and second:
            ious.append(region_iou(first, second))
        first_only += bool(first and not second)
        second_only += bool(second and not first)
    interval = None
    if len(ious) > 1:
        values = np.asarray(ious)
        interval = bootstrap_interval(
            lambda chosen: float(values[chosen].mean()), len(values), seed=seed
        )
    return Agreement(label, len(ious), first_only, second_only, tuple(ious), interval)


def region_iou(first: Sequence[UnitBox], second: Sequence[UnitBox]) -> float:
    """Overlap over union, in [0, 1], of the areas that two sets of boxes cover; exact."""
    boxes = (*first, *second)
    # cells between all edges: each is covered whole or not at all
    x = np.unique([edge for box in boxes for edge in (box.x_min, box.x_max)])
    y = np.unique([edge for box in boxes for edge in (box.y_min, box.y_max)])
    areas = np.diff(y)[:, None] * np.diff(x)[None]
    one, other = (_covered(group, x, y) for group in (first, second))
    return float(areas[one & other].sum() / areas[one | other].sum())


def _covered(boxes: Sequence[UnitBox], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(rows, columns) of bool: which cells of the grid the boxes cover."""
    covered = np.zeros((len(y) - 1, len(x) - 1), bool)
    for box in boxes:
        covered |= ((y[:-1] >= box.y_min) & (y[1:] <= box.y_max))[:, None] & (
            (x[:-1] >= box.x_min) & (x[1:] <= box.x_max)
        )[None]
    return covered
