"""What training knows of one study, whatever files it came from."""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lambdas.shared.boxes import UnitBox

SPLITS: Final = ("train", "validation", "test")
"""PadChest-GR's own; no patient stands in two of them."""

VIEWS: Final = ("PA", "AP", "AP_horizontal")
"""Frontal projections as PadChest names them; AP_horizontal is the supine film."""

MAX_REPEATS: Final = 10
"""A study repeated more often than this is learnt by heart rather than balanced."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One reader's box.

    Attributes:
        label: The fine label, in sentence case (`Aortic elongation`).
        box: As fractions of the image's width and height.
        reader: 1 (`boxes`) or 2 (`extra_boxes`).
    """

    label: str
    box: UnitBox
    reader: int


@dataclass(frozen=True, slots=True)
class Study:
    """One frontal radiograph with its annotations.

    Attributes:
        study_id: Decimal text, sometimes with a suffix; too long for any number.
        image_id: File name of the image.
        patient_id: Text; the unit that splits are made by.
        split: One of `SPLITS`.
        view: One of `VIEWS`; None where no table says.
        sex: `F` or `M` as DICOM Patient's Sex; None where unknown.
        age: In years at the study; None where unknown.
        labels: Fine labels in sentence case; `{"Normal"}` for a normal study, and never beside
            another.
        groups: Their label groups in sentence case.
        abnormal: Whether anything is found.
        boxes: Of both readers, in the order of the report; a label may have none.
        image: File path, or `s3://bucket/key`.
    """

    study_id: str
    image_id: str
    patient_id: str
    split: str
    view: str | None
    sex: str | None
    age: int | None
    labels: frozenset[str]
    groups: frozenset[str]
    abnormal: bool
    boxes: tuple[LabelledBox, ...]
    image: Path | str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A study that is left out, and why.

    Attributes:
        image_id: File name of the image, or what stands in its place.
        reason: A sentence.
    """

    image_id: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The studies that can be used, and the ones that cannot.

    Attributes:
        studies: Sorted by image_id.
        exclusions: Sorted by image_id.
        root: Where it was loaded from.
    """

    studies: tuple[Study, ...]
    exclusions: tuple[Exclusion, ...]
    root: Path | str

    def split(self, name: str) -> tuple[Study, ...]:
        """The studies of one split.

        Raises:
            ValueError: No such split.
        """
        if name not in SPLITS:
            raise ValueError(f"split is {name!r}, expected one of {', '.join(SPLITS)}")
        return tuple(study for study in self.studies if study.split == name)


def balanced(
    studies: Sequence[Study],
    *,
    key: Callable[[Study], Hashable | Collection[Hashable]],
    seed: int,
) -> list[Study]:
    """Repeat studies of rare classes until every class weighs as much as the commonest.

    A study of several classes is repeated as its rarest one asks; commoner classes that ride along
    then exceed the target, as they must. With one class a study, counts come out equal (to within
    rounding). No study is dropped and none stands more than `MAX_REPEATS` times.

    Args:
        studies: Of one split; training's alone, or evaluation counts repeats.
        key: A study's class, or its classes as a set, list or tuple. A study of no class stays as
            it is, once.
        seed: Of the choice which studies get the odd repeat, and of the order.

    Returns:
        The studies with repeats, shuffled.
    """
    classes = [_classes(key(study)) for study in studies]
    counts = Counter(name for names in classes for name in names)
    target = max(counts.values(), default=0)
    source = random.Random(seed)
    order = list(range(len(studies)))
    source.shuffle(order)
    chosen: list[Study] = []
    owed: dict[object, float] = {}
    for index in order:
        if not classes[index]:
            chosen.append(studies[index])
            continue
        rarest = min(classes[index], key=lambda name: (counts[name], str(name)))
        # the part of a repeat that rounding leaves is owed to the next study of the same class
        repeats = min(MAX_REPEATS, target / counts[rarest]) + owed.get(rarest, 0.5)
        whole = min(MAX_REPEATS, math.floor(repeats))
        owed[rarest] = min(repeats - whole, 1.0)
        chosen.extend([studies[index]] * whole)
    source.shuffle(chosen)
    return chosen


def _classes(answer: object) -> tuple[object, ...]:
    """Classes as a tuple, whatever form `key` gave them in."""
    if isinstance(answer, (set, frozenset, list, tuple)):
        return tuple(answer)
    return (answer,)
