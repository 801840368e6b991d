"""A bundle as the source of another: its graph in float32 again, its facts as they are."""

import numpy as np
import onnx
from onnx import numpy_helper

from export.quantize import FLOAT32, INT8_WEIGHTS
from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ContractError


def float32_graph(bundle: Bundle) -> onnx.ModelProto:
    """The bundle's graph with weights in float32, as they are when it runs.

    Raises:
        ContractError: The graph computes in int8: what was rounded away cannot come back.
    """
    precision = bundle.facts["precision"]
    if precision not in (FLOAT32, INT8_WEIGHTS):
        raise ContractError(
            f"bundle {bundle.folder} is {precision!r}; name a bundle in float32, or the checkpoint "
            "that it was made from"
        )
    model = onnx.load(bundle.graph_path)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept, unfolded = [], set[str]()
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in constants:
            kept.append(node)
            continue
        whole, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
        axis = next(item.i for item in node.attribute if item.name == "axis")
        shape = [1] * whole.ndim
        shape[axis] = -1
        weights = whole.astype(np.float32) * scale.reshape(shape)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        unfolded.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name not in unfolded]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    del graph.node[:]
    graph.node.extend(kept)
    return model
