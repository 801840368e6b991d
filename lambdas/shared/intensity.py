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

MARGIN_FRACTION: Final = 0.03
"""Left out of the percentiles on each side of the field: a collimator's edge is blurred, and lossy
compression rings there by up to a block of 8 pixels."""

MAX_NESTED_BORDERS: Final = 4
"""Shutters within padding within a frame; each is found when the one around it is gone."""

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
    rows, columns = (_inner(lines) for lines in exposed_field(pixels))
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
    rows, columns = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
    for _ in range(MAX_NESTED_BORDERS):
        before = rows, columns
        rows = _peel(_spread(pixels[:, columns], axis=1) <= tolerance, rows)
        columns = _peel(_spread(pixels[rows], axis=0) <= tolerance, columns)
        if (rows, columns) == before:
            break
    return rows, columns


def _spread(pixels: FloatImage, *, axis: int) -> FloatImage:
    """Range of each line's inner 90 %: a side marker or a speck in a border is not exposure."""
    # every 4th sample: a percentile of some hundred values is steady, and sorting all is not free
    samples = pixels[:, ::4] if axis == 1 else pixels[::4]
    low, high = np.percentile(samples, (5, 95), axis=axis)
    return np.asarray(high - low, np.float32)


def _peel(flat: np.ndarray, lines: slice) -> slice:
    """`lines` without the flat ones at either end."""
    limit = int(len(flat) * MAX_BORDER_FRACTION)
    exposed = np.flatnonzero(~flat[lines]) + lines.start
    if not len(exposed):
        return lines
    return slice(min(int(exposed[0]), limit), max(int(exposed[-1]) + 1, len(flat) - limit))


def _inner(lines: slice) -> slice:
    """Lines without a margin at either end."""
    margin = int((lines.stop - lines.start) * MARGIN_FRACTION)
    return slice(lines.start + margin, lines.stop - margin)
