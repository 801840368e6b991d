"""Where things lie: the drawing grid, the X-ray beam, and how matter is deposited on the grid.

Frames. *Patient* millimetres: x to the patient's left (image right), y downwards, z towards the
sternum; origin on the midline at the height of the lung apices, in the mid-coronal plane.
*Film* millimetres: the patient's x and y after projection, scaled so that the mid-coronal plane
keeps its size. *Canvas* pixels: film millimetres on a regular grid, (row, column).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from PIL import Image

BEAM_CENTRE_Y_MM = 150.0
"""Height of the central ray: about T7, where a chest film is centred."""

STEP_PX = 1.0
"""Spacing of deposited samples where it can be held: a bilinear deposit cancels the ripple of
samples one pixel apart, and leaves 10 % of it at two thirds of a pixel."""

Samples = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Points with a volume: x and y in film mm, volume in mm³, of one shape."""


def stream(seed: int, *keys: int | str) -> np.random.Generator:
    """Random numbers for one purpose.

    Args:
        seed: The data set's seed, >= 0.
        *keys: What the numbers are for, such as a study's index and a part's name. Two purposes
            never share numbers, so that adding a finding leaves the rest of the patient as it was.

    Returns:
        A generator that depends on seed and keys alone.
    """
    words = [crc32(key.encode()) if isinstance(key, str) else key for key in keys]
    return np.random.default_rng([seed, *words])


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of the canvas: its index, and its pixel centres in film mm, (1, w) and (h, 1)."""

    index: tuple[slice, slice]
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Canvas:
    """A regular grid over the film; x_min_mm, y_min_mm are the outer edges of its first pixel."""

    width_px: int
    height_px: int
    pixel_mm: float
    x_min_mm: float
    y_min_mm: float

    @cached_property
    def x(self) -> np.ndarray:
        """Film mm of the columns' centres, (1, W) float32."""
        columns = np.arange(self.width_px, dtype=np.float32)
        return (self.x_min_mm + (columns + 0.5) * self.pixel_mm)[None, :].astype(np.float32)

    @cached_property
    def y(self) -> np.ndarray:
        """Film mm of the rows' centres, (H, 1) float32."""
        rows = np.arange(self.height_px, dtype=np.float32)
        return (self.y_min_mm + (rows + 0.5) * self.pixel_mm)[:, None].astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height_px, self.width_px

    def patch(self, x_min: float, x_max: float, y_min: float, y_max: float) -> Patch:
        """The pixels whose centres lie in a rectangle of film mm; at least 1 x 1 pixel."""
        columns = _span(x_min - self.x_min_mm, x_max - self.x_min_mm, self.pixel_mm, self.width_px)
        rows = _span(y_min - self.y_min_mm, y_max - self.y_min_mm, self.pixel_mm, self.height_px)
        return Patch((rows, columns), self.x[:, columns], self.y[rows])

    def deposit(self, samples: Iterable[Samples]) -> np.ndarray:
        """Spread point volumes over their four nearest pixels, added up.

        Args:
            samples: Groups of (x, y, volume), each of one shape: film mm, film mm, mm³; a negative
                volume takes away. Groups of some ten thousand points are fastest: their
                arrays stay in the processor's cache.

        Returns:
            (H, W) float32, thickness along the ray in mm. What falls outside is lost.
        """
        total = np.zeros(self.height_px * self.width_px, np.float32)
        scale = np.float32(1.0 / (self.pixel_mm * self.pixel_mm))
        per_mm = np.float32(1.0 / self.pixel_mm)
        left = np.float32(self.x_min_mm + 0.5 * self.pixel_mm)
        top = np.float32(self.y_min_mm + 0.5 * self.pixel_mm)
        for x_mm, y_mm, volume in samples:
            fx = (np.ravel(x_mm).astype(np.float32) - left) * per_mm
            fy = (np.ravel(y_mm).astype(np.float32) - top) * per_mm
            weight = np.ravel(volume).astype(np.float32) * scale
            inside = (fx >= 0) & (fx < self.width_px - 1) & (fy >= 0) & (fy < self.height_px - 1)
            if not inside.all():
                fx, fy, weight = fx[inside], fy[inside], weight[inside]
            column, row = fx.astype(np.int32), fy.astype(np.int32)
            fx -= column
            fy -= row
            corner = row.astype(np.intp) * self.width_px + column
            low = weight * fy
            high = weight - low
            right, low_right = high * fx, low * fx
            np.add.at(total, corner, high - right)
            np.add.at(total, corner + 1, right)
            np.add.at(total, corner + self.width_px, low - low_right)
            np.add.at(total, corner + (self.width_px + 1), low_right)
        return np.asarray(total.reshape(self.shape))


def _span(low_mm: float, high_mm: float, pixel_mm: float, size_px: int) -> slice:
    """Rows or columns whose centres lie between two distances from the first pixel's edge."""
    start = min(max(int(np.ceil(low_mm / pixel_mm - 0.5)), 0), size_px - 1)
    stop = max(min(int(np.floor(high_mm / pixel_mm - 0.5)) + 1, size_px), start + 1)
    return slice(start, stop)


@dataclass(frozen=True, slots=True)
class Beam:
    """A point source and how the patient stands in front of it.

    Attributes:
        source_mm: Source to detector.
        depth_mm: Detector to the mid-coronal plane.
        detector_in_front: True for PA (the sternum faces the detector).
        yaw: Rotation about the long axis, radians; positive turns the sternum to the image right.
        lordosis: Tilt of the central ray in the sagittal plane, radians; positive lifts what lies
            in front (clavicles) relative to what lies behind.
    """

    source_mm: float
    depth_mm: float
    detector_in_front: bool
    yaw: float
    lordosis: float

    @property
    def magnification(self) -> float:
        """Size on the detector over true size, for the mid-coronal plane."""
        return self.source_mm / (self.source_mm - self.depth_mm)

    def scale(self, z: np.ndarray | float) -> np.ndarray | float:
        """Magnification at depth z, relative to the mid-coronal plane."""
        towards = z if self.detector_in_front else -z
        return (self.source_mm - self.depth_mm) / (self.source_mm - self.depth_mm + towards)

    def project_x(self, x: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
        """Patient mm to film mm, across."""
        return np.asarray(self.scale(z) * (x * np.cos(self.yaw) + z * np.sin(self.yaw)))

    def project_y(self, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
        """Patient mm to film mm, downwards."""
        lifted = y - BEAM_CENTRE_Y_MM - z * np.tan(self.lordosis)
        return np.asarray(self.scale(z) * lifted + BEAM_CENTRE_Y_MM)


def smooth_curve(points: np.ndarray, count: int, *, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom curve through (N, D) points, as (count, D); evenly spaced in parameter."""
    if closed:
        padded = np.concatenate((points[-1:], points, points[:2]))
        span = float(len(points))
    else:
        first = 2 * points[:1] - points[1:2]
        last = 2 * points[-1:] - points[-2:-1]
        padded = np.concatenate((first, points, last))
        span = float(len(points) - 1)
    at = np.linspace(0, span, count, endpoint=not closed)
    index = np.minimum(at.astype(int), int(span) - 1)
    t = (at - index)[:, None]
    p0, p1, p2, p3 = (padded[index + shift] for shift in range(4))
    return np.asarray(
        0.5
        * (
            2 * p1
            + (p2 - p0) * t
            + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
            + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        )
    )


def resample(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 to another (H, W), bicubic when growing, box average when shrinking."""
    method = Image.Resampling.BOX if shape[0] < image.shape[0] else Image.Resampling.BICUBIC
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), method))


def smooth_noise(rng: np.random.Generator, canvas: Canvas, *grains_mm: float) -> np.ndarray:
    """Random (H, W) float32; grains of each width given add about unit variance."""
    total = np.zeros((2, 2), np.float32)
    for grain_mm in sorted(grains_mm, reverse=True):
        rows = max(int(canvas.height_px * canvas.pixel_mm / grain_mm), 2)
        columns = max(int(canvas.width_px * canvas.pixel_mm / grain_mm), 2)
        fresh = rng.standard_normal((rows, columns), dtype=np.float32)
        total = resample(total, fresh.shape) + fresh
    return np.asarray(resample(total, canvas.shape))


def smoothstep(value: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
