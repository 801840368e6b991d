"""Graphs that compute in int8, on a tiny one with every pattern that the real ones have."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.static_int8 import WEIGHT_MAX, fuse_silu, quantize_static
from lambdas.shared.onnx_model import open_graph

CHANNELS, SIDE = 8, 12


def block_graph():
    """Convolution, SiLU, squeeze-and-excite, residual sum, pool, convolution with Relu, product."""
    generator = np.random.default_rng(5)

    def weights(name, *shape):
        spread = 1 / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(
            generator.normal(scale=spread, size=shape).astype(np.float32), name
        )

    node = helper.make_node
    nodes = [
        node("Conv", ["image", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        node("Sigmoid", ["a"], ["sa"]),
        node("Mul", ["a", "sa"], ["silu"]),
        node("GlobalAveragePool", ["silu"], ["squeezed"]),
        node("Conv", ["squeezed", "w2", "b1"], ["excited"]),
        node("Sigmoid", ["excited"], ["gates"]),
        node("Mul", ["silu", "gates"], ["gated"]),
        node("Conv", ["gated", "w3", "b1"], ["linear"]),
        node("Add", ["linear", "silu"], ["sum"]),
        node("MaxPool", ["sum"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["pooled", "w4", "b1"], ["c"]),
        node("Relu", ["c"], ["relu"]),
        node("Flatten", ["relu"], ["flat"]),
        node("Gemm", ["flat", "head", "head_bias"], ["logits"]),
    ]
    bias = numpy_helper.from_array(np.linspace(-1, 1, CHANNELS).astype(np.float32), "b1")
    tensors = [
        weights("w1", CHANNELS, 1, 3, 3),
        weights("w2", CHANNELS, CHANNELS, 1, 1),
        weights("w3", CHANNELS, CHANNELS, 1, 1),
        weights("w4", CHANNELS, CHANNELS, 1, 1),
        bias,
        numpy_helper.from_array(
            generator.normal(size=(CHANNELS * SIDE * SIDE // 4, 3)).astype(np.float32) / 20, "head"
        ),
        numpy_helper.from_array(np.zeros(3, np.float32), "head_bias"),
    ]
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def images(count, seed=2):
    generator = np.random.default_rng(seed)
    return [generator.random((1, 1, SIDE, SIDE), np.float32) for _ in range(count)]


def run(graph, inputs):
    session = open_graph(graph.SerializeToString(), threads=1)
    return np.concatenate([session.run(None, {"image": image})[0] for image in inputs])


@pytest.fixture(scope="module")
def quantised():
    return quantize_static(block_graph(), images(16))


def operators_in_use(graph, tmp_path):
    """What onnxruntime makes of the graph on this processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]


def test_answers_are_near_those_of_float32(quantised):
    fresh = images(20, seed=9)
    exact, given = run(block_graph(), fresh), run(quantised, fresh)
    assert np.abs(exact - given).max() < 0.05 * (exact.max() - exact.min())
    assert np.abs(exact - given).max() > 0


def test_every_layer_but_the_last_becomes_an_integer_operator(quantised, tmp_path):
    found = operators_in_use(quantised, tmp_path)
    assert found.count("QLinearConv") == 4
    assert "Conv" not in found
    for name in ("QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool", "QLinearSigmoid"):
        assert name in found
    assert found.count("QuickGelu") == 1
    assert "Gemm" in found  # the last layer's errors nothing averages
    assert "Relu" not in found  # it is the end of the range


def test_weights_use_seven_bits_and_activations_are_unsigned(quantised):
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    weights = [
        numpy_helper.to_array(tensor)
        for tensor in tensors.values()
        if tensor.data_type == TensorProto.INT8 and tensor.name.endswith("_quantized")
    ]
    assert len(weights) == 4
    assert max(int(np.abs(values).max()) for values in weights) == WEIGHT_MAX
    # two products of full bytes and such weights fit the 16 bits that AVX2 adds them in
    assert 255 * WEIGHT_MAX * 2 < 2**15
    quantisers = [node for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    assert {tensors[node.input[2]].data_type for node in quantisers} == {TensorProto.UINT8}


def test_a_pool_keeps_the_scale_of_what_it_pools(quantised):
    scales = {
        node.input[0]: node.input[1]
        for node in quantised.graph.node
        if node.op_type == "QuantizeLinear"
    }
    tensors = {tensor.name: tensor for tensor in quantised.graph.initializer}
    pooled, whole = (numpy_helper.to_array(tensors[scales[name]]) for name in ("pooled", "sum"))
    assert pooled == whole


def test_the_given_graph_is_left_alone():
    graph = block_graph()
    before = graph.SerializeToString(deterministic=True)
    quantize_static(graph, images(2))
    assert graph.SerializeToString(deterministic=True) == before


def test_silu_is_one_operator_with_the_same_values():
    fused = fuse_silu(block_graph())
    assert [node.op_type for node in fused.graph.node].count("Sigmoid") == 1  # of the gates
    assert np.abs(run(fused, images(3)) - run(block_graph(), images(3))).max() < 1e-5
