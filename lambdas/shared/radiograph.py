"""What every stage is given: one radiograph, ready for a model, and the facts a record needs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

PIPELINE_VERSION: Final = 1
"""Bumped by any change to reading or preprocessing: it is part of `model_set`, so that old and new
results never share a key."""

WORKING_LONG_SIDE_PX: Final = 1200
"""Longer side of `Radiograph.pixels` at most. Enough for an 800 px detector and for print at about
180 dpi over a page's width; below half of the usual 2,500 px plates, so that JPEG 2000 need decode
only its half-size resolution level. One size for all stages, so that all see the same pixels."""

FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of the image as stored. No patient attribute is among them.

    Attributes:
        format: `png`, `jpeg`, `tiff` or `dicom`.
        width_px: Columns as stored.
        height_px: Rows as stored.
        bits_stored: Significant bits of a sample.
        photometric_interpretation: As stored, in DICOM's terms (PS3.3 C.7.6.3.1.2).
        view: DICOM View Position (0018,5101): `PA`, `AP`, …; None where the file does not say.
        pixel_spacing_mm: Row spacing, column spacing in mm; None where the file does not say.
        patient_orientation: DICOM Patient Orientation (0020,0020): direction of the rows, of the
            columns, such as (`L`, `F`); None where the file does not say.
        transfer_syntax: DICOM Transfer Syntax UID; None for other formats.
        size_bytes: Size of the file.
        sha256: Hex digest of the file's bytes.
    """

    format: str
    width_px: int
    height_px: int
    bits_stored: int
    photometric_interpretation: str
    view: str | None
    pixel_spacing_mm: tuple[float, float] | None
    patient_orientation: tuple[str, str] | None
    transfer_syntax: str | None
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One frontal chest radiograph for presentation.

    Attributes:
        pixels: (H, W) float32 in [0, 1], MONOCHROME2 sense (bone bright), the whole image at
            working size: the longer side is at most `WORKING_LONG_SIDE_PX`, never enlarged.
        facts: Of the image as stored; its size is the frame of every `PixelBox`.
    """

    pixels: FloatImage
    facts: ImageFacts
