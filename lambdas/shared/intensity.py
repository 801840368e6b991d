"""The percentile step that every format ends in, so that one film in any encoding is one image."""

from typing import Final

import numpy as np

from lambdas.shared.errors import UnsupportedImageError
from lambdas.shared.radiograph import FloatImage

LOW_PERCENTILE: Final = 0.5
HIGH_PERCENTILE: Final = 99.5
"""Careful loaders of 16-bit radiographs window at these percentiles; there is no standard rule."""

FLAT_LINE_FRACTION: Final = 0.02
"""A row or column whose values spread over less than this part of the image's range belongs to a
collimator, a border or empty air, not to the patient. Above the noise of JPEG at quality 75."""

MAX_BORDER_FRACTION: Final = 0.4
"""No border may take more than this part of a side: what is left must still be a chest."""

BLANK_LEVELS: Final = 1e-6
"""A range this small beside the largest magnitude is one value but for rounding."""


def normalise(pixels: FloatImage) -> FloatImage:
    """Rescale so that the 0.5th and 99.5th percentile within the collimation become 0 and 1.

    Args:
        pixels: (H, W) float32 in any linear unit, MONOCHROME2 sense (bone bright).

    Returns:
        (H, W) float32 in [0, 1]; values beyond the percentiles are clipped.

    Raises:
        UnsupportedImageError: All pixels have one value, or nearly all have.
    """
    rows, columns = exposed_field(pixels)
    low, high = np.percentile(pixels[rows, columns], (LOW_PERCENTILE, HIGH_PERCENTILE))
    largest = max(abs(float(low)), abs(float(high)), 1.0)
    if not high - low > BLANK_LEVELS * largest:
        raise UnsupportedImageError(
            "nearly all pixels have one value, so nothing is shown; send the exposed image",
            code="blank_image",
        )
    scaled = (pixels - np.float32(low)) * np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def exposed_field(pixels: FloatImage) -> tuple[slice, slice]:
    """Rows and columns left when flat borders (collimation, padding, frames) are peeled off.

    Args:
        pixels: (H, W) float32.

    Returns:
        Slices of rows and columns; the whole image where there is no flat border.
    """
    low, high = np.percentile(pixels, (LOW_PERCENTILE, HIGH_PERCENTILE))
    tolerance = FLAT_LINE_FRACTION * float(high - low)
    rows = _peel(_spread(pixels, axis=1) <= tolerance)
    columns = _peel(_spread(pixels[rows], axis=0) <= tolerance)
    return rows, columns


def _spread(pixels: FloatImage, *, axis: int) -> FloatImage:
    """Range of each line's inner 98 %: a side marker or a speck in a border is not exposure."""
    # every 4th sample: a percentile of some hundred values is steady, and sorting all is not free
    samples = pixels[:, ::4] if axis == 1 else pixels[::4]
    low, high = np.percentile(samples, (1, 99), axis=axis)
    return np.asarray(high - low, np.float32)


def _peel(flat: np.ndarray) -> slice:
    """Range of lines between the flat ones at either end."""
    limit = int(len(flat) * MAX_BORDER_FRACTION)
    lines = np.flatnonzero(~flat)
    if not len(lines):
        return slice(0, len(flat))
    return slice(min(int(lines[0]), limit), max(int(lines[-1]) + 1, len(flat) - limit))
