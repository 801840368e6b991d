"""From thickness to grey values: beam, scatter, detector, presentation, collimation, noise."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.phantoms.anatomy import Anatomy
from training.phantoms.geometry import Canvas, resample, smoothstep, stream
from training.phantoms.matter import WATER_PER_MM
from training.phantoms.plan import StudyPlan

DETAIL_LIMIT_PX = 1100
"""Anatomy is drawn with at most this many pixels along the film's long side and enlarged from
there; noise and markers are made at full size."""


@dataclass(frozen=True, slots=True)
class Technique:
    """How one film is exposed and presented; drawn once per study.

    Attributes:
        scatter: Scattered over primary signal behind the mediastinum.
        noise: Relative standard deviation of the signal where nothing attenuates.
        flatten: Share of the large-scale contrast that the presentation removes, in [0, 1).
        detail: Gain of the small-scale contrast.
        gamma: Exponent of the tone curve.
        black: Signal shown black, as a share of the way from air to the lungs.
        white: Signal shown white, as a share of the way from the lungs to the brightest parts.
        shutter_mm: Collimated margins (left, right, top, bottom); 0 is open to the edge.
        shutter_white: Margins are shown white, as on an unmasked film.
    """

    scatter: float
    noise: float
    flatten: float
    detail: float
    gamma: float
    black: float
    white: float
    shutter_mm: tuple[float, float, float, float]
    shutter_white: bool


def draw_technique(plan: StudyPlan) -> Technique:
    """Draw the exposure of a study."""
    rng = stream(plan.seed, plan.index, "technique")
    portable = plan.view != "PA"
    style = rng.random()
    shutters = np.where(rng.random(4) < 0.16, rng.uniform(2, 14, 4), 0.0)
    return Technique(
        scatter=float(rng.uniform(0.3, 0.6) if not portable else rng.uniform(0.6, 1.1)),
        noise=float(rng.uniform(0.003, 0.007) * (1.5 if portable else 1.0)),
        flatten=float(rng.uniform(0.05, 0.25) if style < 0.6 else rng.uniform(0.25, 0.45)),
        detail=float(rng.uniform(1.0, 1.3) if style < 0.6 else rng.uniform(1.2, 1.8)),
        gamma=float(rng.uniform(0.75, 1.15)),
        black=float(rng.uniform(0.35, 0.8)),
        white=float(rng.uniform(0.98, 1.22)),
        shutter_mm=tuple(float(s) for s in shutters),  # type: ignore[arg-type]
        shutter_white=bool(rng.random() < 0.25),
    )


def detector_signal(thickness: np.ndarray, technique: Technique) -> np.ndarray:
    """Log attenuation as the detector sees it, scatter included.

    Args:
        thickness: (H, W) float32 mm of water along each ray.
        technique: Scatter is read from it.

    Returns:
        (H, W) float32, -ln of the relative signal; 0 in air.
    """
    primary = np.exp(-WATER_PER_MM * np.maximum(thickness, 0))
    rows, columns = thickness.shape
    small = (max(rows // 32, 4), max(columns // 32, 4))
    mean = resample(primary, small)
    wide = resample(_box_blur(_box_blur(mean)), thickness.shape)
    inside = 1 - np.exp(-np.maximum(thickness, 0) / 60)
    return np.asarray(-np.log(primary + technique.scatter * 0.35 * wide * inside), np.float32)


def present(
    signal: np.ndarray, technique: Technique, *, pixel_mm: float, lungs: np.ndarray
) -> np.ndarray:
    """The vendor's processing: compress large-scale contrast, lift detail, apply a tone curve.

    Args:
        signal: (H, W) float32 from `detector_signal`.
        technique: Presentation settings.
        pixel_mm: Pixel pitch of the signal.
        lungs: (H, W) path through lung, mm; its signal anchors the dark end.

    Returns:
        (H, W) float32, bone bright; about 0 to 1, not clipped.
    """
    rows, columns = signal.shape
    coarse = (max(int(rows * pixel_mm / 9), 4), max(int(columns * pixel_mm / 9), 4))
    base = resample(_box_blur(_box_blur(resample(signal, coarse))), signal.shape)
    detail = signal - base
    shown = (1 - technique.flatten) * base + technique.detail * detail
    sample = shown[::4, ::4]
    aerated = sample[lungs[::4, ::4] > 60]
    dark = float(np.percentile(aerated, 8)) if aerated.size else float(np.percentile(sample, 20))
    low = technique.black * dark
    high = dark + technique.white * (float(np.percentile(sample, 99)) - dark)
    level = np.clip((shown - low) / max(high - low, 0.3), 0, None)
    # a shoulder: the brightest parts are compressed rather than cut off
    bright = level > 0.8
    level[bright] = 0.8 + 0.2 * np.tanh((level[bright] - 0.8) / 0.2)
    # exp and log run in vector registers, a power does not
    return np.asarray(np.exp(technique.gamma * np.log(np.maximum(level, 1e-6))), np.float32)


def _box_blur(image: np.ndarray) -> np.ndarray:
    """3 x 3 mean with edges repeated."""
    padded = np.pad(image, 1, mode="edge")
    across = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray((across[:-2] + across[1:-1] + across[2:]) / 9)


@dataclass(frozen=True, slots=True)
class Film:
    """The picture's frame: its size, and where film mm fall on it.

    Attributes:
        width_px: Columns.
        height_px: Rows.
        pixel_mm: Pitch in film mm.
        centre_mm: Film mm at the picture's centre.
        tilt: Rotation of the patient in the image plane, radians.
    """

    width_px: int
    height_px: int
    pixel_mm: float
    centre_mm: tuple[float, float]
    tilt: float

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) film mm to pixels of the picture."""
        cosine, sine = np.cos(self.tilt), np.sin(self.tilt)
        away = (points - np.array(self.centre_mm)) / self.pixel_mm
        turned = np.column_stack(
            (cosine * away[:, 0] - sine * away[:, 1], sine * away[:, 0] + cosine * away[:, 1])
        )
        return np.asarray(turned + np.array((self.width_px / 2, self.height_px / 2)))

    def take(self, image: np.ndarray, canvas: Canvas) -> np.ndarray:
        """Resample a canvas onto the picture, (height_px, width_px) float32."""
        scale = self.pixel_mm / canvas.pixel_mm
        cosine, sine = np.cos(self.tilt) * scale, np.sin(self.tilt) * scale
        centre_x = (self.centre_mm[0] - canvas.x_min_mm) / canvas.pixel_mm
        centre_y = (self.centre_mm[1] - canvas.y_min_mm) / canvas.pixel_mm
        half_w, half_h = self.width_px / 2, self.height_px / 2
        matrix = (
            cosine, sine, centre_x - cosine * half_w - sine * half_h,
            -sine, cosine, centre_y + sine * half_w - cosine * half_h,
        )  # fmt: skip
        picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
        method = Image.Resampling.BILINEAR if scale > 0.8 else Image.Resampling.BICUBIC
        turned = picture.transform(
            (self.width_px, self.height_px), Image.Transform.AFFINE, matrix, method
        )
        return np.array(turned, np.float32)


def frame_film(plan: StudyPlan, anatomy: Anatomy, *, size_px: int) -> tuple[Film, Canvas]:
    """The picture and the canvas that is drawn for it.

    Args:
        plan: Gives the tilt.
        anatomy: Gives the field.
        size_px: Long side of the picture, pixels.

    Returns:
        Film, and a canvas that covers it with a margin for the tilt.
    """
    x_min, x_max, y_min, y_max = anatomy.field
    long_mm = max(x_max - x_min, y_max - y_min)
    pixel_mm = long_mm / size_px
    film = Film(
        width_px=round((x_max - x_min) / pixel_mm),
        height_px=round((y_max - y_min) / pixel_mm),
        pixel_mm=pixel_mm,
        centre_mm=((x_min + x_max) / 2, (y_min + y_max) / 2),
        tilt=float(np.deg2rad(plan.tilt_deg)),
    )
    margin = 4 + 0.5 * long_mm * abs(np.sin(film.tilt))
    coarse_mm = max(pixel_mm, long_mm / DETAIL_LIMIT_PX)
    canvas = Canvas(
        width_px=int(np.ceil((x_max - x_min + 2 * margin) / coarse_mm)),
        height_px=int(np.ceil((y_max - y_min + 2 * margin) / coarse_mm)),
        pixel_mm=coarse_mm,
        x_min_mm=x_min - margin,
        y_min_mm=y_min - margin,
    )
    return film, canvas


def add_noise(level: np.ndarray, plan: StudyPlan, technique: Technique, film: Film) -> np.ndarray:
    """Quantum noise: the fewer photons, the more; independent of the picture's size in mm.

    Args:
        level: (H, W) float32, presented picture, 0 to 1.
        plan: Gives the random numbers.
        technique: Gives the amount.
        film: Gives the pixel pitch: small pixels catch few photons.

    Returns:
        A new (H, W) float32.
    """
    rng = stream(plan.seed, plan.index, "noise")
    grains = rng.standard_normal(level.shape, dtype=np.float32)
    # the detector spreads light to its neighbours
    grains[:, 1:] += 0.45 * grains[:, :-1]
    grains[1:] += 0.45 * grains[:-1]
    fineness = min(0.45 / film.pixel_mm, 2.0) ** 0.6
    amount = technique.noise * technique.detail * fineness * (0.6 + 0.8 * level)
    return np.asarray(level + amount * grains)


def collimate(level: np.ndarray, technique: Technique, film: Film) -> np.ndarray:
    """Shutters at the margins, with the blur of a diaphragm far from the detector."""
    x = np.arange(film.width_px, dtype=np.float32) * film.pixel_mm
    y = np.arange(film.height_px, dtype=np.float32) * film.pixel_mm
    left, right, top, bottom = technique.shutter_mm
    open_x, open_y = np.ones_like(x), np.ones_like(y)
    if left:
        open_x *= smoothstep((x - left) / 1.5)
    if right:
        open_x *= smoothstep((x[-1] - right - x) / 1.5)
    if top:
        open_y *= smoothstep((y - top) / 1.5)
    if bottom:
        open_y *= smoothstep((y[-1] - bottom - y) / 1.5)
    if open_x.all() and open_y.all() and not any(technique.shutter_mm):
        return level
    window = open_y[:, None] * open_x[None, :]
    return np.asarray(level * window + (1 - window) * (0.97 if technique.shutter_white else 0.0))


def digitise(level: np.ndarray) -> np.ndarray:
    """0 to 1 as 16 bit grey values, (H, W) uint16, MONOCHROME2 (bone bright)."""
    return np.asarray(np.clip(level, 0, 1) * 65535 + 0.5).astype(np.uint16)
