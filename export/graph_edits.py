"""What is done to a graph after torch has exported it; graphs are edited in place."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import onnx
from onnx import numpy_helper

from lambdas.shared.errors import ContractError
from lambdas.shared.onnx_model import LABELS_METADATA_KEY

if TYPE_CHECKING:
    import torch

OPSET: Final = 18
"""Every operator used here has its final form by then; onnxruntime 1.24 and later reads it."""

SPATIAL_AXES: Final = (2, 3)


def export_graph(
    model: "torch.nn.Module",
    example: "torch.Tensor",
    *,
    input_name: str,
    output_names: tuple[str, ...],
    dynamic_shapes: dict[str, Any] | None = None,
    translations: dict[Any, Callable[..., Any]] | None = None,
) -> onnx.ModelProto:
    """Export with torch's dynamo exporter, without its progress report.

    Args:
        model: In evaluation mode.
        example: An input of the right shape; its values do not matter.
        input_name: Of the graph's one input; also the parameter's name in `forward`.
        output_names: In the order that `forward` returns.
        dynamic_shapes: As `torch.onnx.export` takes it; None where every axis is fixed.
        translations: Operators of our own and how they are written in ONNX.

    Raises:
        ContractError: torch cannot express the model as a graph.
    """
    import torch  # slow to import; the edits below do not need it

    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            torch.no_grad(),
        ):
            # the exporter warns about its own internals, which nobody here can act on
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                input_names=[input_name],
                output_names=list(output_names),
                dynamic_shapes=dynamic_shapes,
                custom_translation_table=translations,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ContractError(f"torch cannot export {type(model).__name__}: {error}") from error
    finally:
        logger.setLevel(level)
    proto: onnx.ModelProto = program.model_proto
    strip(proto)
    return proto


def global_average_pools(model: onnx.ModelProto) -> int:
    """Turn means over height and width into GlobalAveragePool; returns how many.

    The values are the same. onnxruntime has GlobalAveragePool in its blocked layout and in int8;
    a ReduceMean in each squeeze-and-excite block forces two reorders of the whole feature map.
    """
    constants = {item.name: item for item in model.graph.initializer}
    changed = 0
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) < 2 or node.input[1] not in constants:
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        axes = sorted(int(axis) % 4 for axis in numpy_helper.to_array(constants[node.input[1]]))
        if tuple(axes) == SPATIAL_AXES and attributes.get("keepdims", 1):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
            changed += 1
    return changed


def strip(model: onnx.ModelProto) -> None:
    """Remove what only the exporter needs: the names and paths of sources, unused constants."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        item.doc_string = ""
        if not isinstance(item, onnx.ModelProto):
            del item.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    del model.functions[:]
    used = {name for node in graph.node for name in node.input}
    used.update(output.name for output in graph.output)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]  # onnxruntime infers the same shapes again


def label(model: onnx.ModelProto, labels: tuple[str, ...]) -> None:
    """Write the labels into the graph's metadata, where `OnnxModel` checks them."""
    onnx.helper.set_model_props(model, {LABELS_METADATA_KEY: json.dumps(list(labels))})
