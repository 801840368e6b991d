"""How a DICOM image is shown, in numbers: what a presentation state must repeat to keep its look.

A viewer that applies a presentation state no longer applies the image's own LUTs, so the state
carries them: modality LUT, first VOI LUT or window, polarity, shape of a pixel. Only numbers and
defined terms are taken; a malformed LUT is left out, and the viewer shows the full range.
Sources: PS3.3 C.11.1 (modality LUT), C.11.2 and C.11.8 (VOI LUT), C.11.6 (presentation LUT),
C.10.4 (displayed area).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from pydicom.dataset import Dataset, FileDataset
from pydicom.valuerep import format_number_as_ds

from lambdas.shared.dicom import text

MAX_LUT_ENTRIES: Final = 65_536

_LUT_FUNCTIONS: Final = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
_UNSPECIFIED: Final = "US"
"""Modality LUT Type and Rescale Type; what the source says may be anyone's text."""


@dataclass(frozen=True, slots=True)
class Display:
    """Attributes of a presentation state that keep the look of an image.

    Attributes:
        columns: As stored.
        rows: As stored.
        modality: Of the Modality LUT module; empty where the image has none.
        voi: Item of the Softcopy VOI LUT Sequence; None where the image has none.
        inverse: Whether the lowest value is white (MONOCHROME1).
        aspect_ratio: Height and width of a pixel, as whole numbers.
    """

    columns: int
    rows: int
    modality: Dataset
    voi: Dataset | None
    inverse: bool
    aspect_ratio: tuple[int, int]


def display_of(dataset: FileDataset) -> Display:
    """How a data set that was read as a radiograph asks to be shown."""
    return Display(
        columns=int(dataset.Columns),
        rows=int(dataset.Rows),
        modality=_modality(dataset),
        voi=_voi(dataset),
        inverse=text(dataset, "PhotometricInterpretation") == "MONOCHROME1",
        aspect_ratio=_aspect_ratio(dataset),
    )


def _modality(dataset: FileDataset) -> Dataset:
    attributes = Dataset()
    lut = _first_lut(dataset, "ModalityLUTSequence")
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    if lut is not None:
        lut.ModalityLUTType = _UNSPECIFIED
        attributes.ModalityLUTSequence = [lut]
    elif slope and intercept is not None:
        attributes.RescaleIntercept = format_number_as_ds(intercept)
        attributes.RescaleSlope = format_number_as_ds(slope)
        attributes.RescaleType = _UNSPECIFIED
    return attributes


def _voi(dataset: FileDataset) -> Dataset | None:
    item = Dataset()
    lut = _first_lut(dataset, "VOILUTSequence")
    centre, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    if lut is not None:
        item.VOILUTSequence = [lut]
        return item
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    if centre is None or width is None or function not in _LUT_FUNCTIONS:
        return None
    if width < 1 if function == "LINEAR" else width <= 0:
        return None
    item.WindowCenter, item.WindowWidth = format_number_as_ds(centre), format_number_as_ds(width)
    if function != "LINEAR":
        item.VOILUTFunction = function
    return item


def _first_lut(dataset: FileDataset, keyword: str) -> Dataset | None:
    """A copy of the first table of a sequence without its explanation; None if malformed."""
    lut = Dataset()
    try:
        source = dataset.get(keyword)[0]
        entries, first, bits = (int(value) for value in source.LUTDescriptor)
        values = _lut_values(source.LUTData, bits, entries or MAX_LUT_ENTRIES)
        if values is None or dataset.original_encoding[1] is False:
            return None  # too short, or in the other order of bytes
        # first is signed where pixels are; a descriptor has one representation for all three
        representation = "SS" if source["LUTDescriptor"].VR == "SS" else "US"
        lut.add_new("LUTDescriptor", representation, [entries, first, bits])
        lut.add_new("LUTData", "OW", values)
    except Exception:  # absent or malformed: it says nothing
        return None
    return lut


def _lut_values(data: Any, bits: int, entries: int) -> bytes | None:
    """Entries of a table as 16-bit little endian words; None where there are too few."""
    if not 8 <= bits <= 16 or entries > MAX_LUT_ENTRIES:
        return None
    if isinstance(data, bytes):
        if bits == 8 and len(data) < 2 * entries:
            # two entries in a word, as some devices write 8-bit tables
            data = data[:entries]
            if len(data) < entries:
                return None
            return b"".join(value.to_bytes(2, "little") for value in data)
        return data[: 2 * entries] if len(data) >= 2 * entries else None
    numbers = [int(value) for value in data]
    if len(numbers) < entries or not all(0 <= value < 1 << 16 for value in numbers):
        return None
    return b"".join(value.to_bytes(2, "little") for value in numbers[:entries])


def _number(dataset: FileDataset, keyword: str) -> float | None:
    """The first value of an attribute as a finite number."""
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return None
        first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value
        number = float(first)
    except Exception:  # a malformed value says nothing
        return None
    return number if math.isfinite(number) else None


def _aspect_ratio(dataset: FileDataset) -> tuple[int, int]:
    """Height and width of a pixel; square where the image does not say.

    PS3.3 10.7.1: the spacing between rows stands first, which is the height.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        try:
            height, width = (float(value) for value in dataset.get(keyword) or ())
            ratio = Fraction(height / width).limit_denominator(10_000)
        except Exception:  # absent or malformed: the next one
            continue
        if 0.1 <= ratio <= 10:
            return ratio.numerator, ratio.denominator
    return 1, 1
