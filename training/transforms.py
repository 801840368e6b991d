"""Augmentation: the small differences between two films of one patient, and nothing else.

Never a mirror image: the heart is on the left, and a finding's side is part of its meaning. All
sizes here are fractions of the square canvas, so one draw serves every resolution.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """How far each property may go, either way.

    Attributes:
        rotation_degrees: Of the patient against the plate.
        shift: Part of the canvas, in x and in y.
        scale: Log of the magnification: 0.1 for a tenth larger or smaller.
        gamma: Log of the exponent that grey values are raised to.
        contrast: Log of the factor about mid grey.
        brightness: Added to grey values in [0, 1].
        noise: Standard deviation of white noise at most; drawn from 0 up.
    """

    rotation_degrees: float = 4.0
    shift: float = 0.04
    scale: float = 0.08
    gamma: float = 0.2
    contrast: float = 0.15
    brightness: float = 0.05
    noise: float = 0.02


@dataclass(frozen=True, slots=True)
class Draws:
    """One draw an image; every array is (N,).

    Attributes:
        angle: Radians, clockwise as seen on the screen (y points down).
        scale: Magnification.
        shift_x: Part of the canvas, to the right.
        shift_y: Part of the canvas, downwards.
        gamma: Exponent of grey values.
        contrast: Factor about mid grey.
        brightness: Added after that.
        noise: Standard deviation.
        noise_seed: Of the noise.
    """

    angle: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    shift_x: npt.NDArray[np.float64]
    shift_y: npt.NDArray[np.float64]
    gamma: npt.NDArray[np.float64]
    contrast: npt.NDArray[np.float64]
    brightness: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64]
    noise_seed: int


def draw(count: int, *, generator: np.random.Generator, ranges: Ranges | None = None) -> Draws:
    """Draw the augmentation of `count` images; uniform within the ranges."""
    limits = ranges or Ranges()

    def within(limit: float) -> npt.NDArray[np.float64]:
        return generator.uniform(-limit, limit, count)

    return Draws(
        angle=np.deg2rad(within(limits.rotation_degrees)),
        scale=np.exp(within(limits.scale)),
        shift_x=within(limits.shift),
        shift_y=within(limits.shift),
        gamma=np.exp(within(limits.gamma)),
        contrast=np.exp(within(limits.contrast)),
        brightness=within(limits.brightness),
        noise=generator.uniform(0, limits.noise, count),
        noise_seed=int(generator.integers(2**31)),
    )


def augment_images(images: Tensor, draws: Draws) -> Tensor:
    """Move and re-expose a batch.

    Args:
        images: (N, 1, S, S) float32 in [0, 1], on any device.
        draws: Of N images.

    Returns:
        (N, 1, S, S) float32 in [0, 1]; 0 where the canvas shows nothing.
    """
    grid = functional.affine_grid(
        torch.as_tensor(_output_to_input(draws), dtype=images.dtype, device=images.device),
        list(images.shape),
        align_corners=False,
    )
    moved = functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    inside = functional.grid_sample(torch.ones_like(images), grid, align_corners=False)
    exposed = moved.clamp(0, 1) ** _column(draws.gamma, images)
    exposed = (exposed - 0.5) * _column(draws.contrast, images) + 0.5
    exposed = exposed + _column(draws.brightness, images)
    # drawn on the CPU: the same noise on every device
    noise = torch.randn(
        images.shape, generator=torch.Generator().manual_seed(draws.noise_seed), dtype=images.dtype
    )
    exposed = exposed + noise.to(images.device) * _column(draws.noise, images)
    return exposed.clamp(0, 1) * inside


def augment_boxes(boxes: npt.NDArray[Any], draws: Draws, *, index: int) -> npt.NDArray[np.float64]:
    """Move boxes along with their image.

    The new edges enclose the ellipse that the old box enclosed, turned: a finding seldom reaches
    into its box's corners, and the hull of turned corners would widen a spine's box by half.

    Args:
        boxes: (B, 4) x_min, y_min, x_max, y_max as fractions of the canvas.
        draws: Of the batch.
        index: Which image of it.

    Returns:
        (B, 4) clipped to the canvas; a box that has left it is empty.
    """
    angle, scale = float(draws.angle[index]), float(draws.scale[index])
    center = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    turn = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.asarray([draws.shift_x[index], draws.shift_y[index]])
    moved = scale * center @ turn.T + shift + 0.5
    reach = scale * np.sqrt(half**2 @ (turn.T**2))
    return np.asarray(np.clip(np.concatenate([moved - reach, moved + reach], axis=1), 0.0, 1.0))


def _output_to_input(draws: Draws) -> npt.NDArray[np.float64]:
    """(N, 2, 3) maps from output to input, in affine_grid's frame: -1 to 1 from edge to edge."""
    cos, sin = np.cos(draws.angle) / draws.scale, np.sin(draws.angle) / draws.scale
    inverse = np.stack([np.stack([cos, sin], 1), np.stack([-sin, cos], 1)], 1)
    shift = 2 * np.stack([draws.shift_x, draws.shift_y], 1)[:, :, None]
    return np.concatenate([inverse, -inverse @ shift], axis=2)


def _column(values: npt.NDArray[np.float64], like: Tensor) -> Tensor:
    """(N, 1, 1, 1) on the device of `like`."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).reshape(-1, 1, 1, 1)
