"""int8 weights on tiny graphs, run as production runs them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.package import OperatingPoint, Origin, classifier_facts, write_bundle
from export.quantize import FLOAT32, INT8_WEIGHTS, quantize_weights, to_int8
from lambdas.shared.onnx_model import OnnxModel

SIZE = 16


def graph_with_convolution(weights, head):
    """Convolution, global mean, product: (1, 1, 16, 16) to (1, 2) logits."""
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["map"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIZE, SIZE])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
            [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(head, "head")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def tiny_graph():
    generator = np.random.default_rng(3)
    weights = generator.normal(size=(600, 1, 3, 3)).astype(np.float32)
    weights *= np.linspace(0.01, 10, 600, dtype=np.float32)[:, None, None, None]
    return graph_with_convolution(weights, generator.normal(size=(600, 2)).astype(np.float32))


def bundle(folder, graph, precision):
    return write_bundle(
        folder,
        graph=graph,
        facts=classifier_facts(
            labels=("Normal", "Abnormal"),
            size=SIZE,
            input_name="image",
            output_name="logits",
            point=OperatingPoint(thresholds={"Abnormal": 0.5}, chosen_by="test"),
        ),
        origin=Origin(
            name="tiny",
            version="1",
            architecture="one convolution",
            trained_on="nothing",
            description="random numbers",
            code_version="test",
        ),
        precision=precision,
        parity=None,
    )


def test_error_is_half_a_step_of_each_channel():
    values = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    values *= np.array([[1e-3], [1], [100], [0]], np.float32)
    whole, scale = to_int8(values, axis=0)
    assert whole.dtype == np.int8
    assert whole.min() >= -127
    error = np.abs(whole * scale[:, None] - values)
    # half a step, and float32's own rounding
    assert (error <= 0.5001 * np.abs(values).max(axis=1, keepdims=True) / 127).all()
    assert whole[3].tolist() == [0] * 50


def test_both_orders_of_weights_get_a_scale_for_each_output():
    quantized = quantize_weights(tiny_graph())
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    assert tensors["weights_scale"].dims == [600]
    assert tensors["head_scale"].dims == [2]
    assert tensors["head_int8"].data_type == TensorProto.INT8
    axes = {node.input[0]: node.attribute[0].i for node in quantized.graph.node[:2]}
    assert axes == {"weights_int8": 0, "head_int8": 1}
    onnx.checker.check_model(quantized)


def test_the_given_graph_is_left_alone():
    graph = tiny_graph()
    before = graph.SerializeToString(deterministic=True)
    quantize_weights(graph)
    assert graph.SerializeToString(deterministic=True) == before


def test_small_weights_stay_float32():
    graph = graph_with_convolution(np.ones((4, 1, 3, 3), np.float32), np.ones((4, 2), np.float32))
    quantized = quantize_weights(graph)
    assert next(node.op_type for node in quantized.graph.node) == "Conv"
    assert {tensor.data_type for tensor in quantized.graph.initializer} == {TensorProto.FLOAT}


def test_a_weight_that_is_also_data_stays_float32():
    """A tensor used twice, once not as a weight, would change its type there."""
    graph = tiny_graph()
    graph.graph.node.append(helper.make_node("Identity", ["head"], ["copy"]))
    names = {tensor.name for tensor in quantize_weights(graph).graph.initializer}
    assert "head" in names
    assert "weights_int8" in names


def test_answers_stay_and_the_file_shrinks(tmp_path):
    graph = tiny_graph()
    exact = bundle(tmp_path / "exact", graph, FLOAT32)
    small = bundle(tmp_path / "small", quantize_weights(graph), INT8_WEIGHTS)
    image = np.random.default_rng(1).random((1, 1, SIZE, SIZE), np.float32)
    wanted = OnnxModel(exact, threads=1).run(image)["logits"]
    given = OnnxModel(small, threads=1).run(image)["logits"]
    assert np.abs(wanted - given).max() < 0.01 * np.abs(wanted).max()
    assert np.abs(wanted - given).max() > 0
    assert small.graph_path.stat().st_size < 0.5 * exact.graph_path.stat().st_size
