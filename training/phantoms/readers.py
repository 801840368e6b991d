"""Two readers' boxes around a true box.

Reader 1 is close to the truth, so that a detector can be judged against it; reader 2 strays until
the two agree as two radiologists do on that label (`vocabulary.Entry.reader_iou`).
"""

import numpy as np

from lambdas.shared.boxes import UnitBox

FIRST_READER_SPREAD = 0.025
"""Standard deviation of reader 1's edges, of the box's width or height."""

SPREADS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.11, 0.14, 0.18, 0.22, 0.27, 0.33, 0.40)
MEAN_IOU = (0.924, 0.904, 0.863, 0.817, 0.773, 0.709, 0.652, 0.579, 0.516, 0.448, 0.378, 0.315)
"""Mean overlap of the two readers where reader 2's edges have the spread above; from 20,000
simulated pairs per point, on a box that does not touch the picture's edge."""

MISSED_SHARE = 0.03
"""Share of boxes that reader 2 does not draw."""

SMALLEST_SIDE = 0.25
"""A reader's box keeps at least this share of the true width and height."""


def reader_spread(iou: float) -> float:
    """Spread of reader 2's edges that gives this mean overlap, in [0, 0.4]."""
    return float(np.interp(-iou, [-m for m in MEAN_IOU], SPREADS))


def read_box(rng: np.random.Generator, truth: UnitBox, *, spread: float) -> UnitBox:
    """A reader's box.

    Args:
        rng: Random numbers.
        truth: The drawn finding's box.
        spread: Standard deviation of each edge, of the box's width or height.

    Returns:
        A box inside the picture, at least SMALLEST_SIDE as wide and high as the true one, or as
        much of that as the picture leaves.
    """
    wide, tall = truth.x_max - truth.x_min, truth.y_max - truth.y_min
    moved = rng.normal(0, spread, 4)
    x = _edges(truth.x_min + moved[0] * wide, truth.x_max + moved[1] * wide, wide)
    y = _edges(truth.y_min + moved[2] * tall, truth.y_max + moved[3] * tall, tall)
    return UnitBox(x[0], y[0], x[1], y[1])


def _edges(low: float, high: float, size: float) -> tuple[float, float]:
    """Two edges put in order, kept apart and inside [0, 1]."""
    least = SMALLEST_SIDE * size
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
    if high <= least:
        low, high = 0.0, least
    if low >= 1 - least:
        low, high = 1 - least, 1.0
    return max(low, 0.0), min(high, 1.0)
