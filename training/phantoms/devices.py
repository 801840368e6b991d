"""What is not the patient: pacemaker and wires that a report names, and things that none does."""

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import Bars, bars_along
from training.phantoms.findings import Outline
from training.phantoms.geometry import smooth_curve, stream
from training.phantoms.matter import METAL_WATER
from training.phantoms.plan import StudyPlan

LETTERS = {
    "L": (((0, 0), (0, 1), (0.6, 1)),),
    "R": (((0, 1), (0, 0), (0.45, 0), (0.6, 0.12), (0.6, 0.38), (0.45, 0.5), (0, 0.5)),
          ((0.3, 0.5), (0.62, 1))),
    "A": (((0, 1), (0.32, 0), (0.64, 1)), ((0.13, 0.62), (0.51, 0.62))),
    "P": (((0, 1), (0, 0), (0.45, 0), (0.6, 0.14), (0.6, 0.4), (0.45, 0.54), (0, 0.54)),),
}  # fmt: skip
"""Strokes of lead letters in a box of height 1; y downwards."""


def device_bars(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], list[Outline]]:
    """Devices that are findings: a pacemaker with its lead, sternotomy wires."""
    bars: list[Bars] = []
    outlines: list[Outline] = []
    if v.PACEMAKER in plan.signs:
        made, points = _pacemaker(plan, anatomy)
        bars += made
        outlines.append(Outline(v.PACEMAKER, points))
    if v.STERNOTOMY in plan.signs:
        made, points = _sternotomy(plan, anatomy)
        bars += made
        outlines.append(Outline(v.STERNOTOMY, points))
    return bars, outlines


def _pacemaker(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], np.ndarray]:
    rng = stream(plan.seed, plan.patient.number, "pacemaker")
    x, y = 0.70 * anatomy.half_width + rng.normal(0, 6), 48 + rng.normal(0, 6)
    apex_y = float(anatomy.heart[:, 1].max())
    across = np.linspace(-1, 1, 40)
    case = np.column_stack((x + 21 * across, np.full(40, y)))
    lead = smooth_curve(
        np.array(
            [
                (x - 6, y - 16), (x - 22, y - 26), (0.34 * anatomy.half_width, 24), (12, 38),
                (-14, 62), (-24, 110), (-22, 0.72 * apex_y), (2, apex_y - 34),
                (0.36 * anatomy.half_width, apex_y - 26 + rng.normal(0, 3)),
            ]
        ),
        120,
    )  # fmt: skip
    header = np.array([(x - 9, y - 17), (x + 6, y - 17)])
    bars = [
        bars_along(
            case,
            radius=18.0 * (1 - np.abs(across) ** 5) ** 0.4 + 0.5,
            wall=1.2,
            density=0.3 * METAL_WATER,
            core=1.1,
        ),
        bars_along(header, radius=4.5, density=0.5),
        bars_along(lead, radius=0.8, density=METAL_WATER),
        bars_along(lead[-4:], radius=1.5, density=METAL_WATER),
    ]
    corners = np.array([(x - 22, y - 22), (x + 22, y + 19)])
    return bars, np.concatenate((corners, lead))


def _sternotomy(plan: StudyPlan, anatomy: Anatomy) -> tuple[list[Bars], np.ndarray]:
    rng = stream(plan.seed, plan.patient.number, "sternotomy")
    shift = 60 * np.sin(anatomy.beam.yaw)
    bars, points = [], []
    for height in np.linspace(62, 200, int(rng.integers(5, 7))):
        y = height * anatomy.size
        turn = np.linspace(0, 2 * np.pi, 22)
        wide, tall = rng.uniform(6.5, 8.5), rng.uniform(3.5, 5.5)
        loop = np.column_stack(
            (shift + wide * np.cos(turn) + rng.normal(0, 1), y + tall * np.sin(turn))
        )
        bars.append(bars_along(loop, radius=0.55, density=METAL_WATER))
        twist = np.array([(shift - 1, y + tall), (shift + 2.5, y + tall + 4.5)])
        bars.append(bars_along(twist, radius=1.0, density=METAL_WATER))
        points += [loop - 3, loop + 4]
    return bars, np.concatenate(points)


def distractor_bars(plan: StudyPlan, anatomy: Anatomy) -> list[Bars]:
    """Leads, lines, jewellery and the side marker: seen, never reported."""
    rng = stream(plan.seed, plan.index, "distractors")
    bars = _marker(plan, anatomy, rng)
    if "ecg leads" in plan.distractors:
        bars += _ecg_leads(anatomy, rng)
    if "central line" in plan.distractors:
        course = [(-34, -90), (-30, -30), (-20, 20), (-19, 70), (-21, 118 * anatomy.size)]
        bars.append(
            bars_along(smooth_curve(np.array(course), 60), radius=0.9, density=0.35 * METAL_WATER)
        )
    if "necklace" in plan.distractors:
        x = np.linspace(-62, 62, 50)
        chain = np.column_stack((x, -42 + 62 * (1 - (x / 62) ** 2)))
        bars.append(bars_along(chain, radius=0.5 + 0.3 * (np.arange(50) % 2), density=METAL_WATER))
    if "buttons" in plan.distractors:
        for height in (30.0, 90.0, 150.0, 210.0):
            centre = rng.normal(6, 3)
            turn = np.linspace(0, 2 * np.pi, 18)
            ring = np.column_stack((centre + 5 * np.cos(turn), height + 5 * np.sin(turn)))
            bars.append(bars_along(ring, radius=1.1, density=0.4 * METAL_WATER))
    return bars


def _ecg_leads(anatomy: Anatomy, rng: np.random.Generator) -> list[Bars]:
    bars = []
    wide, base = anatomy.half_width, anatomy.base_y
    spots = (
        (-0.72 * wide, 34),
        (0.74 * wide, 30),
        (0.92 * wide, 0.84 * base),
        (-0.9 * wide, 0.8 * base),
    )
    exit_x = rng.uniform(-0.5, 0.9) * wide
    for x, y in spots[: int(rng.integers(3, 5))]:
        x, y = x + rng.normal(0, 8), y + rng.normal(0, 8)
        turn = np.linspace(0, 2 * np.pi, 18)
        ring = np.column_stack((x + 5.5 * np.cos(turn), y + 5.5 * np.sin(turn)))
        bars.append(bars_along(ring, radius=1.2, density=0.25 * METAL_WATER))
        bars.append(
            bars_along(np.array([(x - 2, y), (x + 2, y)]), radius=2.0, density=0.5 * METAL_WATER)
        )
        sway = rng.normal(0, 26, 4)
        cable = np.array(
            [
                (x, y), (0.7 * x + sway[0], y + 34 + sway[1]),
                (0.4 * x + 0.5 * exit_x + sway[2], 0.7 * base),
                (exit_x + sway[3], base + 20), (exit_x, base + 160),
            ]
        )  # fmt: skip
        bars.append(bars_along(smooth_curve(cable, 80), radius=0.8, density=0.3 * METAL_WATER))
    return bars


def _marker(plan: StudyPlan, anatomy: Anatomy, rng: np.random.Generator) -> list[Bars]:
    """A lead letter at the patient's side that it names; sometimes AP under it."""
    side = 1 if rng.random() < 0.7 else -1
    tall = rng.uniform(9, 14)
    x_min, x_max, y_min, y_max = anatomy.field
    x = x_max - rng.uniform(22, 34) if side > 0 else x_min + rng.uniform(14, 24)
    y = rng.uniform(y_min + 14, y_min + 70) if rng.random() < 0.75 else rng.uniform(90, y_max - 60)
    words = ["L" if side > 0 else "R"]
    if plan.view != "PA" and rng.random() < 0.6:
        words.append("AP")
    turn = rng.normal(0, 0.15)
    rotation = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
    bars = []
    for row, word in enumerate(words):
        for place, letter in enumerate(word):
            for stroke in LETTERS[letter]:
                points = (np.array(stroke) + np.array((0.85 * place, 1.4 * row))) * tall
                bars.append(
                    bars_along(
                        points @ rotation + (x, y), radius=0.08 * tall, density=6 * METAL_WATER
                    )
                )
    return bars
