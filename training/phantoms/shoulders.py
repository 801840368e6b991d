"""Clavicles, scapulae and upper arms."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import Bars, bars_along
from training.phantoms.geometry import Canvas, smooth_curve, stream
from training.phantoms.matter import CORTEX_WATER, TRABECULAR_WATER
from training.phantoms.plan import StudyPlan

Points = Sequence[tuple[float, float, float]]
"""Control points of a bone: distance from the midline, height, radius; mm."""


PIECE_MM = 1.6
"""Length of the straight pieces of a bone."""


def arm_abduction(plan: StudyPlan) -> float:
    """Sideways run of the upper arm per mm downwards; small when the patient lies."""
    rng = stream(plan.seed, plan.index, "arms")
    low, high = (0.10, 0.34) if plan.view == "PA" else (0.0, 0.16)
    return float(rng.uniform(low, high))


def draw_shoulders(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas
) -> tuple[np.ndarray, list[Bars]]:
    """Shoulder girdles; the scapulae lie over the lungs unless rolled away (PA).

    Returns:
        The scapulae's blades, (H, W) mm of water, and all the other bones as bars.
    """
    rng = stream(plan.seed, plan.index, "shoulders")
    rolled = rng.uniform(0, 9) if plan.view == "PA" else rng.uniform(16, 34)
    lean = arm_abduction(plan)
    lift = rng.normal(0, 4)
    size, wide = anatomy.size, anatomy.half_width
    outlines = []
    bars = []
    for side in (-1, 1):
        jitter = rng.normal(0, 2.5, 4)
        end_y = -4 + lift + jitter[0]
        clavicle = (
            (13, 50, 7), (18, 47, 8.5), (30, 42, 6.8), (0.36 * wide, 35 + jitter[1], 5.4),
            (0.58 * wide, 24, 5.2), (0.80 * wide, 8 + 0.4 * lift, 5.8), (wide + 2, end_y - 3, 6.4),
            (wide + 13, end_y + 1, 5.0),
        )  # fmt: skip
        bars.append(_bone(anatomy, side, clavicle, z=46, wall=1.6))
        out = wide + 25 - rolled
        tip = (out - 27 - 0.3 * rolled + jitter[2], 152 * size + jitter[3])
        top = (out - 50, 14 + lift)
        blade = [
            (out - 1, 40 + lift), (out - 9, 90), tip, (out - 44, 92), (out - 54, 44), top,
            (out - 20, 15 + lift),
        ]  # fmt: skip
        border = _project(anatomy, side, np.array(blade, float), -58)
        outlines.append(smooth_curve(border, 80, closed=True))
        bones: tuple[tuple[Points, float, float], ...] = (
            # lateral border, medial border, spine with acromion, coracoid, socket
            (((out, 46, 5.5), (out - 8, 84, 4.4), (out - 18, 120, 3.4), (*tip, 2.6)), -58, 1.3),
            (((*tip, 2.2), (out - 44, 92, 1.8), (out - 54, 44, 1.6), (*top, 1.5)), -58, 0.9),
            (
                (
                    (out - 52, 46, 2.2), (out - 26, 24 + lift, 3.4), (out + 6, 2 + lift, 6.0),
                    (out + 22, 1 + lift, 6.5), (out + 30, 6 + lift, 3.5),
                ),
                -66, 1.3,
            ),
            (
                ((out - 14, 27 + lift, 5.0), (out - 20, 16 + lift, 5.4), (out - 9, 13 + lift, 4)),
                10, 1.3,
            ),
            (
                ((out - 1, 16 + lift, 3.5), (out + 3, 28 + lift, 5), (out - 1, 42 + lift, 3.5)),
                -50, 1.4,
            ),
        )  # fmt: skip
        bars += [_bone(anatomy, side, points, z=z, wall=wall) for points, z, wall in bones]
        x, y = out + 27, 28 + lift
        humerus = (
            (x - 2, y - 22, 20), (x - 1, y - 10, 21), (x, y, 21.5),
            (x + 3, y + 10, 20), (x + 6, y + 22, 15.5), (x + 8, y + 40, 12.5),
            (x + 9 + 30 * lean, y + 75, 11.5),
            (x + 9 + 130 * lean, y + 175, 11), (x + 9 + 290 * lean, y + 335, 11),
        )  # fmt: skip
        bars.append(_bone(anatomy, side, humerus, z=-20, wall=2.4))
    return _plates(canvas, outlines, thickness=4.5), bars


def _project(anatomy: Anatomy, side: int, points: np.ndarray, z: float) -> np.ndarray:
    """(N, 2) distance from the midline and height at depth z, to film mm."""
    x = anatomy.beam.project_x(side * points[:, 0], z)
    return np.column_stack((x, anatomy.beam.project_y(points[:, 1], z)))


def _bone(anatomy: Anatomy, side: int, points: Points, *, z: float, wall: float) -> Bars:
    """A hollow bone through control points."""
    rough = smooth_curve(np.array(points, float), 12 * len(points))
    run = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(rough[:, :2], axis=0).T))))
    # even pieces leave no pattern, and the ends are rounded like the bone's
    at = np.linspace(0, run[-1], max(int(run[-1] / PIECE_MM), 8))
    x, y, radius = (np.interp(at, run, column) for column in rough.T)
    radius = np.maximum(radius, 0.8)
    ahead = np.clip(np.minimum(at, run[-1] - at) / radius, 0.02, 1)
    return bars_along(
        _project(anatomy, side, np.column_stack((x, y)), z),
        radius=radius * np.sqrt(1 - (1 - ahead) ** 2) * anatomy.size,
        wall=wall,
        density=0.8 * CORTEX_WATER,
        core=0.5 * TRABECULAR_WATER,
    )


def _plates(canvas: Canvas, outlines: Sequence[np.ndarray], *, thickness: float) -> np.ndarray:
    """Thin flat bones: their outlines filled evenly, (H, W) mm of water."""
    picture = Image.new("F", (canvas.width_px, canvas.height_px))
    pen = ImageDraw.Draw(picture)
    for outline in outlines:
        pixels = (outline - (canvas.x_min_mm, canvas.y_min_mm)) / canvas.pixel_mm
        pen.polygon([(float(x), float(y)) for x, y in pixels], fill=thickness)
    return np.array(picture, np.float32)
