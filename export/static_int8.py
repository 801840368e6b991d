"""A graph that computes in int8: calibrated, per channel, the same numbers on every processor.

Layers with weights run on 8-bit integers, and so does what stands between two of them (sums, pools,
squeeze-and-excite products). What follows regions, scores and boxes stays in float32, and so do the
last layers, whose errors nothing averages. In the file every integer tensor stands between
QuantizeLinear and DequantizeLinear, which onnxruntime turns into integer operators as it loads.

Activations are unsigned with a zero point, weights signed with one scale for each output channel:
the pair that has a fast kernel on every x86-64 processor and on arm64. Weights use seven bits:
processors without VNNI add pairs of products in 16 bits, which two full bytes overflow, and then
answer otherwise than the others (onnxruntime's documentation calls the remedy `reduce_range`).

SiLU is one float32 operator of onnxruntime (`com.microsoft.QuickGelu`, alpha 1): as two integer
ones, Sigmoid and Mul, it costs more than the convolution before it, and rounds twice.

Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-
only inference, 2018; Krishnamoorthi, Quantizing deep convolutional networks, 2018, section 3.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from export.activation_ranges import LEVELS, Range, measure_ranges
from export.quantize import to_int8

INT8: Final = "int8, calibrated"
"""The name of this precision in model.json."""

WEIGHT_MAX: Final = 63
"""Seven bits: 255 x 63 x 2 is below 2**15."""

INT32: Final = 2**31 - 1

CONTRIB: Final = "com.microsoft"

_BETWEEN: Final = frozenset({"Add", "Mul", "Sigmoid", "GlobalAveragePool"})
"""Operators with an integer kernel and a range of their own."""

_PASSING: Final = frozenset({"MaxPool", "Resize", "Reshape", "Flatten", "Transpose"})
"""Operators that move numbers and do not change them; they keep the range of what enters."""

_THROUGH: Final = _BETWEEN | _PASSING | {"QuickGelu", "Relu"}
"""Operators that a tensor may pass on its way from one layer to the next."""

_SIGMOID_RANGE: Final = Range(0.0, 1.0)


def quantize_static(
    graph: onnx.ModelProto, inputs: Sequence[npt.NDArray[np.float32]]
) -> onnx.ModelProto:
    """Calibrate a float32 graph on images and let it compute in int8.

    Args:
        graph: Of `export.classifier_graph` or `export.detector_graph`; left as it is.
        inputs: (1, 1, S, S) float32 in [0, 1] each, of the training split; a hundred or two.

    Returns:
        A graph with the same inputs and outputs.
    """
    whole = fuse_silu(graph)
    plan = _Plan(whole.graph)
    measured = measure_ranges(whole, inputs, sorted(plan.measured))
    return _Writer(whole, plan, measured).write()


def fuse_silu(graph: onnx.ModelProto) -> onnx.ModelProto:
    """x * Sigmoid(x) as one operator of onnxruntime; the values are the same."""
    fused = onnx.ModelProto()
    fused.CopyFrom(graph)
    consumers = _consumers(fused.graph)
    products: dict[int, str] = {}
    nodes = []
    for node in fused.graph.node:
        users = consumers.get(node.output[0], [])
        own = node.op_type == "Sigmoid" and len(users) == 1 and users[0].op_type == "Mul"
        if own and node.input[0] in users[0].input:
            products[id(users[0])] = node.input[0]
            continue
        if id(node) in products:
            entering = products[id(node)]
            node = helper.make_node(
                "QuickGelu", [entering], list(node.output), domain=CONTRIB, alpha=1.0
            )
        nodes.append(node)
    if products:
        del fused.graph.node[:]
        fused.graph.node.extend(nodes)
        fused.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return fused


class _Plan:
    """Which layers become integer ones, and which tensors.

    Attributes:
        layers: Outputs of the convolutions and products that do, as they leave the node.
        tensors: All that become integers, in the order in which they are made.
        same_range: Tensors that keep another's range, which may keep another's in turn.
        measured: Tensors whose range is to be measured.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name for tensor in graph.initializer}
        self._consumers = _consumers(graph)
        self._outputs = {output.name for output in graph.output}
        layers = [node for node in graph.node if self._has_weights(node)]
        ends = {node.output[0] for node in layers}
        self.layers = {n.output[0] for n in layers if self._reaches(self.leaving(n), ends)}
        self.tensors: dict[str, None] = {}
        self.same_range: dict[str, str] = {}
        for node in graph.node:
            if node.output[0] in self.layers:
                self.tensors[node.input[0]] = None
                self.tensors[self.leaving(node)] = None
            elif node.op_type == "QuickGelu" and self._reaches(node.output[0], self.layers):
                self.tensors[node.output[0]] = None
        self._spread()
        self.measured = {
            name
            for name in self.tensors
            if name not in self.same_range and self._maker(name) != "Sigmoid"
        }

    def leaving(self, node: onnx.NodeProto) -> str:
        """The tensor that a layer hands on: after its Relu, where it has one."""
        users = self._consumers.get(node.output[0], [])
        if len(users) == 1 and users[0].op_type == "Relu":
            return users[0].output[0]
        return node.output[0]

    def range_of(self, name: str, measured: dict[str, Range]) -> Range:
        """The range of a planned tensor."""
        while name in self.same_range:
            name = self.same_range[name]
        return _SIGMOID_RANGE if self._maker(name) == "Sigmoid" else measured[name]

    def _has_weights(self, node: onnx.NodeProto) -> bool:
        kind = node.op_type
        return kind in ("Conv", "Gemm") and node.input[1] in self._constants

    def _reaches(self, name: str, layers: set[str]) -> bool:
        """Whether one of these layers follows, with nothing between that needs float32."""
        seen, open_ = {name}, [name]
        while open_:
            for user in self._consumers.get(open_.pop(), []):
                output = user.output[0]
                if output in layers:
                    return True
                if user.op_type in _THROUGH and output not in seen:
                    seen.add(output)
                    open_.append(output)
        return False

    def _spread(self) -> None:
        """Add what stands between integer tensors, until nothing more does."""
        grew = True
        while grew:
            grew = False
            for node in self._graph.node:
                moving = node.op_type in _PASSING
                if not (moving or node.op_type in _BETWEEN):
                    continue
                entering = [
                    name
                    for name in (node.input[:1] if moving else node.input)
                    if name not in self._constants
                ]
                output = self.leaving(node)
                whole = entering and all(name in self.tensors for name in entering)
                constant = not moving and len(entering) != len(node.input)
                if not whole or constant or output in self._outputs:
                    continue
                if not self._feeds_integers(output):
                    continue
                if output not in self.tensors:
                    self.tensors[output] = None
                    grew = True
                if moving and output not in self.same_range:
                    self.same_range[output] = entering[0]

    def _feeds_integers(self, name: str) -> bool:
        """Whether anything takes this tensor as integers."""
        return name in self.tensors or any(
            user.op_type in _BETWEEN | _PASSING or user.output[0] in self.layers
            for user in self._consumers.get(name, [])
        )

    def _maker(self, name: str) -> str:
        return next((n.op_type for n in self._graph.node if name in n.output), "")


class _Writer:
    """Puts the quantisers of a plan into a graph."""

    def __init__(self, model: onnx.ModelProto, plan: _Plan, measured: dict[str, Range]) -> None:
        self._model, self._plan, self._measured = model, plan, measured
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._scales: dict[str, np.float32] = {}

    def write(self) -> onnx.ModelProto:
        """The graph, changed in place."""
        graph = self._model.graph
        nodes: list[onnx.NodeProto] = []
        for entry in graph.input:
            if entry.name in self._plan.tensors:
                nodes += self._quantizer(entry.name)
        for node in list(graph.node):
            outputs = list(node.output)
            integer_layer = outputs[0] in self._plan.layers
            entering = node.input[0]
            for position, name in enumerate(node.input):
                if name in self._plan.tensors:
                    node.input[position] = f"{name}_dequantized"
            if integer_layer:
                nodes += self._weights(node, entering)
            nodes.append(node)
            for name in outputs:
                if name in self._plan.tensors:
                    nodes += self._quantizer(name)
        del graph.node[:]
        graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        return self._model

    def _quantizer(self, name: str) -> list[onnx.NodeProto]:
        """From float to unsigned eight bits and back."""
        found = self._plan.range_of(name, self._measured)
        scale = np.float32(max((found.high - found.low) / LEVELS, 1e-8))
        zero = np.uint8(np.clip(round(-found.low / float(scale)), 0, LEVELS))
        self._scales[name] = scale
        around = [self._constant(f"{name}_scale", scale), self._constant(f"{name}_zero", zero)]
        return [
            helper.make_node("QuantizeLinear", [name, *around], [f"{name}_quantized"]),
            helper.make_node(
                "DequantizeLinear", [f"{name}_quantized", *around], [f"{name}_dequantized"]
            ),
        ]

    def _weights(self, node: onnx.NodeProto, entering: str) -> Iterable[onnx.NodeProto]:
        """A layer's weights in int8 and its bias in int32, in the scale of their products."""
        weights = numpy_helper.to_array(self._initializers[node.input[1]])
        transposed = any(item.name == "transB" and item.i for item in node.attribute)
        axis = 0 if node.op_type == "Conv" or transposed else 1
        whole, scale = to_int8(weights, axis=axis, largest_whole=WEIGHT_MAX)
        yield self._dequantizer(node, 1, whole, scale, axis)
        if len(node.input) > 2 and node.input[2]:
            bias = numpy_helper.to_array(self._initializers[node.input[2]])
            both = (self._scales[entering] * scale).astype(np.float32)
            rounded = np.clip(np.rint(bias / both.astype(np.float64)), -INT32, INT32)
            yield self._dequantizer(node, 2, rounded.astype(np.int32), both, 0)

    def _dequantizer(
        self,
        node: onnx.NodeProto,
        position: int,
        whole: npt.NDArray[np.int8] | npt.NDArray[np.int32],
        scale: npt.NDArray[np.float32],
        axis: int,
    ) -> onnx.NodeProto:
        # by the layer's output: two layers may share one bias and differ in what enters
        name = f"{node.output[0]}_{'weights' if position == 1 else 'bias'}"
        zero = np.zeros(len(scale), whole.dtype)
        around = [self._constant(f"{name}_scale", scale), self._constant(f"{name}_zero", zero)]
        node.input[position] = f"{name}_dequantized"
        return helper.make_node(
            "DequantizeLinear",
            [self._constant(f"{name}_quantized", whole), *around],
            [f"{name}_dequantized"],
            axis=axis,
        )

    def _constant(self, name: str, values: npt.ArrayLike) -> str:
        if name not in self._initializers:
            tensor = numpy_helper.from_array(np.asarray(values), name)
            self._initializers[name] = tensor
            self._model.graph.initializer.append(tensor)
        return name


def _consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Nodes by the tensors that they take."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found
