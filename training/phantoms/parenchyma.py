"""Findings inside the lung: consolidation, reticulation, plate atelectasis, nodules."""

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import Bars, bars_along, bars_between
from training.phantoms.findings import Outline, rectangle
from training.phantoms.geometry import Canvas, smooth_curve, smooth_noise, smoothstep, stream
from training.phantoms.plan import StudyPlan


def _spot(
    anatomy: Anatomy, rng: np.random.Generator, side: int, *, high: float, low: float, reach: float
) -> tuple[float, float]:
    """A place in a lung with `reach` mm of lung around it where that is possible; film mm."""
    dome = anatomy.domes[0 if side < 0 else 1]
    y = rng.uniform(high, low) * dome.top_y
    y = min(y, dome.top_y - 0.5 * reach)
    outer = float(anatomy.lung_outer(np.array([y]))[0]) - 0.6 * reach - 4
    inner = max(float(anatomy.lung_inner(np.array([y]))[0]), 44.0) + 0.5 * reach
    return side * float(rng.uniform(min(inner, outer), max(inner, outer))), float(y)


def draw_consolidation(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas, cavity: np.ndarray
) -> tuple[np.ndarray, list[Outline]]:
    """Alveolar pattern: merging, ill-defined clouds.

    Returns:
        (H, W) float32 share of lung replaced, and one outline per side.
    """
    fill = np.zeros(canvas.shape, np.float32)
    outlines = []
    for side in plan.sides(v.ALVEOLAR_PATTERN):
        rng = stream(plan.seed, plan.index, "alveolar", side + 1)
        severity = plan.severity(v.ALVEOLAR_PATTERN)
        radius = 24 + 28 * severity
        cx, cy = _spot(anatomy, rng, side, high=0.34, low=0.92, reach=radius)
        patch = canvas.patch(
            cx - 2.4 * radius, cx + 2.4 * radius, cy - 2.4 * radius, cy + 2.4 * radius
        )
        cloud = np.zeros(np.broadcast_shapes(patch.x.shape, patch.y.shape), np.float32)
        for _ in range(int(rng.integers(6, 11))):
            px, py = rng.normal(0, 0.42 * radius, 2)
            puff = radius * rng.uniform(0.32, 0.62)
            away = ((patch.x - cx - px) ** 2 + (patch.y - cy - py) ** 2) / puff**2
            cloud += rng.uniform(0.5, 1.0) * np.exp(-np.minimum(away, 30))
        grain = smooth_noise(rng, canvas, 5)[patch.index]
        coarse = smooth_noise(rng, canvas, 13)[patch.index]
        uneven = 1 + 0.22 * grain + 0.32 * coarse
        dense = smoothstep((cloud / cloud.max() * uneven - 0.06) / 1.05)
        share = (0.34 + 0.28 * severity) * dense
        one_side = patch.x * side > 0
        fill[patch.index] = np.maximum(fill[patch.index], share * one_side)
        seen = (share > 0.07) & (cavity[patch.index] > 12) & one_side
        rows, columns = np.nonzero(seen)
        x, y = patch.x[0, columns], patch.y[rows, 0]
        outlines.append(
            rectangle(v.ALVEOLAR_PATTERN, (x.min() - 1, x.max() + 1), (y.min() - 1, y.max() + 1))
        )
    return fill, outlines


def interstitial_bars(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], list[Outline]]:
    """A net of fine lines and dots towards the bases, with septal lines at the lateral wall."""
    bars: list[Bars] = []
    outlines: list[Outline] = []
    for side in plan.sides(v.INTERSTITIAL_PATTERN):
        rng = stream(plan.seed, plan.index, "interstitial", side + 1)
        severity = plan.severity(v.INTERSTITIAL_PATTERN)
        top = anatomy.base_y * rng.uniform(0.36, 0.52)
        count = int(1000 + 1000 * severity)
        y = top + (anatomy.base_y - top) * rng.beta(1.6, 1.0, count)
        outer = anatomy.lung_outer(y) - 2
        x = 20 + (outer - 20) * rng.beta(1.3, 1.0, count)
        above = y < anatomy.dome_y(side, x) + 8
        x, y = x[above], y[above]
        angle = rng.uniform(0, np.pi, len(x))
        length = rng.uniform(2, 7, len(x))
        half = 0.5 * length[:, None] * np.column_stack((np.cos(angle), np.sin(angle)))
        centre = np.column_stack((side * x, y))
        radius = rng.uniform(0.35, 0.75, len(x)) * (0.85 + 0.5 * severity)
        bars.append(
            bars_between(
                centre - half, centre + half, radius_start=radius, radius_end=radius, density=6.0
            )
        )
        dots = rng.random(len(x)) < 0.12
        size = rng.uniform(0.9, 1.7, dots.sum())
        bars.append(
            bars_between(
                centre[dots] - (size / 2)[:, None] * (1, 0),
                centre[dots] + (size / 2)[:, None] * (1, 0),
                radius_start=size,
                radius_end=size,
                density=2.6,
            )
        )
        # Kerley B: short, horizontal, at the lateral wall above the angle
        rungs = anatomy.base_y - rng.uniform(18, 62, int(5 + 8 * severity))
        wall = anatomy.lung_outer(rungs) - 1
        start = np.column_stack((side * wall, rungs))
        end = np.column_stack((side * (wall - rng.uniform(9, 16, len(rungs))), rungs + 1))
        thin = np.full(len(rungs), 0.5)
        bars.append(bars_between(start, end, radius_start=thin, radius_end=thin, density=4.0))
        dome = anatomy.domes[0 if side < 0 else 1]
        low = dome.top_y + 0.6 * dome.lateral_drop
        across = (side * 22.0, side * (anatomy.half_width - 1))
        outlines.append(rectangle(v.INTERSTITIAL_PATTERN, across, (top + 10, low)))
    return bars, outlines


def atelectasis_bars(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], list[Outline]]:
    """Plates seen on edge: straight bands above the diaphragm."""
    bars: list[Bars] = []
    outlines: list[Outline] = []
    for side in plan.sides(v.LAMINAR_ATELECTASIS):
        rng = stream(plan.seed, plan.index, "atelectasis", side + 1)
        severity = plan.severity(v.LAMINAR_ATELECTASIS)
        dome = anatomy.domes[0 if side < 0 else 1]
        points = []
        y = dome.top_y - rng.uniform(12, 34)
        for _ in range(1 + int(severity > 0.55)):
            length = rng.uniform(36, 48) + 26 * severity
            limit = float(anatomy.lung_outer(np.array([y]))[0]) - 3
            away = rng.uniform(0.5, 0.66) * anatomy.half_width
            if side > 0:
                away = max(away, float(anatomy.heart[:, 0].max()) - 4 + 0.28 * length)
            # at least two thirds of the plate lie inside the lung, whatever the heart's size
            middle = side * min(away, limit - 0.17 * length)
            lean = np.tan(np.deg2rad(rng.normal(0, 11)))
            run = np.array([-0.5, 0.0, 0.5]) * length
            line = np.column_stack(
                (middle + run, y + lean * run + np.array([0, rng.normal(0, 1.5), 0]))
            )
            line[:, 0] = np.clip(line[:, 0], -limit, limit)
            curve = smooth_curve(line, 24)
            taper = np.sqrt(1.05 - np.linspace(-1, 1, 24) ** 2)
            thick = (1.1 + 1.1 * severity) * taper * rng.uniform(0.9, 1.1, 24)
            # a plate runs many times deeper along the ray than it is thick
            bars.append(bars_along(curve, radius=thick, density=5.5))
            points.append(curve)
            y -= rng.uniform(11, 19)
        extent = np.concatenate(points)
        pad = np.array([3.0, 5.0])
        corners = np.array([extent.min(axis=0) - pad, extent.max(axis=0) + pad])
        outlines.append(Outline(v.LAMINAR_ATELECTASIS, corners))
    return bars, outlines


def draw_nodule(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas
) -> tuple[np.ndarray, list[Outline]]:
    """Round nodules, slightly lobed: (H, W) float32 mm of soft tissue, and their outlines."""
    total = np.zeros(canvas.shape, np.float32)
    outlines = []
    for side in plan.sides(v.NODULE):
        rng = stream(plan.seed, plan.index, "nodule", side + 1)
        radius = 4.5 + 8 * plan.severity(v.NODULE)
        cx, cy = _spot(anatomy, rng, side, high=0.2, low=0.95, reach=radius + 4)
        patch = canvas.patch(cx - 2 * radius, cx + 2 * radius, cy - 2 * radius, cy + 2 * radius)
        dx, dy = patch.x - cx, patch.y - cy
        angle = np.arctan2(dy, dx)
        lobes = 1 + 0.08 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.05 * np.sin(5 * angle)
        depth = radius * lobes * np.sqrt(np.maximum(1 - (dx**2 + dy**2) / (radius * lobes) ** 2, 0))
        total[patch.index] += 2.4 * depth
        edge = radius * 1.1 + 1.5
        outlines.append(rectangle(v.NODULE, (cx - edge, cx + edge), (cy - edge, cy + edge)))
    return total, outlines
