"""Round bars: the shape of vessels, airways, long bones, wires and plaques, seen from the side.

A bar is sampled along and across; each sample carries the volume that its ray meets, so that the
sum is the exact path length through a round section, solid or hollow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from training.phantoms.geometry import STEP_PX, Canvas, Samples

ACROSS_STEP_PX = 0.55
"""Largest spacing across a bar, where counts come in classes: half a pixel has no ripple either."""

GROUP_SAMPLES = 16_384
"""Samples drawn at a time: their arrays stay in the processor's cache, three times faster."""

TUBE_SAMPLES = (1, 2, 3, 5, 8, 13, 22, 36, 64, 110, 180)
"""Samples across a tube: tubes are grouped by these counts so that each group is one array."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Round bars, solid or hollow.

    Attributes:
        starts: (N, 2) film mm, x and y.
        ends: (N, 2) film mm.
        radius_start: (N,) mm, > 0.
        radius_end: (N,) mm, > 0.
        wall: (N,) mm, thickness of the outer layer; at least the radius for a solid bar.
        density: (N,) weight of the outer layer's path.
        core: (N,) weight of the path inside it.
        tangent_start: (N, 2) direction at the start; where bars follow one another both share it,
            so that the outside of a bend has no gaps.
        tangent_end: (N, 2) direction at the end.
    """

    starts: np.ndarray
    ends: np.ndarray
    radius_start: np.ndarray
    radius_end: np.ndarray
    wall: np.ndarray
    density: np.ndarray
    core: np.ndarray
    tangent_start: np.ndarray
    tangent_end: np.ndarray

    def pick(self, chosen: np.ndarray) -> "Bars":
        """Some of the bars, by index or mask."""
        return Bars(*(getattr(self, field.name)[chosen] for field in fields(self)))


def join_bars(groups: Sequence[Bars]) -> Bars:
    """Several sets of bars as one; at least one set."""
    return Bars(
        *(np.concatenate([getattr(g, field.name) for g in groups]) for field in fields(Bars))
    )


def bars_between(
    starts: np.ndarray,
    ends: np.ndarray,
    *,
    radius_start: np.ndarray,
    radius_end: np.ndarray,
    wall: float = np.inf,
    density: float = 1.0,
    core: float = 0.0,
    tangents: tuple[np.ndarray, np.ndarray] | None = None,
) -> Bars:
    """Bars that share wall and densities; arguments as in `Bars`, tangents default to straight."""
    count = len(starts)
    straight = _unit(np.asarray(ends, float) - starts)
    first, last = tangents or (straight, straight)
    return Bars(
        np.asarray(starts, float),
        np.asarray(ends, float),
        np.asarray(radius_start, float),
        np.asarray(radius_end, float),
        np.full(count, wall),
        np.full(count, density),
        np.full(count, core),
        first,
        last,
    )


def bars_along(
    points: np.ndarray,
    *,
    radius: np.ndarray | float,
    wall: float = np.inf,
    density: float = 1.0,
    core: float = 0.0,
) -> Bars:
    """One bent bar along (N, 2) points in film mm; radius in mm, one number or (N,)."""
    radii = np.broadcast_to(np.asarray(radius, float), (len(points),))
    tangent = _unit(np.gradient(np.asarray(points, float), axis=0))
    return bars_between(
        points[:-1],
        points[1:],
        radius_start=radii[:-1],
        radius_end=radii[1:],
        wall=wall,
        density=density,
        core=core,
        tangents=(tangent[:-1], tangent[1:]),
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(N, 2) vectors scaled to length 1; zero stays zero."""
    length = np.hypot(*vectors.T)[:, None]
    return np.asarray(vectors / np.maximum(length, 1e-12))


def draw_bars(canvas: Canvas, bars: Bars) -> np.ndarray:
    """Bars seen from the side, added up: (H, W) float32, weighted path length in mm."""
    length = np.hypot(*(bars.ends - bars.starts).T)
    thick = np.maximum(bars.radius_start, bars.radius_end)
    low = np.minimum(bars.starts, bars.ends) - thick[:, None]
    high = np.maximum(bars.starts, bars.ends) + thick[:, None]
    first = np.array((canvas.x[0, 0], canvas.y[0, 0]))
    last = np.array((canvas.x[0, -1], canvas.y[-1, 0]))
    seen = (length > 1e-6) & (high > first).all(axis=1) & (low < last).all(axis=1)
    bars, length, thick = bars.pick(seen), length[seen], thick[seen]
    wanted = 2 * thick / (ACROSS_STEP_PX * canvas.pixel_mm)
    group = np.minimum(np.searchsorted(TUBE_SAMPLES, wanted), len(TUBE_SAMPLES) - 1)
    return canvas.deposit(_grouped_samples(canvas.pixel_mm, bars, length, group))


def _grouped_samples(
    pixel_mm: float, bars: Bars, length: np.ndarray, group: np.ndarray
) -> Iterator[Samples]:
    """Samples of bars that share a count across, cut into pieces of about GROUP_SAMPLES."""
    for number in np.unique(group):
        across = TUBE_SAMPLES[number]
        chosen = np.flatnonzero(group == number)
        amount = np.cumsum(length[chosen] / (STEP_PX * pixel_mm) + 1) * across
        pieces = np.searchsorted(amount, np.arange(GROUP_SAMPLES, amount[-1], GROUP_SAMPLES))
        for piece in np.split(chosen, np.unique(pieces)):
            if len(piece):
                yield _bar_samples(pixel_mm, across, bars.pick(piece))


def _bar_samples(pixel_mm: float, across: int, bars: Bars) -> Samples:
    """Sample points of bars that share one count across: x, y, volume, each (M, across)."""
    run = bars.ends - bars.starts
    length = np.hypot(*run.T)
    steps = np.maximum(np.ceil(length / (STEP_PX * pixel_mm)), 1).astype(int)
    owner = np.repeat(np.arange(len(steps)), steps)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps)
    along = (within + 0.5) / steps[owner]
    turn = (bars.tangent_end - bars.tangent_start)[owner] * along[:, None]
    direction = bars.tangent_start[owner] + turn
    radius = bars.radius_start[owner] + (bars.radius_end - bars.radius_start)[owner] * along
    centre = bars.starts[owner] + run[owner] * along[:, None]
    edge = np.linspace(-1, 1, across + 1)
    middle = (edge[:-1] + edge[1:])[None, :] / 2
    offset = middle * radius[:, None]
    x = centre[:, :1] - direction[:, 1:] * offset
    y = centre[:, 1:] + direction[:, :1] * offset
    area = (radius**2)[:, None] * np.diff(_disc_area(edge))[None, :] * bars.density[owner, None]
    hollow = bars.wall < np.maximum(bars.radius_start, bars.radius_end)
    if hollow.any():
        inner = np.maximum(radius - bars.wall[owner], 1e-3)[:, None]
        cut = np.clip(edge[None, :] * radius[:, None] / inner, -1, 1)
        less = (bars.density - bars.core)[owner, None]
        area = area - less * inner**2 * np.diff(_disc_area(cut), axis=1)
    return x, y, area * (length / steps)[owner, None]


def _disc_area(t: np.ndarray) -> np.ndarray:
    """Area of the unit disc left of the chord at t in [-1, 1], up to a constant."""
    return np.asarray(t * np.sqrt(np.maximum(1 - t * t, 0)) + np.arcsin(t))
