"""From a radiograph to a model's input, and from the model's boxes back to the image.

Training imports this module, so that a model sees in production what it saw in training.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lambdas.shared.boxes import UnitBox
from lambdas.shared.errors import ContractError
from lambdas.shared.radiograph import FloatImage


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The `input` part of a bundle's model.json.

    Attributes:
        height_px: Rows of the model's input.
        width_px: Columns of the model's input.
        channels: 1, or 3 where the grey value is repeated.
        resize: `letterbox` (aspect kept, centred, padded with 0) or `stretch`.
        mean: Per channel, subtracted from pixels in [0, 1].
        std: Per channel, divided by after that.
    """

    height_px: int
    width_px: int
    channels: int
    resize: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> "InputSpec":
        """From the `input` object of model.json."""
        return cls(
            height_px=facts["height_px"],
            width_px=facts["width_px"],
            channels=facts["channels"],
            resize=facts["resize"],
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies within a model's input; edges in pixels of that input."""

    left: int
    top: int
    width: int
    height: int

    def unit_box(self, edges: npt.NDArray[np.floating[Any]]) -> UnitBox | None:
        """A model's box as fractions of the image; None where nothing of it lies on the image.

        Args:
            edges: x_min, y_min, x_max, y_max in pixels of the model's input.
        """
        x_min, x_max = np.clip((edges[[0, 2]] - self.left) / self.width, 0.0, 1.0)
        y_min, y_max = np.clip((edges[[1, 3]] - self.top) / self.height, 0.0, 1.0)
        if not (x_min < x_max and y_min < y_max):
            return None
        return UnitBox(float(x_min), float(y_min), float(x_max), float(y_max))

    def input_edges(self, box: UnitBox) -> tuple[float, float, float, float]:
        """A box on the image as x_min, y_min, x_max, y_max in pixels of the model's input."""
        return (
            self.left + box.x_min * self.width,
            self.top + box.y_min * self.height,
            self.left + box.x_max * self.width,
            self.top + box.y_max * self.height,
        )


def place(*, height_px: int, width_px: int, spec: InputSpec) -> Placement:
    """Where an image of this size lies within the input that `spec` describes."""
    if spec.resize == "stretch":
        return Placement(0, 0, spec.width_px, spec.height_px)
    if spec.resize != "letterbox":
        raise ContractError(f"resize is {spec.resize!r}, expected letterbox or stretch")
    scale = min(spec.height_px / height_px, spec.width_px / width_px)
    width = max(1, round(width_px * scale))
    height = max(1, round(height_px * scale))
    return Placement((spec.width_px - width) // 2, (spec.height_px - height) // 2, width, height)


def fit(pixels: FloatImage, spec: InputSpec) -> tuple[FloatImage, Placement]:
    """Resize a radiograph onto a model's canvas.

    Args:
        pixels: (H, W) float32 in [0, 1].
        spec: Of the model.

    Returns:
        (spec.height_px, spec.width_px) float32 in [0, 1], 0 where padded; and where the image lies.
    """
    placement = place(height_px=pixels.shape[0], width_px=pixels.shape[1], spec=spec)
    canvas = np.zeros((spec.height_px, spec.width_px), np.float32)
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    canvas[rows, columns] = resize(pixels, height_px=placement.height, width_px=placement.width)
    return canvas, placement


def to_input(canvas: FloatImage, spec: InputSpec) -> npt.NDArray[np.float32]:
    """(1, C, H, W) float32 for a model, from the (H, W) canvas in [0, 1] that `fit` returned."""
    shape = (1, spec.channels, 1, 1)
    mean = np.asarray(spec.mean, np.float32).reshape(shape)
    std = np.asarray(spec.std, np.float32).reshape(shape)
    return (canvas[None, None] - mean) / std


def resize(pixels: FloatImage, *, height_px: int, width_px: int) -> FloatImage:
    """Resize (H, W) float32 with a triangle filter as wide as the reduction: no aliasing."""
    if pixels.shape == (height_px, width_px):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(image.resize((width_px, height_px), Image.Resampling.BILINEAR))
