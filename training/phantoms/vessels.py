"""Pulmonary vessels: hila that branch into the lungs, as path lengths through blood."""

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import Bars, bars_along, bars_between, draw_bars, join_bars
from training.phantoms.geometry import Canvas, smooth_curve, stream
from training.phantoms.plan import StudyPlan

GENERATIONS = 6
"""Divisions followed from the hilum: the last are about 0.4 mm wide, the least that is seen."""


def hilar_swelling(plan: StudyPlan, side: int) -> float:
    """Calibre of the central vessels over normal: at most 1.1 in health, 1.6 to 2.2 if enlarged."""
    if side in plan.sides(v.HILAR_ENLARGEMENT):
        return 1.6 + 0.6 * plan.severity(v.HILAR_ENLARGEMENT)
    rng = stream(plan.seed, plan.patient.number, "hila")
    return float(rng.uniform(0.85, 1.1))


def central_vessels(plan: StudyPlan, anatomy: Anatomy, side: int) -> Bars:
    """The hilum itself: artery to the lower lobe, upper lobe branches, veins."""
    rng = stream(plan.seed, plan.patient.number, "central", side + 1)
    swelling = hilar_swelling(plan, side)
    size = anatomy.size
    x, y = anatomy.hila[0 if side < 0 else 1]
    spread = 1 + 0.25 * (swelling - 1)
    lines = (
        ([(-14, -6), (0, 0), (9, 18), (14, 40), (15, 62)], 6.6, 2.0),
        ([(-10, -4), (4, -12), (10, -36)], 4.8, 1.5),
        ([(-12, 2), (6, 4), (28, 0)], 4.4, 1.5),
        ([(-14, 22), (2, 24), (24, 42)], 4.6, 1.5),
        ([(-8, -10), (0, -22), (2, -42)], 3.6, 1.2),
    )
    bars = []
    for points, thick, thin in lines:
        shape = np.array(points, float) * (side * size * spread, size * spread) + (x, y)
        curve = smooth_curve(shape + rng.normal(0, 1.2, shape.shape), 14)
        bars.append(bars_along(curve, radius=np.linspace(thick, thin, 14) * size * swelling))
    return join_bars(bars)


def vessel_tree(plan: StudyPlan, anatomy: Anatomy, side: int) -> Bars:
    """Branches from the hilum to the periphery, thicker towards the bases when upright."""
    rng = stream(plan.seed, plan.patient.number, "tree", side + 1)
    hilum_x, hilum_y = anatomy.hila[0 if side < 0 else 1]
    swelling = hilar_swelling(plan, side) ** 0.5
    size = anatomy.size * anatomy.base_y / (262 * anatomy.size) ** 1.0
    # directions measured from straight down, turning outwards and up
    count = 12
    heading = np.linspace(-0.15, np.pi * 0.98, count) + rng.normal(0, 0.08, count)
    offset = rng.normal(0, 6, (count, 2)) + np.column_stack(
        (np.full(count, side * 8.0), 16 - 30 * np.linspace(0, 1, count))
    )
    start = np.array([hilum_x, hilum_y]) + offset
    upright = 0.34 if plan.view != "AP_horizontal" else 0.1
    radius = 2.5 * swelling * (1 + upright * np.cos(heading)) * rng.uniform(0.75, 1.2, count)
    length = size * 30 * rng.uniform(0.8, 1.25, count) * (1 - 0.25 * (np.cos(heading) < -0.5))
    parts: list[tuple[np.ndarray, ...]] = []
    for generation in range(GENERATIONS):
        bend = rng.normal(0, 0.16, len(heading))
        middle = start + 0.5 * length[:, None] * _direction(heading + bend, side)
        end = middle + 0.5 * length[:, None] * _direction(heading - bend, side)
        mean = radius * 0.9
        # the first pieces come out of the hilum, not to a blunt end in the lung
        first = radius * 0.4 if generation == 0 else radius
        parts.append((start, middle, first, mean))
        parts.append((middle, end, mean, radius * 0.8))
        if generation == GENERATIONS - 1:
            break
        fork = rng.uniform(0.18, 0.5, len(heading))
        share = rng.uniform(0.68, 0.84, (2, len(heading)))
        start = np.concatenate((end, end))
        heading = np.concatenate(
            (heading + fork, heading - fork * rng.uniform(0.4, 1.1, len(fork)))
        )
        radius = np.concatenate((radius * share[0], radius * share[1]))
        length = np.tile(length, 2) * rng.uniform(0.62, 0.98, len(heading))
    starts, ends, first, last = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return bars_between(starts, ends, radius_start=first, radius_end=last)


def _direction(heading: np.ndarray, side: int) -> np.ndarray:
    return np.column_stack((side * np.sin(heading), np.cos(heading)))


def draw_vessels(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas
) -> tuple[np.ndarray, np.ndarray]:
    """Hila and tree of both lungs.

    Returns:
        Two (H, W) float32 arrays of mm of blood: the hila, which replace lung, and the tree, whose
        visibility follows the lung in front of and behind it.
    """
    central = [central_vessels(plan, anatomy, side) for side in (-1, 1)]
    tree = [vessel_tree(plan, anatomy, side) for side in (-1, 1)]
    return draw_bars(canvas, join_bars(central)), draw_bars(canvas, join_bars(tree))
