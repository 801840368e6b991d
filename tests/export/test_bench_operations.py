"""Operations counted against counts made by hand."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.bench_operations import count_operations, operations
from export.bench_peak import example, peak_graphs
from lambdas.shared.errors import ContractError


def zeros(*shape):
    return np.zeros(shape, np.float32)


def graph():
    """Conv 3x3 in 2 groups, stride 2; the mean over the map; Gemm, transposed; MatMul."""
    nodes = [
        helper.make_node(
            "Conv", ["x", "kernel"], ["c"], group=2, strides=[2, 2], pads=[1, 1, 1, 1]
        ),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["d"], transB=1),
        helper.make_node("MatMul", ["d", "m"], ["y"]),
    ]
    constants = {"kernel": zeros(6, 2, 3, 3), "g": zeros(5, 6), "m": zeros(5, 7)}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, "h", "w"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )


def test_operations_are_those_counted_by_hand():
    # Conv: 6 x 4 x 5 outputs of 2 x 3 x 3 products; Gemm: 5 of 6; MatMul: 7 of 5; two each
    expected = 2 * (6 * 4 * 5 * 18 + 5 * 6 + 7 * 5)
    assert count_operations(graph(), {"x": zeros(1, 4, 8, 10)}) == expected


def test_operations_follow_the_shapes_of_the_run():
    one = count_operations(graph(), {"x": zeros(1, 4, 8, 10)})
    assert count_operations(graph(), {"x": zeros(3, 4, 8, 10)}) == 3 * one


def test_counting_leaves_the_graph_as_it_was():
    model = graph()
    before = model.SerializeToString(deterministic=True)
    count_operations(model, {"x": zeros(1, 4, 8, 10)})
    assert model.SerializeToString(deterministic=True) == before


def test_an_operator_that_is_not_counted_is_refused():
    node = helper.make_node("Relu", ["x", "x"], ["y"])
    with pytest.raises(ContractError, match="Relu is not counted"):
        operations(node, {"x": (1, 2), "y": (1, 2)})


@pytest.mark.parametrize("name", ["MatMul float32", "Conv float32"])
def test_peak_graphs_say_their_own_operations(name):
    (model, stated) = next((m, count) for n, _, m, count in peak_graphs() if n == name)
    assert count_operations(model, {"x": example(model)}) == stated


def test_integer_peaks_take_unsigned_activations_and_signed_weights():
    for name, precision, model, _ in peak_graphs():
        if precision == "int8":
            weights = next(item for item in model.graph.initializer if item.name == "w")
            assert example(model).dtype == np.uint8, name
            assert weights.data_type == TensorProto.INT8, name
