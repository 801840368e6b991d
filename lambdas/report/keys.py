"""Where a finding's number stands: beside its box, on as little of any box as possible.

Pure geometry, shared by the page and the thumbnail. Lengths are in the drawing's own unit (points
or pixels), origin top left, y downwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

KEY_ON_KEY_COST: Final = 20.0
"""Weight of covering another number against covering the same area of a box."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Edges in the drawing's unit, origin top left."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


def scale_box(box: Mapping[str, float], *, width: float, height: float) -> Rectangle:
    """A record's `box_normalised` on a drawing of this size."""
    return Rectangle(
        box["x_min"] * width, box["y_min"] * height, box["x_max"] * width, box["y_max"] * height
    )


def place_keys(
    boxes: Sequence[Rectangle],
    *,
    frame: tuple[float, float],
    key: tuple[float, float],
    taken: Sequence[Rectangle] = (),
    widths: Sequence[float] | None = None,
) -> list[Rectangle]:
    """One rectangle for each box's number, inside the frame and outside boxes where there is room.

    Args:
        boxes: In the order of their numbers.
        frame: Width and height of the drawing.
        key: Width and height of a number's rectangle.
        taken: Rectangles that no number may cover, such as side letters.
        widths: Of each rectangle, where words make them differ; None for that of `key`.
    """
    placed: list[Rectangle] = []
    for box, width in zip(boxes, widths or [key[0]] * len(boxes), strict=True):
        placed.append(
            min(
                _candidates(box, frame, (width, key[1])),
                key=lambda place: (
                    KEY_ON_KEY_COST * sum(_overlap(place, other) for other in (*placed, *taken))
                    + sum(_overlap(place, other) for other in boxes)
                ),
            )
        )
    return placed


def _candidates(
    box: Rectangle, frame: tuple[float, float], key: tuple[float, float]
) -> list[Rectangle]:
    """Places around the box, the best first, then its inner corners; each within the frame."""
    width, height = key
    corners = [
        (box.x_min, box.y_min - height),
        (box.x_max - width, box.y_min - height),
        (box.x_min - width, box.y_min),
        (box.x_max, box.y_min),
        (box.x_min, box.y_max),
        (box.x_max - width, box.y_max),
        (box.x_min - width, box.y_max - height),
        (box.x_max, box.y_max - height),
        *((box.x_min + step * width, box.y_min - height) for step in (1, 2, 3, 4)),
        *((box.x_min - width, box.y_min + step * height) for step in (1, 2, 3, 4)),
        (box.x_min, box.y_min),
        (box.x_max - width, box.y_min),
    ]
    places = []
    for x, y in corners:
        x_min = max(0.0, min(x, frame[0] - width))
        y_min = max(0.0, min(y, frame[1] - height))
        places.append(Rectangle(x_min, y_min, x_min + width, y_min + height))
    return places


def _overlap(first: Rectangle, second: Rectangle) -> float:
    width = min(first.x_max, second.x_max) - max(first.x_min, second.x_min)
    height = min(first.y_max, second.y_max) - max(first.y_min, second.y_min)
    return width * height if width > 0 and height > 0 else 0.0
