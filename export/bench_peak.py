"""What this machine can do at most: large products in float32 and in int8, by onnxruntime.

A peak is the rate of the fastest of several operators, each with a shape that suits it. They run
as backends of the benchmark do, in turn with the networks, so that a machine that slows down slows
both.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE: Final = 1536
"""Of square matrices: 7 billion operations, some ten milliseconds on two cores."""

CHANNELS: Final = 512
MAP_SIDE: Final = 32
"""Of a feature map for convolutions with kernels of 3 x 3: 4.8 billion operations."""

OPSET: Final = 18


def peak_graphs() -> Iterator[tuple[str, str, onnx.ModelProto, int]]:
    """Name, `float32` or `int8`, graph with one input `x`, and operations of one run."""
    product = 2 * SIDE**3
    convolution = 2 * MAP_SIDE**2 * CHANNELS**2 * 9
    yield "MatMul float32", "float32", _matmul_float(), product
    yield "Conv float32", "float32", _conv_float(), convolution
    yield "MatMulInteger u8s8", "int8", _matmul_integer(), product
    yield "QLinearMatMul u8s8", "int8", _qlinear("QLinearMatMul"), product
    yield "QLinearConv u8s8", "int8", _qlinear("QLinearConv"), convolution


def example(graph: onnx.ModelProto) -> npt.NDArray[Any]:
    """An input of a peak graph, of its own type and shape."""
    (given,) = graph.graph.input
    shape = [axis.dim_value for axis in given.type.tensor_type.shape.dim]
    generator = np.random.default_rng(0)
    if given.type.tensor_type.elem_type == TensorProto.UINT8:
        return generator.integers(0, 256, shape, dtype=np.uint8)
    return generator.standard_normal(shape, dtype=np.float32)


def _matmul_float() -> onnx.ModelProto:
    weights = np.random.default_rng(1).standard_normal((SIDE, SIDE), dtype=np.float32)
    return _model(
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        (TensorProto.FLOAT, [SIDE, SIDE], TensorProto.FLOAT),
        {"w": weights},
    )


def _conv_float() -> onnx.ModelProto:
    weights = np.random.default_rng(1).standard_normal((CHANNELS, CHANNELS, 3, 3), dtype=np.float32)
    return _model(
        helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
        (TensorProto.FLOAT, [1, CHANNELS, MAP_SIDE, MAP_SIDE], TensorProto.FLOAT),
        {"w": weights},
    )


def _matmul_integer() -> onnx.ModelProto:
    return _model(
        helper.make_node("MatMulInteger", ["x", "w", "x_zero", "w_zero"], ["y"]),
        (TensorProto.UINT8, [SIDE, SIDE], TensorProto.INT32),
        {"w": _int8(SIDE, SIDE), "x_zero": np.uint8(128), "w_zero": np.int8(0)},
    )


def _qlinear(operator: str) -> onnx.ModelProto:
    """uint8 activations, int8 weights, uint8 out: what a quantised network is made of."""
    shape, weights = [SIDE, SIDE], _int8(SIDE, SIDE)
    attributes: dict[str, Any] = {}
    if operator == "QLinearConv":
        shape, weights = [1, CHANNELS, MAP_SIDE, MAP_SIDE], _int8(CHANNELS, CHANNELS, 3, 3)
        attributes = {"pads": [1, 1, 1, 1]}
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
    return _model(
        helper.make_node(operator, names, ["y"], **attributes),
        (TensorProto.UINT8, shape, TensorProto.UINT8),
        {
            "w": weights,
            "x_scale": np.float32(0.02),
            "x_zero": np.uint8(128),
            "w_scale": np.float32(0.01),
            "w_zero": np.int8(0),
            "y_scale": np.float32(1.0),
            "y_zero": np.uint8(128),
        },
    )


def _int8(*shape: int) -> npt.NDArray[Any]:
    return np.random.default_rng(1).integers(-127, 128, shape, dtype=np.int8)


def _model(
    node: onnx.NodeProto, signature: tuple[int, list[int], int], constants: dict[str, Any]
) -> onnx.ModelProto:
    """One node from `x` to `y`: type and shape of x, type of y."""
    given, shape, made = signature
    graph = helper.make_graph(
        [node],
        "peak",
        [helper.make_tensor_value_info("x", given, shape)],
        [helper.make_tensor_value_info("y", made, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
