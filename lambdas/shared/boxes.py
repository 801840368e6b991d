"""Boxes, with the frame in the type's name.

Axis order is x then y; origin is the image's top left corner; x grows to the right, y downwards.
`x_max` and `y_max` are exclusive edges: a box over a whole image is (0, 0, width, height).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PixelBox:
    """Edges in pixels of the original image (as stored, before any resize)."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def __post_init__(self) -> None:
        """Refuse an empty or inside-out box."""
        _check_order(self)

    def normalised(self, *, width_px: int, height_px: int) -> "UnitBox":
        """The same box as fractions of the image's width and height."""
        return UnitBox(
            self.x_min / width_px,
            self.y_min / height_px,
            self.x_max / width_px,
            self.y_max / height_px,
        )


@dataclass(frozen=True, slots=True)
class UnitBox:
    """Edges as fractions of the image's width and height, each in [0, 1]."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    def __post_init__(self) -> None:
        """Refuse an empty or inside-out box, and one that leaves the image."""
        _check_order(self)
        if min(self.x_min, self.y_min) < 0 or max(self.x_max, self.y_max) > 1:
            raise ValueError(f"box leaves the unit square: {self}")

    def in_pixels(self, *, width_px: int, height_px: int) -> PixelBox:
        """The same box in pixels of an image of this size."""
        return PixelBox(
            self.x_min * width_px,
            self.y_min * height_px,
            self.x_max * width_px,
            self.y_max * height_px,
        )


def intersection_over_union(first: PixelBox | UnitBox, second: PixelBox | UnitBox) -> float:
    """Area of the overlap over the area of the union, in [0, 1]; both boxes in one frame."""
    width = min(first.x_max, second.x_max) - max(first.x_min, second.x_min)
    height = min(first.y_max, second.y_max) - max(first.y_min, second.y_min)
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / (_area(first) + _area(second) - overlap)


def _area(box: PixelBox | UnitBox) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)


def _check_order(box: PixelBox | UnitBox) -> None:
    # written so that NaN fails as well
    if not (box.x_min < box.x_max and box.y_min < box.y_max):
        raise ValueError(f"box is empty or inside out: {box}")
