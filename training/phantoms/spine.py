"""The spine: bodies, discs, pedicles, processes, and what ageing adds to them."""

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.anatomy import SPINE_Z_MM, Anatomy
from training.phantoms.bars import Bars, bars_along
from training.phantoms.geometry import Canvas, stream
from training.phantoms.matter import CALCIUM_WATER, TRABECULAR_WATER
from training.phantoms.plan import StudyPlan


def draw_spine(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Vertebral bodies, discs, pedicles and processes, (H, W) mm of water equivalent."""
    size = anatomy.size
    centre = anatomy.spine_at(canvas.y[:, 0])
    patch = canvas.patch(centre.min() - 40, centre.max() + 40, -400, 900)
    column = patch.y[:, 0]
    middle = anatomy.spine_at(column).astype(np.float32)
    slope = (np.gradient(middle) / canvas.pixel_mm).astype(np.float32)[:, None]
    u = patch.x - middle[:, None]
    # vertebrae tilt with the curve: their endplates stay square to it
    along = np.clip(
        patch.y + slope * u, np.float32(anatomy.discs[0]), np.float32(anatomy.discs[-1] - 1)
    )
    phase = np.interp(along, anatomy.discs, np.arange(len(anatomy.discs))).astype(np.float32)
    level = phase.astype(int)
    p = phase - level.astype(np.float32)
    height = np.diff(anatomy.discs)
    tall = height.astype(np.float32)[level]
    narrowed = degenerate_levels(plan)[::2]
    gap_top = np.where(np.isin(np.arange(len(height)), narrowed), 0.05, 0.105)
    gap_bottom = np.append(gap_top[1:], 0.105)
    top = gap_top.astype(np.float32)[level] * 1.0
    bottom = 1 - gap_bottom.astype(np.float32)[level]
    half_px = _half_width(anatomy, np.arange(len(height))).astype(np.float32)[level]
    waist = half_px * (0.90 + 0.10 * (2 * np.abs(p - 0.5)) ** 2)
    side = np.abs(u) / waist
    inside = side < 1
    from_top, from_bottom = (p - top) * tall, (bottom - p) * tall
    within = np.clip(np.minimum(from_top, from_bottom) / 0.8, 0, 1)
    chord = np.sqrt(np.maximum(1 - side * side, 0))
    body = within * chord * half_px * 1.5 * TRABECULAR_WATER
    plate = np.exp(-((np.minimum(np.abs(from_top), np.abs(from_bottom)) / 1.0) ** 2))
    sclerosis = 1 + 0.9 * np.isin(np.arange(len(height)), narrowed).astype(np.float32)[level]
    body += plate * inside * 3.4 * sclerosis * np.sqrt(chord)
    rim = np.exp(-(((1 - side) * waist / 1.1) ** 2)) * within
    body += 3.2 * rim
    # pedicles: rings at the upper half, on both sides
    px, py = (np.abs(u) - 0.62 * half_px) / (3.7 * size), (p - 0.36) * tall / (5.6 * size)
    ring = np.sqrt(px * px + py * py)
    body += 3.2 * np.exp(-(((ring - 1) / 0.22) ** 2)) + np.float32(1.6) * (ring < 1)
    # spinous process: a drop hanging over the next level
    sy = (p - 0.80) * tall / (7.0 * size)
    sx = u / (2.9 * size)
    drop = np.sqrt(sx * sx + sy * sy)
    body += 4.2 * np.exp(-(((drop - 0.85) / 0.3) ** 2)) + np.float32(2.2) * (drop < 0.85)
    # transverse processes
    reach = np.clip((34 * size - np.abs(u)) / 6, 0, 1) * (np.abs(u) > half_px * 0.9)
    body += 3.0 * reach * np.exp(-(((p - 0.30) * tall / (4.2 * size)) ** 2))
    total = np.zeros(canvas.shape, np.float32)
    total[patch.index] = body
    return total


def degenerate_levels(plan: StudyPlan) -> np.ndarray:
    """Indices of the discs with osteophytes; empty where the spine is not degenerate."""
    if not plan.sides(v.VERTEBRAL_DEGENERATION):
        return np.zeros(0, int)
    rng = stream(plan.seed, plan.patient.number, "degeneration")
    count = 2 + round(3 * plan.severity(v.VERTEBRAL_DEGENERATION))
    first = int(rng.integers(9, 15 - count + 1))
    return np.arange(first, first + count)


def osteophyte_bars(plan: StudyPlan, anatomy: Anatomy) -> list[Bars]:
    """Beaks at the corners of degenerate levels, some of them bridging the disc."""
    levels = degenerate_levels(plan)
    rng = stream(plan.seed, plan.patient.number, "osteophytes")
    length = 5 + 6 * plan.severity(v.VERTEBRAL_DEGENERATION)
    bars = []
    for level in levels:
        y = float(anatomy.discs[level])
        x = float(anatomy.spine_at(y))
        half = _half_width(anatomy, float(level))
        for side in (-1, 1):
            for above in (-1, 1):
                beak = length * rng.uniform(0.5, 1.2)
                curl = above * rng.uniform(-0.5, 2.0)
                points = np.array(
                    [
                        (x + side * (half - 4), y + above * 4.5),
                        (x + side * (half + 0.5 * beak), y + above * 3.6),
                        (x + side * (half + beak), y + curl),
                    ]
                )
                bars.append(
                    bars_along(
                        points,
                        radius=np.array([3.2, 2.6, 1.0]) * anatomy.size,
                        density=CALCIUM_WATER,
                    )
                )
    return bars


def degenerate_box(plan: StudyPlan, anatomy: Anatomy) -> np.ndarray:
    """Corners of the degenerate stretch with its beaks, (2, 2) film mm."""
    levels = degenerate_levels(plan)
    y = anatomy.discs[levels]
    x = anatomy.spine_at(y)
    reach = (
        _half_width(anatomy, float(levels.max())) + 6 + 6 * plan.severity(v.VERTEBRAL_DEGENERATION)
    )
    return np.array([(x.min() - reach, y.min() - 9), (x.max() + reach, y.max() + 9)])


def _half_width(anatomy: Anatomy, level: np.ndarray | float) -> np.ndarray:
    """Half-width of the vertebral body below a disc, film mm."""
    scale = anatomy.size * float(anatomy.beam.scale(SPINE_Z_MM))
    return np.asarray(scale * np.interp(level, [0, 4, 15, 20], [9.5, 12.5, 18, 21]))
