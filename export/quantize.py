"""Smaller numbers in a graph. Weights alone: int8 on disk, float32 when it runs.

Weights are stored as int8 with one scale for each output channel, behind a DequantizeLinear that
onnxruntime folds away while it loads (`lambdas.shared.onnx_model` asks it to). A bundle shrinks to
a quarter; speed and memory in use are those of float32.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from lambdas.shared.onnx_model import FOLDED_WEIGHTS

FLOAT32: Final = "float32"
INT8_WEIGHTS: Final = FOLDED_WEIGHTS
"""The names of precisions in model.json."""

MIN_ELEMENTS: Final = 1024
"""Smaller tensors stay float32: together they are a fraction of a percent of a model."""

INT8_MAX: Final = 127
"""Symmetric: -128 is unused, so that zero is exact and no zero point is needed."""

_WEIGHT_INPUT: Final = 1


def quantize_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the weights of convolutions and matrix products as int8.

    Args:
        model: A float32 graph; left as it is.

    Returns:
        A graph with the same inputs and outputs. Each weight is off by half a step at most, which
        is 1/254 of the largest in its output channel.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    positions = {tensor.name: index for index, tensor in enumerate(graph.initializer)}
    dequantizers = []
    for name, axis in dict(_weights(graph)).items():
        tensor = graph.initializer[positions[name]]
        values = numpy_helper.to_array(tensor)
        whole, scale = to_int8(values, axis=axis)
        tensor.CopyFrom(numpy_helper.from_array(whole, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        dequantizers.append(
            helper.make_node(
                "DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=axis
            )
        )
    # constants first: a graph's nodes are in the order in which they can run
    nodes = [*dequantizers, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return quantized


def to_int8(
    values: npt.NDArray[np.float32], *, axis: int, largest_whole: int = INT8_MAX
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round to multiples of a scale for each index along `axis`.

    Args:
        values: Weights.
        axis: Of the output channels.
        largest_whole: Largest magnitude, at most `INT8_MAX`.

    Returns:
        int8 in [-largest_whole, largest_whole] of the same shape, and the scales, so that their
        product is near values.
    """
    others = tuple(index for index in range(values.ndim) if index != axis)
    largest = np.abs(values).max(axis=others)
    scale = np.where(largest > 0, largest / largest_whole, 1.0).astype(np.float32)
    shape = [1] * values.ndim
    shape[axis] = -1
    whole = np.rint(values / scale.reshape(shape))
    return np.clip(whole, -largest_whole, largest_whole).astype(np.int8), scale


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """Names of large constant weights, each with the axis of its output channels."""
    constants = {
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) >= MIN_ELEMENTS
    }
    elsewhere = {
        name
        for node in graph.node
        for position, name in enumerate(node.input)
        if not (position == _WEIGHT_INPUT and node.op_type in ("Conv", "Gemm", "MatMul"))
    }
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        name = node.input[_WEIGHT_INPUT]
        if name not in constants or name in elsewhere:
            continue
        transposed = any(item.name == "transB" and item.i for item in node.attribute)
        # Conv: (out, in, h, w). Gemm and MatMul: (in, out), unless transposed.
        yield name, 0 if node.op_type == "Conv" or transposed else 1
