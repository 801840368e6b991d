"""The radiograph itself, without boxes: for a viewer, for a PNG file, and back out of a report.

A report holds the film as a grey JPEG beneath its boxes (overlay.py draws it so), which makes
report.pdf enough to look at a result whose image is elsewhere.
"""

import io
import re
import struct
from typing import Final

import numpy as np
from PIL import Image

from lambdas.shared.radiograph import WORKING_LONG_SIDE_PX, FloatImage

SAMPLES_HEAD: Final = struct.Struct("<II")
"""Before the samples of `viewer_samples`: width and height in pixels."""

TOP_SAMPLE: Final = 65535

_PDF_IMAGE: Final = re.compile(rb"<<[^<>]*/DCTDecode[^<>]*>>\s*stream\r?\n")
"""The dictionary of a JPEG in a PDF as reportlab writes it; ISO 32000-1, 7.3.8 and 8.9.5."""

_LENGTH: Final = re.compile(rb"/Length\s+(\d{1,9})\b")


def to_grey16(pixels: FloatImage) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """(H, W) in [0, 1] to 0 … 65535, rounded; values outside are clipped."""
    return np.rint(np.clip(pixels, 0, 1) * TOP_SAMPLE).astype(np.uint16)


def viewer_samples(pixels: FloatImage) -> bytes:
    """A film for a viewer that windows by itself.

    16 bits, because 8 would show steps as soon as a window is narrowed.

    Args:
        pixels: (H, W) in [0, 1].

    Returns:
        `SAMPLES_HEAD`, then H rows of W samples, unsigned 16 bit, little endian.
    """
    height, width = pixels.shape
    return SAMPLES_HEAD.pack(width, height) + to_grey16(pixels).astype("<u2").tobytes()


def png_bytes(pixels: FloatImage) -> bytes:
    """A 16-bit grey PNG of an image (H, W) in [0, 1]."""
    target = io.BytesIO()
    # noise hardly compresses: looking for longer matches costs twice the time and gains nothing
    Image.fromarray(to_grey16(pixels)).save(target, "PNG", compress_level=1)
    return target.getvalue()


def film_of_report(pdf: bytes) -> FloatImage | None:
    """The film that a report.pdf of ours shows, (H, W) in [0, 1]; None where it shows none.

    Any other PDF gives None, or a picture that happens to be in it: nothing is decoded that is
    larger than a film at working size.
    """
    for found in _PDF_IMAGE.finditer(pdf):
        length = _LENGTH.search(found.group())
        if length is None:
            continue
        content = pdf[found.end() : found.end() + int(length[1])]
        try:
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                if max(image.size) > WORKING_LONG_SIDE_PX:
                    continue
                return np.asarray(image.convert("L"), np.float32) / np.float32(255)
        except (OSError, SyntaxError, ValueError):  # what Pillow raises on bytes that are no JPEG
            continue
    return None
