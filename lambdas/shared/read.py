"""Read any radiograph: bytes in, `Radiograph` out. The one reader of production and training.

Whatever the format: modality values (larger is denser), reduced to working size, then the
percentile step. Call it through `isolated_reader` for files that nobody vouches for.
"""

import hashlib
import math
import warnings
from typing import Any, Final

import numpy as np

from lambdas.shared.dicom import (
    check_is_chest_radiograph,
    parse_dicom,
    patient_orientation,
    required_integer,
    text,
)
from lambdas.shared.dicom_pixels import modality_values, transfer_syntax
from lambdas.shared.errors import (
    InputError,
    ResourceLimitError,
    UnreadableImageError,
    UnsupportedImageError,
)
from lambdas.shared.intensity import normalise
from lambdas.shared.limits import MAX_FILE_BYTES
from lambdas.shared.preprocess import resize
from lambdas.shared.radiograph import (
    WORKING_LONG_SIDE_PX,
    FloatImage,
    ImageFacts,
    Radiograph,
)
from lambdas.shared.raster import read_raster
from lambdas.shared.sniff import ARCHIVES, RASTER_FORMATS, SNIFF_BYTES, sniff

MAX_SPACING_MM: Final = 10.0
"""A pixel wider than this is no radiograph's: the attribute holds something else."""


def read_radiograph(data: bytes, *, long_side_px: int = WORKING_LONG_SIDE_PX) -> Radiograph:
    """Read one radiograph.

    Args:
        data: The whole file. Its format is taken from the content.
        long_side_px: Longer side of the result at most. All stages use the default, so that all
            see the same pixels; only a display asks for more.

    Raises:
        UnreadableImageError: Not an image, or broken.
        UnsupportedImageError: Not a frontal chest radiograph for presentation.
        MissingTagError: A DICOM attribute that decoding needs is absent.
        ResourceLimitError: Too many bytes or pixels.
    """
    if len(data) > MAX_FILE_BYTES:
        raise too_many_bytes(len(data))
    image_format = sniff(data[:SNIFF_BYTES])
    with warnings.catch_warnings():
        # libraries warn of values out of form, quoting them, and of sizes, which are checked here
        warnings.simplefilter("ignore")
        if image_format == "dicom":
            pixels, facts = _read_dicom(data, long_side_px)
        elif image_format in RASTER_FORMATS:
            pixels, facts = _read_raster(data, image_format)
        else:
            raise not_a_radiograph_file(image_format)
    return Radiograph(pixels=normalise(_reduced(pixels, long_side_px)), facts=facts)


def too_many_bytes(size_bytes: int) -> ResourceLimitError:
    """The rejection of a file too large to be read at all."""
    return ResourceLimitError(
        f"the file has {size_bytes} bytes, at most {MAX_FILE_BYTES} are read; "
        "send one radiograph a file",
        code="too_many_bytes",
    )


def not_a_radiograph_file(image_format: str) -> InputError:
    """The rejection of a format that is not read, by its sniffed name."""
    if image_format == "empty":
        return UnreadableImageError("the file is empty; copy or export it again", code="empty_file")
    if image_format in ARCHIVES:
        return UnsupportedImageError(
            f"the file is a {image_format} archive, whatever its name; unpack it and send "
            "the images in it",
            code="compressed_archive",
        )
    if image_format in ("text", "unknown"):
        return UnreadableImageError(
            f"the content is {'text' if image_format == 'text' else 'no known image format'}; "
            "send PNG, JPEG, TIFF or DICOM",
            code="not_an_image",
        )
    return UnsupportedImageError(
        f"the content is {image_format}; send the radiograph as DICOM, PNG, JPEG or TIFF",
        code="unsupported_format",
    )


def _read_raster(data: bytes, image_format: str) -> tuple[FloatImage, ImageFacts]:
    grey = read_raster(data, image_format)
    pixels = grey.samples.astype(np.float32)
    if grey.inverted:
        np.negative(pixels, out=pixels)
    facts = ImageFacts(
        format=image_format,
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
        bits_stored=grey.bits_stored,
        photometric_interpretation=grey.photometric_interpretation,
        view=None,
        pixel_spacing_mm=None,
        patient_orientation=None,
        transfer_syntax=None,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return pixels, facts


def _read_dicom(data: bytes, long_side_px: int) -> tuple[FloatImage, ImageFacts]:
    dataset = parse_dicom(data)
    check_is_chest_radiograph(dataset)
    pixels = modality_values(dataset, size_bytes=len(data), long_side_px=long_side_px)
    facts = ImageFacts(
        format="dicom",
        width_px=required_integer(dataset, "Columns"),
        height_px=required_integer(dataset, "Rows"),
        bits_stored=required_integer(dataset, "BitsStored"),
        photometric_interpretation=text(dataset, "PhotometricInterpretation") or "MONOCHROME2",
        view=_plain(text(dataset, "ViewPosition")),
        pixel_spacing_mm=_pixel_spacing_mm(dataset),
        patient_orientation=patient_orientation(dataset),
        transfer_syntax=_plain(transfer_syntax(dataset)),
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return pixels, facts


def _plain(value: str) -> str | None:
    """A code fit for a record: short, letters, digits, dot, dash; None where blank or free text."""
    plain = value.isascii() and all(c.isalnum() or c in " ._-" for c in value)
    return value if value and plain and len(value) <= 64 else None


def _pixel_spacing_mm(dataset: Any) -> tuple[float, float] | None:
    """Row and column spacing in mm; at the detector where the calibrated one is absent.

    PS3.3 10.7.1: Pixel Spacing (0028,0030), else Imager Pixel Spacing (0018,1164).
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            row, column = (float(value) for value in dataset.get(keyword) or ())
        except Exception:  # a malformed spacing says nothing
            continue
        if all(math.isfinite(mm) and 0 < mm <= MAX_SPACING_MM for mm in (row, column)):
            return row, column
    return None


def _reduced(pixels: FloatImage, long_side_px: int) -> FloatImage:
    """At most `long_side_px` long, never enlarged."""
    height, width = pixels.shape
    scale = long_side_px / max(height, width)
    if scale >= 1:
        return pixels
    return resize(
        pixels, height_px=max(1, round(height * scale)), width_px=max(1, round(width * scale))
    )
