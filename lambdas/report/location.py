"""Where a box lies, in words: side of the patient, and upper, middle or lower zone.

Sides come from DICOM Patient Orientation (0020,0020; PS3.3 C.7.6.1.1.1) alone, never from the
pixels: it names the patient's direction towards which rows and columns run. A row that runs to the
patient's left means that the image's left shows the patient's right, as films are hung.

Zones are thirds of the image's height and sides are halves of its width: what a box can say
without a segmentation of the lungs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ZONES: Final = ("upper", "middle", "lower")

DIRECTIONS: Final = "LRAPHF"
"""Left, right, anterior, posterior, head, foot (PS3.3 C.7.6.1.1.1, bipeds)."""

SPREAD_SHARE: Final = 0.25
"""Share of a box's width (height) that must lie in a half (third) for it to be named."""

ZONE_SHARE: Final = 0.5
"""A box that covers this share of a third is said to lie in it, however tall the box is."""

UNKNOWN_NOTE: Final = "side unknown: the file gives no Patient Orientation"


@dataclass(frozen=True, slots=True)
class Sides:
    """What the image's left and right edge show.

    Attributes:
        image_left: Words for a box in the image's left half.
        image_right: Words for a box in the image's right half.
        letters: Marks for the left and the right edge; None where the sides are not known.
        note: Sentence that says where the sides come from.
    """

    image_left: str
    image_right: str
    letters: tuple[str, str] | None
    note: str


def sides_of(patient_orientation: Sequence[str] | None) -> Sides:
    """Sides of the displayed image.

    Args:
        patient_orientation: Direction of the rows, of the columns, such as (`L`, `F`); None or
            blank where the file does not say.
    """
    if patient_orientation is None or not all(value.strip() for value in patient_orientation):
        return Sides("image left", "image right", None, UNKNOWN_NOTE)
    directions = [value.strip().upper() for value in patient_orientation]
    # The attribute's own letters only: what else stands there may be anyone's text.
    readable = all(set(value) <= set(DIRECTIONS) for value in directions)
    stated = "\\".join(directions) if readable else "(not in DICOM's terms)"
    # An oblique direction such as `LA` starts with the axis it follows most.
    match tuple(value[0] for value in directions) if readable else ():
        case ("L", "F"):
            note = f"R, L: the patient's right and left, from Patient Orientation {stated}"
            return Sides("right", "left", ("R", "L"), note)
        case ("R", "F"):
            note = f"mirrored: image left is patient left, from Patient Orientation {stated}"
            return Sides("left", "right", ("L", "R"), note)
        case _:
            note = f"side unknown: Patient Orientation {stated} is no upright frontal display"
            return Sides("image left", "image right", None, note)


def location_words(box: Mapping[str, float], sides: Sides) -> str:
    """Location such as `right, lower zone` or `across the midline, middle and lower zones`.

    Args:
        box: `x_min`, `y_min`, `x_max`, `y_max` as fractions of the image's width and height.
        sides: From `sides_of`.
    """
    return f"{_side_words(box, sides)}, {_zone_words(box)}"


def _side_words(box: Mapping[str, float], sides: Sides) -> str:
    width = box["x_max"] - box["x_min"]
    in_left_half = max(0.0, min(box["x_max"], 0.5) - box["x_min"])
    share = in_left_half / width if width > 0 else float(box["x_min"] < 0.5)
    if SPREAD_SHARE <= share <= 1 - SPREAD_SHARE:
        return "across the midline"
    return sides.image_left if share > 0.5 else sides.image_right


def _zone_words(box: Mapping[str, float]) -> str:
    third = 1 / len(ZONES)
    # A box without height, which rounding may leave, still lies in one zone.
    height = max(box["y_max"] - box["y_min"], 1e-9)
    y_max = box["y_min"] + height
    named = []
    for index, zone in enumerate(ZONES):
        overlap = min(y_max, (index + 1) * third) - max(box["y_min"], index * third)
        if overlap >= SPREAD_SHARE * height or overlap >= ZONE_SHARE * third:
            named.append(zone)
    match named:
        case [one]:
            return f"{one} zone"
        case [one, two]:
            return f"{one} and {two} zones"
        case _:
            return "all zones"
