"""Ribs and their cartilages: hollow flat bars in space, projected onto the film."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import Bars, bars_between
from training.phantoms.geometry import (
    STEP_PX,
    Canvas,
    Samples,
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
            angle = np.linspace(np.deg2rad(-86), end, 72)
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
    return canvas.deposit(
        samples for rib in ribs for samples in _rib_samples(rib, anatomy, canvas.pixel_mm)
    )


def _rib_samples(rib: Rib, anatomy: Anatomy, pixel_mm: float) -> Iterator[Samples]:
    """Points across and along one rib, weighted with the bone that the ray meets there."""
    thick = 6.2 * anatomy.size
    run = rib.run
    film = (anatomy.beam.project_x(rib.x, rib.z), anatomy.beam.project_y(rib.y, rib.z))
    seen = np.concatenate(([0.0], np.cumsum(np.hypot(np.diff(film[0]), np.diff(film[1])))))
    # even steps on the film; each carries the bone of the run behind it
    edges = np.linspace(0, seen[-1], int(seen[-1] / (STEP_PX * pixel_mm)) + 2)
    length = np.diff(np.interp(edges, seen, run))
    at = np.interp((edges[1:] + edges[:-1]) / 2, seen, run)
    x, y, z = (np.interp(at, run, c) for c in (rib.x, rib.y, rib.z))
    turn_x, turn_z = np.gradient(x), np.gradient(z)
    flat = np.hypot(turn_x, turn_z) + 1e-9
    # flatter and taller towards the front
    tall = (8.5 if rib.number in (1, 11, 12) else 12.0) * anatomy.size
    height = tall * (0.84 + 0.22 * at / run[-1])
    across = max(int(np.ceil(tall / (STEP_PX * pixel_mm))), 6)
    edge = np.linspace(-1, 1, across + 1)
    middle = (edge[1:] + edge[:-1]) / 2
    inner = np.sqrt(np.maximum(1 - (middle * tall / (tall - 2.4)) ** 2, 0))
    profile = thick * np.sqrt(1 - middle**2) * CORTEX_WATER
    profile -= (thick - 1.7) * inner * (CORTEX_WATER - TRABECULAR_WATER)
    weight = (1 - 0.3 * smoothstep(z / anatomy.half_depth)) * smoothstep((run[-1] - at + 3) / 9)
    weight *= (0.55 if rib.number > 10 else 1.0) * smoothstep((at + 2) / 16)
    # at the lateral turn ribs thin out, or their edges would outshine every other bone
    weight *= 1 - 0.5 * (np.abs(turn_z) / flat) ** 4
    along = (height / across * length * weight).astype(np.float32)
    profile, middle = profile.astype(np.float32), middle.astype(np.float32)
    reach = (np.asarray(anatomy.beam.scale(z)) * height / 2).astype(np.float32)
    film_y = anatomy.beam.project_y(y, z).astype(np.float32)[:, None] + reach[:, None] * middle
    film_x = anatomy.beam.project_x(x, z).astype(np.float32)
    # where the rib turns away from the film its thickness shows, as two layers
    edge_on = np.abs(turn_z) / flat
    turned = edge_on > 0.35
    # the layers part gradually, or the change would show as a seam
    parting = 0.3 * thick * smoothstep((edge_on - 0.35) / 0.35)
    offset = (parting * turn_z / flat).astype(np.float32)
    for chosen, shift, share in ((~turned, 0.0, 1.0), (turned, -1.0, 0.5), (turned, 1.0, 0.5)):
        columns = (film_x + np.float32(shift) * offset)[chosen, None]
        rows = film_y[chosen]
        volume = np.float32(share) * along[chosen, None] * profile[None, :]
        yield np.broadcast_to(columns, rows.shape), rows, volume


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
