"""Body wall, lungs, heart, great vessels, breasts and abdomen as path lengths along the ray."""

from dataclasses import dataclass

import numpy as np

from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import bars_along, draw_bars, join_bars
from training.phantoms.geometry import Canvas, resample, smooth_curve, smoothstep, stream
from training.phantoms.plan import StudyPlan
from training.phantoms.shoulders import arm_abduction

BODY_GRID_MM = 2.0
"""Pitch of the grid on which the body wall is drawn."""


@dataclass(frozen=True)
class SoftTissue:
    """Path lengths in mm, each (H, W) float32.

    Attributes:
        body: Through everything within the skin.
        cavity: Through the pleural spaces as if heart and aorta were not there.
        heart: Through heart, aorta and great vessels.
        gas: Through air outside the lungs (airways, stomach, bowel).
    """

    body: np.ndarray
    cavity: np.ndarray
    heart: np.ndarray
    gas: np.ndarray

    @property
    def lung(self) -> np.ndarray:
        """Through aerated lung: what heart and vessels leave of the cavity, (H, W) mm."""
        return np.asarray(np.maximum(self.cavity - self.heart, 0.04 * self.cavity))


def draw_soft_tissue(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> SoftTissue:
    """Draw what is neither bone nor a small vessel."""
    return SoftTissue(
        body=_body_wall(plan, anatomy, canvas) + _breasts(plan, anatomy, canvas),
        cavity=_cavity(anatomy, canvas),
        heart=_heart(anatomy, canvas),
        gas=_airways(anatomy, canvas) + _bowel_gas(plan, anatomy, canvas),
    )


def _body_wall(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """The body on the canvas, drawn on a coarser grid: nothing in it is finer than the skin."""
    coarse = max(round(BODY_GRID_MM / canvas.pixel_mm), 1)
    grid = Canvas(
        width_px=-(-canvas.width_px // coarse),
        height_px=-(-canvas.height_px // coarse),
        pixel_mm=canvas.pixel_mm * coarse,
        x_min_mm=canvas.x_min_mm,
        y_min_mm=canvas.y_min_mm,
    )
    shape = (grid.height_px * coarse, grid.width_px * coarse)
    body = resample(_body(plan, anatomy, grid), shape)
    return np.asarray(body[: canvas.height_px, : canvas.width_px])


def _body(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Torso, neck, shoulders and arms; where they overlap the thickest counts."""
    patient = plan.patient
    x, y = np.abs(canvas.x), canvas.y
    depth = 2 * anatomy.half_depth + 34 + 26 * patient.muscle + 90 * patient.fat**1.5
    # skin of the trunk: chest wall, then waist and belly
    column = y[:, 0]
    inner = np.maximum(anatomy.lung_outer(np.clip(column, 0, None)), 0.86 * anatomy.half_width)
    waist = smoothstep((column - anatomy.base_y + 30) / 120)
    # latissimus and pectoral folds widen the trunk towards the armpit
    flare = (20 + 14 * patient.muscle) * (1 - smoothstep((column - 40) / 130))
    wide = inner + anatomy.wall + flare + waist * (26 * patient.fat - 14)
    q = np.minimum((x / wide[:, None].astype(np.float32)) ** 2, 1)
    belly = 1 + (0.10 + 0.25 * patient.fat) * smoothstep((column - 0.62 * anatomy.base_y) / 90)
    upper = smoothstep((column + 95) / 165)
    thick = (depth * belly * upper).astype(np.float32)[:, None]
    trunk = thick * np.sqrt(1 - q * q)
    # neck
    neck_half = 46 + 14 * patient.muscle + 22 * patient.fat + np.clip(column + 20, 0, 60) * 0.9
    neck = 2.0 * np.sqrt(np.maximum(neck_half.astype(np.float32)[:, None] ** 2 - x * x, 0))
    neck *= 1 - smoothstep((y - 5) / 60)
    # shoulders: under the line from the neck to the deltoid, down to the axillary folds
    reach = anatomy.half_width + 82 + 14 * patient.muscle + 20 * patient.fat
    line = -74 + 60 * np.clip((x - 34) / (reach - 60), 0, 1) ** 0.7 - 14 * patient.fat
    line = line + 40 * np.clip((x - reach + 50) / 50, 0, 1) ** 2.5
    below = np.maximum(y - line, 0)
    outward = smoothstep((x - 0.7 * anatomy.half_width) / (0.6 * anatomy.half_width))
    girdle = 0.72 * depth * (1 - outward) + (124 + 34 * patient.fat + 16 * patient.muscle) * outward
    rim = np.sqrt(np.clip((reach + 6 - x) / 46, 0, 1) * (2 - np.clip((reach + 6 - x) / 46, 0, 1)))
    shoulder = girdle * rim * np.sqrt(1 - np.exp(-below / 26))
    shoulder *= 1 - smoothstep((y - 62 - 20 * patient.fat) / 120)
    # arms: held away from the trunk, closer when lying
    away = arm_abduction(plan)
    arm_radius = 46 + 10 * patient.muscle + 18 * patient.fat
    axis = anatomy.half_width + 62 + away * np.clip(y - 20, 0, None)
    across = np.minimum(((x - axis) / arm_radius) ** 2, 1)
    arm = 2 * arm_radius * np.sqrt(1 - across) * smoothstep((y + 10) / 90)
    body = np.maximum(np.maximum(trunk, neck), np.maximum(shoulder, arm))
    return np.asarray(body, np.float32)


def _breasts(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Breasts of women, pectoral muscle of men."""
    patient = plan.patient
    rng = stream(plan.seed, patient.number, "breasts")
    total = np.zeros(canvas.shape, np.float32)
    sag = rng.uniform(0, 30) * (0.4 + 0.6 * patient.breast)
    for side in (-1, 1):
        jitter = rng.normal(0, 3, 3)
        if patient.sex == "F":
            centre_x = side * (0.66 * anatomy.half_width + jitter[0])
            centre_y = 0.62 * anatomy.base_y + sag + jitter[1]
            half_x = min(50 + 22 * patient.breast, abs(centre_x) - 24)
            half_y = 46 + 34 * patient.breast
            thick = 13 + 38 * patient.breast
        else:
            centre_x, centre_y = side * (0.62 * anatomy.half_width + jitter[0]), 92 + jitter[1]
            half_x, half_y, thick = 66.0, 62.0, 8 + 16 * patient.muscle
        patch = canvas.patch(
            centre_x - half_x, centre_x + half_x, centre_y - 1.6 * half_y, centre_y + half_y
        )
        # round and sharp below, fading upwards into the chest
        tall = np.where(patch.y > centre_y, half_y, 1.6 * half_y)
        rim = ((patch.x - centre_x) / half_x) ** 2 + ((patch.y - centre_y) / tall) ** 2
        fade = smoothstep((patch.y - centre_y + 1.6 * half_y) / (2.0 * half_y))
        total[patch.index] += thick * np.sqrt(np.maximum(1 - rim, 0)) * fade
    return total


def _cavity(anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Pleural spaces, ending at the diaphragm, whose back lies lower than its dome."""
    total = np.zeros(canvas.shape, np.float32)
    limit = anatomy.half_width + 4
    for side in (-1, 1):
        low, high = sorted((0.0, side * limit))
        patch = canvas.patch(low, high, 0, anatomy.base_y + 40)
        x, y = np.abs(patch.x), patch.y
        column = y[:, 0]
        outer = anatomy.lung_outer(column).astype(np.float32)[:, None]
        inner = anatomy.lung_inner(column).astype(np.float32)[:, None]
        u = np.clip((x - inner) / np.maximum(outer - inner, 1), 0, 1)
        # steep at the ribs, gentler towards the mediastinum
        lateral = np.clip((u - 0.35) / 0.65, 0, 1)
        medial = np.clip((0.5 - u) / 0.5, 0, 1)
        # products, since a power of three is a slow power
        lateral = 1 - lateral * lateral * lateral
        medial = 1 - medial * medial * medial
        upper = np.clip(column / (0.5 * anatomy.base_y), 0, 1)
        deep = 2 * anatomy.half_depth * (0.94 * (1 - (1 - upper) ** 2) ** 0.5)
        depth = deep.astype(np.float32)[:, None] * np.sqrt(np.maximum(lateral * medial, 0))
        dome = anatomy.dome_y(side, x[0]).astype(np.float32)[None, :]
        # diaphragm surface falls with the square of the distance from its crest, front and back
        hidden = 2 * anatomy.half_depth * np.sqrt(np.maximum(y - dome, 0) / 52)
        inside = (x > inner) & (x < outer)
        total[patch.index] += np.where(inside, np.maximum(depth - hidden, 0), 0)
    return total


def _heart(anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Heart and great vessels; overlapping parts lie in one another, so the longest path counts."""
    aorta, size = anatomy.aorta, anatomy.size
    total = np.zeros(canvas.shape, np.float32)
    outline = anatomy.heart
    cx, cy = outline.mean(axis=0)
    patch = canvas.patch(
        outline[:, 0].min(), outline[:, 0].max(), outline[:, 1].min(), outline[:, 1].max()
    )
    dx, dy = patch.x - cx, patch.y - cy
    angle = np.arctan2(outline[:, 1] - cy, outline[:, 0] - cx)
    order = np.argsort(angle)
    radius = np.hypot(*(outline - (cx, cy)).T)[order]
    rim = np.interp(np.arctan2(dy, dx), angle[order], radius, period=2 * np.pi)
    rho = np.sqrt(dx * dx + dy * dy) / rim
    deep = 0.86 * float(np.sqrt(np.ptp(outline[:, 0]) * np.ptp(outline[:, 1])))
    # below the crest of the diaphragm the ray meets the abdomen, not the heart
    crest = np.where(
        patch.x[0] < 0,
        anatomy.dome_y(-1, np.abs(patch.x[0])),
        anatomy.dome_y(1, np.abs(patch.x[0])),
    ).astype(np.float32)
    above = 1 - smoothstep((patch.y - crest[None, :] + 2) / 8)
    total[patch.index] = deep * np.sqrt(np.maximum(1 - rho * rho, 0)) * above
    # superior vena cava and ascending aorta on the right, subclavian on the left
    top, root = aorta.knob_y - 4, float(outline[:, 1].min()) + 34
    reach = abs(aorta.ascending_x) * 0.6
    # side, course and half-width; each hides what lies between it and the midline
    bands = (
        (
            -1,
            [(-18 * size, 20), (-19 * size, 60), (-21 * size, 110), (-22 * size, root)],
            9.5 * size,
        ),
        (
            -1,
            [
                (-2, top), (0.45 * aorta.ascending_x, top + 22), (aorta.ascending_x, top + 62),
                (aorta.ascending_x + 2, root), (-0.5 * reach, root + 46),
            ],
            aorta.radius,
        ),
        (1, [(17, 8), (19, 40), (21, 60), (aorta.knob_x, top)], 8.5 * size),
    )  # fmt: skip
    for side, course, half in bands:
        line = smooth_curve(np.array(course, float), 40)
        total = np.maximum(total, _band(canvas, side, line, half))
    line = np.column_stack((aorta.descending_x, aorta.descending_y))
    total = np.maximum(total, _band(canvas, 1, line, 0.92 * aorta.radius))
    knob = canvas.patch(aorta.knob_x - 40, aorta.knob_x + 40, aorta.knob_y - 40, aorta.knob_y + 40)
    squared = np.maximum(knob.x - aorta.knob_x, 0) ** 2 + ((knob.y - aorta.knob_y) * 0.93) ** 2
    # the arch runs towards the viewer here: its path is longer than it is wide
    arch = 2.1 * np.sqrt(np.maximum(aorta.knob_radius**2 - squared, 0))
    arch = arch * (knob.x > 0)
    total[knob.index] = np.maximum(total[knob.index], arch)
    # fat and oesophagus fill the space between the great vessels
    middle = 44 * np.sqrt(np.maximum(1 - (canvas.x / (24 * size)) ** 2, 0))
    return np.asarray(np.maximum(total, middle * (canvas.y > 0)))


def _band(canvas: Canvas, side: int, line: np.ndarray, half: float) -> np.ndarray:
    """A round vessel along a line that goes downwards, blending into what lies medial of it."""
    xs, ys = line.T
    reach = sorted((0.0, side * (np.abs(xs).max() + half)))
    patch = canvas.patch(reach[0], reach[1], ys.min(), ys.max())
    column = patch.y[:, 0]
    centre = np.interp(column, ys, xs)
    slope = np.gradient(centre) / canvas.pixel_mm if len(centre) > 1 else np.zeros(1)
    ends = np.clip(np.minimum(column - ys.min(), ys.max() - column) / half, 0, 1)
    width = half * np.sqrt(1 - (1 - ends) ** 2)
    away = side * (patch.x - centre[:, None]) * (1 / np.sqrt(1 + slope**2))[:, None]
    path = 2 * np.sqrt(np.maximum(width[:, None] ** 2 - np.maximum(away, 0) ** 2, 0))
    total = np.zeros(canvas.shape, np.float32)
    total[patch.index] = path
    return total


def _airways(anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Trachea and main bronchi."""
    x, y = anatomy.carina
    size = anatomy.size
    push = 3 + 9 * anatomy.aorta.unfolding
    spine = anatomy.spine_at(np.array([-60.0, 0.0])) * 0.6
    trachea = smooth_curve(
        np.array([(spine[0], -120), (spine[1], 0), (x - push, y - 34), (x, y - 2)]), 40
    )
    right = np.array([(x - 3, y - 3), (x - 15, y + 20 * size), (x - 30, y + 40 * size)])
    left = np.array([(x + 3, y - 3), (x + 24, y + 18 * size), (x + 44, y + 32 * size)])
    return draw_bars(
        canvas,
        join_bars(
            (
                bars_along(trachea, radius=8.2 * size),
                bars_along(smooth_curve(right, 20), radius=6.3 * size),
                bars_along(smooth_curve(left, 20), radius=5.4 * size),
            )
        ),
    )


def _bowel_gas(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Gastric bubble under the left dome, level below when upright; loops of colon."""
    rng = stream(plan.seed, plan.index, "gas")
    total = np.zeros(canvas.shape, np.float32)
    dome = anatomy.domes[1]
    half_x, half_y = rng.uniform(14, 34), rng.uniform(8, 22)
    spots = [
        (dome.top_x + rng.normal(0, 8), dome.top_y + half_y + rng.uniform(7, 14), half_x, half_y)
    ]
    for _ in range(int(rng.integers(0, 4))):
        spots.append(
            (
                rng.uniform(0.3, 0.85) * anatomy.half_width,
                dome.top_y + rng.uniform(30, 70),
                rng.uniform(8, 20),
                rng.uniform(6, 14),
            )
        )
    upright = plan.view == "PA" and rng.random() < 0.5
    for number, (cx, cy, rx, ry) in enumerate(spots):
        patch = canvas.patch(cx - rx, cx + rx, cy - ry, cy + ry)
        rim = ((patch.x - cx) / rx) ** 2 + ((patch.y - cy) / ry) ** 2
        path = 1.5 * min(rx, ry) * np.sqrt(np.maximum(1 - rim, 0))
        if number == 0 and upright:
            path *= patch.y < cy + 0.35 * ry
        total[patch.index] = np.maximum(total[patch.index], path)
    return total
