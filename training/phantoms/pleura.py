"""Fluid and thickening in the pleural space: the share of each ray's lung that they replace."""

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.anatomy import Anatomy
from training.phantoms.findings import Outline, rectangle
from training.phantoms.geometry import Canvas, smooth_noise, smoothstep, stream
from training.phantoms.plan import StudyPlan

CAP_LIMIT_Y_MM = 46.0
"""Apical caps end here, below the second rib."""


def draw_pleura(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas, cavity: np.ndarray
) -> tuple[np.ndarray, list[Outline]]:
    """Effusions, blunted angles and apical caps.

    Args:
        plan: Which, how severe and where.
        anatomy: The lungs' borders.
        canvas: The grid.
        cavity: (H, W) path through the pleural space, mm.

    Returns:
        (H, W) float32 share of the lung replaced, in [0, 1], and one outline per box.
    """
    fill = np.zeros(canvas.shape, np.float32)
    outlines = []
    for side in plan.sides(v.PLEURAL_EFFUSION):
        if plan.view == "AP_horizontal":
            share, outline = _lying_effusion(plan, anatomy, canvas, side)
        else:
            share, outline = _upright_effusion(plan, anatomy, canvas, side)
        fill = np.maximum(fill, share)
        outlines.append(outline)
    for side in plan.sides(v.COSTOPHRENIC_BLUNTING):
        share, outline = _blunting(plan, anatomy, canvas, side)
        fill = np.maximum(fill, share)
        outlines.append(outline)
    for side in plan.sides(v.APICAL_THICKENING):
        share, outline = _apical_cap(plan, canvas, cavity, side)
        fill = np.maximum(fill, share)
        outlines.append(outline)
    return fill, outlines


def _half(canvas: Canvas, side: int) -> np.ndarray:
    """1 on one side of the midline, 0 on the other, (1, W)."""
    return np.asarray(canvas.x * side > 0, np.float32)


def _upright_effusion(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas, side: int
) -> tuple[np.ndarray, Outline]:
    """A level that climbs along the lateral wall: the meniscus."""
    rng = stream(plan.seed, plan.index, "effusion", side + 1)
    height = 42 + 80 * plan.severity(v.PLEURAL_EFFUSION) * rng.uniform(0.8, 1)
    rise = rng.uniform(24, 42)
    x = np.abs(canvas.x[0])
    out = np.clip((x - 14) / (anatomy.half_width - 14), 0, 1)
    level = anatomy.base_y - height - rise * out**3.5 - 8 * (1 - out) ** 5
    # fluid thins out upwards around the lung, so the edge is soft
    share = smoothstep((canvas.y - level[None, :] + 12) / 26) * _half(canvas, side)
    inside = (canvas.x[0] * side > 16) & (x < anatomy.half_width)
    visible = inside & (level < anatomy.dome_y(side, x) - 2)
    across = (
        canvas.x[0][visible]
        if visible.any()
        else np.array([side * 0.8, side * 1.0]) * (anatomy.half_width)
    )
    top = float(level[visible].min()) if visible.any() else anatomy.base_y - height - rise
    return share.astype(np.float32), rectangle(
        v.PLEURAL_EFFUSION,
        (float(across.min()), float(across.max())),
        (top - 4, anatomy.base_y + 2),
    )


def _lying_effusion(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas, side: int
) -> tuple[np.ndarray, Outline]:
    """Lying, the fluid spreads behind the lung: a veil, denser towards the base."""
    severity = plan.severity(v.PLEURAL_EFFUSION)
    top = (0.52 - 0.24 * severity) * anatomy.base_y
    ramp = smoothstep((canvas.y - top) / (anatomy.base_y - top))
    share = (0.42 + 0.33 * severity) * ramp * _half(canvas, side)
    across = (side * 18.0, side * anatomy.half_width)
    return share.astype(np.float32), rectangle(
        v.PLEURAL_EFFUSION, across, (top + 14, anatomy.base_y + 2)
    )


def _blunting(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas, side: int
) -> tuple[np.ndarray, Outline]:
    """The angle is filled by a concave wedge; less than an effusion."""
    severity = plan.severity(v.COSTOPHRENIC_BLUNTING)
    height, width = 27 + 15 * severity, 36 + 20 * severity
    corner_x = float(anatomy.lung_outer(np.array([anatomy.base_y - height / 2]))[0])
    x = np.maximum(corner_x - np.abs(canvas.x), 0) / width
    y = np.maximum(anatomy.base_y - canvas.y, 0) / height
    wedge = x**0.6 + y**0.6
    share = smoothstep((1.1 - wedge) / 0.2) * _half(canvas, side)
    return share.astype(np.float32), rectangle(
        v.COSTOPHRENIC_BLUNTING,
        (side * (corner_x - width), side * (corner_x + 3)),
        (anatomy.base_y - height - 3, anatomy.base_y + 3),
    )


def _apical_cap(
    plan: StudyPlan, canvas: Canvas, cavity: np.ndarray, side: int
) -> tuple[np.ndarray, Outline]:
    """A cap under the apex with an uneven lower border."""
    rng = stream(plan.seed, plan.patient.number, "cap", side + 1)
    thick = 6 + 11 * plan.severity(v.APICAL_THICKENING)
    half = _half(canvas, side)
    lung = (cavity > 0) & (half > 0) & (canvas.y < CAP_LIMIT_Y_MM)
    column = lung.any(axis=0)
    top = np.where(column, canvas.y[lung.argmax(axis=0), 0], 1e4)
    uneven = 1 + 0.13 * smooth_noise(rng, canvas, 20)[:1]
    share = (1 - smoothstep((canvas.y - top[None, :] - thick * uneven) / 5)) * lung
    fading = 1 - smoothstep((canvas.y - CAP_LIMIT_Y_MM + 14) / 14)
    share = (0.92 * share * fading).astype(np.float32)
    rows, columns = np.nonzero(share > 0.3)
    x, y = canvas.x[0, columns], canvas.y[rows, 0]
    return share, rectangle(
        v.APICAL_THICKENING,
        (float(x.min()) - 2, float(x.max()) + 2),
        (float(y.min()) - 3, float(y.max()) + 2),
    )
