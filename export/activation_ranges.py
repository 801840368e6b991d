"""How large the numbers within a graph are, and which range of them eight bits should cover.

The graph runs over calibration images with its inner tensors as outputs. Each tensor gets a
histogram, and then the range that loses least in mean square: too wide and every step is coarse,
too narrow and outliers are cut off.

Source: Banner et al., Post training 4-bit quantization of convolutional networks, 2019, section 3
(clipping error against rounding error); here on histograms, without assuming a distribution.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from lambdas.shared.onnx_model import open_graph

BINS: Final = 2048
"""Of a histogram."""

LEVELS: Final = 255
"""Steps of eight bits."""

SHARES: Final = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Parts of each end of the whole range that are tried."""

SAMPLE: Final = 50_000
"""Values counted of one tensor on one image, evenly spaced; the ends are those of all values."""

ELEMENTS_AT_ONCE: Final = 100_000_000
"""Float numbers of inner tensors that are held at a time: 400 MB."""


@dataclass(frozen=True, slots=True)
class Range:
    """What a tensor's eight bits cover; zero is always within.

    Attributes:
        low: At most 0.
        high: At least 0, and above low.
    """

    low: float
    high: float


def measure_ranges(
    graph: onnx.ModelProto, inputs: Sequence[npt.NDArray[np.float32]], tensors: Sequence[str]
) -> dict[str, Range]:
    """The range of each tensor with the least mean square error at 256 levels.

    Args:
        graph: In float32, with one input.
        inputs: As the graph takes them; the calibration images.
        tensors: Names of inner tensors, or of the input.

    Returns:
        By name. A tensor that is empty on every input is left out.
    """
    histograms: dict[str, _Histogram] = {}
    for group in _groups(graph, inputs[0], tensors):
        extremes: dict[str, tuple[float, float]] = {}
        for name, values in _run(graph, inputs, group):
            if values.size:
                low, high = extremes.get(name, (0.0, 0.0))
                extremes[name] = min(low, float(values.min())), max(high, float(values.max()))
        own = {name: _Histogram(*ends) for name, ends in extremes.items()}
        for name, values in _run(graph, inputs, group):
            if values.size:
                own[name].add(values)
        histograms |= own
    return {name: histogram.best() for name, histogram in histograms.items()}


class _Histogram:
    """Of one tensor's values between two ends, zero among them."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high if high > low else low + 1e-6
        self._counts = np.zeros(BINS, np.int64)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count values that lie between the ends, of many every so many."""
        stride = -(-values.size // SAMPLE) | 1  # odd, or one column of a map would stand for all
        found, _ = np.histogram(values.ravel()[::stride], BINS, (self._low, self._high))
        self._counts += found

    def best(self) -> Range:
        """The range with the least error."""
        edges = np.linspace(self._low, self._high, BINS + 1)
        middles = (edges[:-1] + edges[1:]) / 2
        candidates = [
            (self._error(middles, low * self._low, high * self._high), low, high)
            for low in (SHARES if self._low < 0 else (1.0,))
            for high in (SHARES if self._high > 0 else (1.0,))
        ]
        _, low, high = min(candidates, key=lambda candidate: candidate[0])
        return Range(low * self._low, high * self._high)

    def _error(self, middles: npt.NDArray[np.float64], low: float, high: float) -> float:
        """Sum of squares: rounding within the range, distance beyond it."""
        inside = (middles >= low) & (middles <= high)
        step = (high - low) / LEVELS
        beyond = middles - np.clip(middles, low, high)
        rounding = float(self._counts[inside].sum()) * step * step / 12
        return rounding + float((self._counts * beyond * beyond).sum())


def _groups(
    graph: onnx.ModelProto, example: npt.NDArray[np.float32], tensors: Sequence[str]
) -> Iterator[list[str]]:
    """Names in portions whose tensors fit into memory together."""
    sizes = {name: values.size for name, values in _run(graph, [example], tensors)}
    group: list[str] = []
    held = 0
    for name in tensors:
        if group and held + sizes[name] > ELEMENTS_AT_ONCE:
            yield group
            group, held = [], 0
        group.append(name)
        held += sizes[name]
    if group:
        yield group


def _run(
    graph: onnx.ModelProto, inputs: Sequence[npt.NDArray[np.float32]], tensors: Sequence[str]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Each tensor's values on each input."""
    name = graph.graph.input[0].name
    inner = [tensor for tensor in tensors if tensor != name]
    session = open_graph(_with_outputs(graph, inner).SerializeToString()) if inner else None
    for values in inputs:
        if name in tensors:
            yield name, values
        if session is not None:
            yield from zip(inner, session.run(inner, {name: values}), strict=True)


def _with_outputs(graph: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The graph with inner tensors as further outputs."""
    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    known = {output.name for output in opened.graph.output}
    opened.graph.output.extend(
        onnx.ValueInfoProto(name=tensor) for tensor in tensors if tensor not in known
    )
    return opened
