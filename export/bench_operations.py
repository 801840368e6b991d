"""How many operations one run of a graph takes, by the shapes that a run really has.

Counted are Conv, Gemm and MatMul, two operations for each multiply-accumulate, as the machine's
peak is. Everything else (activations, pooling of regions, suppression) counts as no work, though it
takes time: percentages of the peak are those of the whole graph.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from lambdas.shared.errors import ContractError

COUNTED: Final = ("Conv", "Gemm", "MatMul")

OPERATIONS_PER_MAC: Final = 2
"""A multiplication and an addition."""

Shape = Sequence[int]


def count_operations(model: onnx.ModelProto, inputs: Mapping[str, npt.NDArray[Any]]) -> int:
    """Operations of the counted nodes, for these inputs.

    Args:
        model: A float32 graph, not yet quantised; left as it is.
        inputs: By name. The graph is run on them once: regions of interest are dealt to the levels
            of a pyramid by their size, so no shape inference knows how many each level gets.
    """
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    needed = dict.fromkeys(name for node in nodes for name in (*node.input[:2], node.output[0]))
    shapes: dict[str, Shape] = dict(constants)
    shapes |= _shapes(model, [name for name in needed if name not in constants], inputs)
    return sum(operations(node, shapes) for node in nodes)


def operations(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Operations of one node.

    Args:
        node: A Conv, Gemm or MatMul.
        shapes: Of its first two inputs and its output, by name.

    Raises:
        ContractError: It is another operator.
    """
    first, second = (shapes[name] for name in node.input[:2])
    outputs = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":
        macs = math.prod(second[1:])  # (out, in / groups, kernel height, kernel width)
    elif node.op_type == "Gemm":
        transposed = any(item.name == "transA" and item.i for item in node.attribute)
        macs = first[0] if transposed else first[1]
    elif node.op_type == "MatMul":
        macs = first[-1]
    else:
        raise ContractError(f"{node.op_type} is not counted, only {', '.join(COUNTED)}")
    return OPERATIONS_PER_MAC * outputs * macs


def _shapes(
    model: onnx.ModelProto, names: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Shape]:
    """Shapes of values inside a graph, by running it with those values as its outputs."""
    import onnxruntime

    told = onnx.ModelProto()
    told.CopyFrom(model)
    given = {item.name for item in model.graph.input}
    wanted = [name for name in names if name not in given]
    del told.graph.output[:]
    # a type without a shape: whatever comes is taken
    told.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in wanted
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # no node may be fused into another: each value must exist
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        told.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = session.run(wanted, dict(inputs)) if wanted else []
    shapes: dict[str, Shape] = {
        name: np.shape(value) for name, value in zip(wanted, found, strict=True)
    }
    return shapes | {name: np.shape(inputs[name]) for name in names if name in given}
