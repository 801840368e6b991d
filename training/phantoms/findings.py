"""Findings that the anatomy itself carries: their outlines; calcium and callus drawn onto it."""

from dataclasses import dataclass

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import Bars, bars_along
from training.phantoms.geometry import stream
from training.phantoms.matter import CALCIUM_WATER
from training.phantoms.plan import StudyPlan
from training.phantoms.ribs import rib_lines
from training.phantoms.spine import degenerate_box
from training.phantoms.vessels import central_vessels


@dataclass(frozen=True, slots=True)
class Outline:
    """Points that a finding's box must hold: (N, 2) film mm. One outline makes one box."""

    label: str
    points: np.ndarray


def rectangle(label: str, x: tuple[float, float], y: tuple[float, float]) -> Outline:
    """An outline from two ranges of film mm, each in any order."""
    return Outline(label, np.array([(a, b) for a in x for b in y], float))


def structural_outlines(plan: StudyPlan, anatomy: Anatomy) -> list[Outline]:
    """Outlines of the findings that consist of the shape of heart, aorta, spine, lungs, hila."""
    outlines = []
    if v.CARDIOMEGALY in plan.signs:
        outlines.append(Outline(v.CARDIOMEGALY, anatomy.heart))
    if v.AORTIC_ELONGATION in plan.signs:
        outlines.append(_aorta_outline(anatomy))
    if v.SCOLIOSIS in plan.signs:
        y = np.linspace(*anatomy.cobb_span, 40)
        x = anatomy.spine_at(y)
        half = 21 * anatomy.size
        sides = [np.column_stack((x + half * s, y)) for s in (-1, 1)]
        outlines.append(Outline(v.SCOLIOSIS, np.concatenate(sides)))
    if v.VERTEBRAL_DEGENERATION in plan.signs:
        outlines.append(Outline(v.VERTEBRAL_DEGENERATION, degenerate_box(plan, anatomy)))
    for side in plan.sides(v.HILAR_ENLARGEMENT):
        bars = central_vessels(plan, anatomy, side)
        ends = np.concatenate((bars.starts - 4, bars.ends + 4))
        outlines.append(Outline(v.HILAR_ENLARGEMENT, ends))
    for side in plan.sides(v.AIR_TRAPPING):
        outer = side * anatomy.half_width
        outlines.append(rectangle(v.AIR_TRAPPING, (side * 15.0, outer), (0, anatomy.base_y)))
    for side in plan.sides(v.DIAPHRAGM_ELEVATION):
        dome = anatomy.domes[0 if side < 0 else 1]
        across = (side * 22.0, side * 0.97 * anatomy.half_width)
        outlines.append(
            rectangle(v.DIAPHRAGM_ELEVATION, across, (dome.top_y - 8, anatomy.base_y - 4))
        )
    return outlines


def _aorta_outline(anatomy: Anatomy) -> Outline:
    """Ascending bulge, knob and the upper descending part: what a reader boxes."""
    aorta = anatomy.aorta
    below = min(aorta.knob_y + 112 * anatomy.size, anatomy.domes[1].top_y - 12)
    seen = aorta.descending_y <= below
    left = max(aorta.knob_x + aorta.knob_radius, aorta.descending_x[seen].max() + aorta.radius)
    right = aorta.ascending_x - aorta.radius
    return rectangle(
        v.AORTIC_ELONGATION, (right - 2, left + 2), (aorta.knob_y - aorta.knob_radius - 3, below)
    )


def plaque_bars(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], list[Outline]]:
    """Calcified plaques: a broken line along the knob's rim, specks on the arch's wall."""
    if v.AORTIC_ATHEROMATOSIS not in plan.signs:
        return [], []
    rng = stream(plan.seed, plan.patient.number, "plaques")
    severity = plan.severity(v.AORTIC_ATHEROMATOSIS)
    aorta = anatomy.aorta
    radius = aorta.knob_radius - 1.2
    bars, points = [], []
    start = np.deg2rad(-115 + rng.uniform(-15, 15))
    total = np.deg2rad(85 + 75 * severity + rng.uniform(-10, 10))
    pieces = 2 + round(2 * severity)
    for piece in range(pieces):
        share = rng.uniform(0.68, 0.92)
        angle = start + total / pieces * (piece + np.linspace(0, share, 14))
        wobble = radius + rng.normal(0, 0.5) + 0.5 * np.sin(6 * angle + rng.uniform(0, 6))
        arc = np.column_stack(
            (aorta.knob_x + wobble * np.cos(angle), aorta.knob_y + wobble * np.sin(angle) / 0.95)
        )
        taper = np.sqrt(1.08 - np.linspace(-1, 1, 14) ** 2)
        thick = (1.2 + 0.8 * severity) * taper * rng.uniform(0.85, 1.15)
        # seen along the wall: the plaque is deeper than it is thick
        bars.append(bars_along(arc, radius=thick, density=3.2 * CALCIUM_WATER))
        points.append(arc)
    extent = np.concatenate(points)
    pad = 5.0
    corners = np.array([extent.min(axis=0) - pad, extent.max(axis=0) + pad])
    return bars, [Outline(v.AORTIC_ATHEROMATOSIS, corners)]


def callus_bars(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], list[Outline]]:
    """A healed fracture: a spindle of new bone around a rib, with a step in its line."""
    bars: list[Bars] = []
    outlines: list[Outline] = []
    for side in plan.sides(v.RIB_CALLUS):
        rng = stream(plan.seed, plan.index, "callus", side + 1)
        number = int(rng.integers(4, 9))
        rib = next(r for r in rib_lines(plan, anatomy) if r.number == number and r.side == side)
        # between the angle of the rib and its lateral turn
        at = int(rng.integers(22, 38))
        x = float(anatomy.beam.project_x(rib.x[at], rib.z[at]))
        y = float(anatomy.beam.project_y(rib.y[at], rib.z[at]))
        dx, dy = rib.x[at + 3] - rib.x[at - 3], rib.y[at + 3] - rib.y[at - 3]
        run = np.array([dx, dy]) / np.hypot(dx, dy)
        along = np.linspace(-1, 1, 15)[:, None]
        line = np.array([x, y]) + along * 10 * run
        fat = (6.4 + 2.4 * plan.severity(v.RIB_CALLUS)) * np.sqrt(1.02 - along[:, 0] ** 2)
        bars.append(bars_along(line, radius=fat, wall=1.6, density=1.3, core=0.9))
        outlines.append(rectangle(v.RIB_CALLUS, (x - 13, x + 13), (y - 12, y + 12)))
    return bars, outlines
