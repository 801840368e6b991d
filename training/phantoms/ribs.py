"""Ribs and their cartilages: hollow flat bars in space, projected onto the film."""

from dataclasses import dataclass

import numpy as np

from training.phantoms.anatomy import Anatomy
from training.phantoms.geometry import (
    SAMPLE_STEP_PX,
    Bars,
    Canvas,
    bars_between,
    smoothstep,
    stream,
)
from training.phantoms.matter import CALCIUM_WATER, CORTEX_WATER, TRABECULAR_WATER
from training.phantoms.plan import StudyPlan

RIB_END_DEG = (52, 56, 58, 58, 56, 54, 50, 40, 28, 16, -22, -50)
"""Where each rib ends on its ellipse: -90 at the spine, 0 lateral, +90 at the sternum."""

DEPTH_SHARE = (0.42, 0.66, 0.82, 0.92)
"""Depth of the first four ribs' ellipses, of the thorax; the others take all of it."""


@dataclass(frozen=True, slots=True)
class Rib:
    """One rib's centre line: (N,) patient mm; z towards the sternum."""

    number: int
    side: int
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @property
    def run(self) -> np.ndarray:
        """(N,) mm along the rib from the spine."""
        piece = np.sqrt(np.diff(self.x) ** 2 + np.diff(self.y) ** 2 + np.diff(self.z) ** 2)
        return np.concatenate(([0.0], np.cumsum(piece)))


def rib_lines(plan: StudyPlan, anatomy: Anatomy) -> list[Rib]:
    """Centre lines of the twelve pairs of ribs; each slopes forwards and steepens in front."""
    rng = stream(plan.seed, plan.patient.number, "ribs")
    ribs = []
    for number in range(1, 13):
        start_y = float(anatomy.discs[3 + number]) + 5
        share = DEPTH_SHARE[number - 1] if number <= len(DEPTH_SHARE) else 1.02
        depth = anatomy.half_depth * share
        for side in (-1, 1):
            end = np.deg2rad(RIB_END_DEG[number - 1] + rng.normal(0, 3))
            angle = np.linspace(np.deg2rad(-86), end, 90)
            z = depth * np.sin(angle)
            tilt = anatomy.rib_tilt * (1 + 0.03 * rng.normal())
            y = start_y + rng.normal(0, 1) + tilt * (z + depth + 0.35 * np.maximum(z, 0))
            lateral_y = max(start_y + tilt * depth, 4.0)
            reach = float(anatomy.lung_outer(np.array([lateral_y]))[0]) + 4
            if number > 9:
                reach -= 4 * (number - 9)
            out = np.abs(np.cos(angle)) ** 0.82
            # neck of the rib: it first climbs over the transverse process
            y = y + 6 * np.exp(-((angle - angle[0]) ** 2) / 0.12)
            x = side * reach * out + anatomy.spine_at(start_y) * (1 - out)
            ribs.append(Rib(number, side, x, y, z))
    return ribs


def draw_ribs(ribs: list[Rib], anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Ribs as (H, W) mm of water equivalent; lateral turns come out bright by themselves."""
    step = SAMPLE_STEP_PX * canvas.pixel_mm * 1.3
    thick = 6.2 * anatomy.size
    xs, ys, volumes = [], [], []
    for rib in ribs:
        run = rib.run
        at = np.arange(step / 2, run[-1], step)
        x, y, z = (np.interp(at, run, c) for c in (rib.x, rib.y, rib.z))
        turn_x, turn_z = np.gradient(x), np.gradient(z)
        flat = np.hypot(turn_x, turn_z) + 1e-9
        # flatter and taller towards the front
        tall = (8.5 if rib.number in (1, 11, 12) else 12.0) * anatomy.size
        height = tall * (0.84 + 0.22 * at / run[-1])
        across = max(int(np.ceil(tall / (SAMPLE_STEP_PX * canvas.pixel_mm))), 6)
        edge = np.linspace(-1, 1, across + 1)
        middle = (edge[1:] + edge[:-1]) / 2
        chord = np.sqrt(1 - middle**2)
        inner = np.sqrt(np.maximum(1 - (middle * tall / (tall - 2.4)) ** 2, 0))
        profile = thick * chord * CORTEX_WATER - (thick - 1.7) * inner * (
            CORTEX_WATER - TRABECULAR_WATER
        )
        ahead = z / anatomy.half_depth
        weight = (1 - 0.3 * smoothstep(ahead)) * smoothstep((run[-1] - at + 3) / 9)
        volume = (height / across * step * weight)[:, None] * profile[None, :]
        up = height[:, None] / 2 * middle[None, :]
        # where the rib turns away from the film its thickness shows, as two layers
        for layer in (-1.0, 1.0):
            off_x = layer * 0.3 * thick * turn_z / flat * rib.side
            off_z = -layer * 0.3 * thick * turn_x / flat * rib.side
            film_x = anatomy.beam.project_x(x + off_x, z + off_z)
            scale = np.asarray(anatomy.beam.scale(z))[:, None]
            film_y = anatomy.beam.project_y(y, z)[:, None] + scale * up
            xs.append(np.broadcast_to(film_x[:, None], film_y.shape).ravel())
            ys.append(film_y.ravel())
            volumes.append(0.5 * volume.ravel())
    return canvas.deposit(np.concatenate(xs), np.concatenate(ys), np.concatenate(volumes))


def cartilage_bars(plan: StudyPlan, ribs: list[Rib], anatomy: Anatomy) -> list[Bars]:
    """Calcium in the costal cartilages of older patients, ahead of the ribs' front ends."""
    rng = stream(plan.seed, plan.patient.number, "cartilage")
    amount = np.clip((plan.age - 35) / 50, 0, 1) * rng.random()
    starts, ends, radii = [], [], []
    for rib in ribs:
        for _ in range(int(rng.poisson(5 * amount)) if rib.number < 10 else 0):
            ahead = rng.uniform(0, 26)
            x = rib.x[-1] - rib.side * ahead
            y = rib.y[-1] + 0.35 * ahead + rng.normal(0, 3.5)
            film = (
                float(anatomy.beam.project_x(x, rib.z[-1])),
                float(anatomy.beam.project_y(y, rib.z[-1])),
            )
            starts.append(film)
            ends.append((film[0] + rng.normal(0, 4), film[1] + rng.normal(0, 2)))
            radii.append(rng.uniform(0.6, 1.6))
    if not starts:
        return []
    radius = np.array(radii)
    return [
        bars_between(
            np.array(starts),
            np.array(ends),
            radius_start=radius,
            radius_end=radius,
            density=0.6 * CALCIUM_WATER,
        )
    ]
