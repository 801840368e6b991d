"""Run a bundle's graph; the one module that imports onnxruntime.

The Linux wheels of onnxruntime send telemetry unless ORT_DISABLE_TELEMETRY is 1 before the first
import (microsoft/onnxruntime #27379, #29843), so that is set here, and this module imports it late.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ModelMismatchError

LABELS_METADATA_KEY: Final = "labels"
"""Key of the graph's metadata under which the export writes the label names as a JSON list."""

FOLDED_WEIGHTS: Final = "int8 weights, float32 compute"
"""The precision in model.json of a graph whose int8 weights are folded to float32 at load."""

Arrays = dict[str, npt.NDArray[Any]]


class OnnxModel:
    """A loaded graph whose inputs and outputs agree with its bundle.

    Args:
        bundle: Checked by `load_bundle`.
        threads: Threads within one operator; None for one for each processor.

    Raises:
        ModelMismatchError: The graph does not load, or contradicts model.json.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self._session = _open_session(bundle, threads)
        _check_graph(bundle, self._session)

    def run(self, image: npt.NDArray[np.float32]) -> Arrays:
        """Outputs by graph name for an input (1, C, H, W) float32."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            values = self._session.run(names, {self.bundle.facts["input"]["name"]: image})
        except Exception as error:  # onnxruntime raises its own tree, not exported
            raise ModelMismatchError(
                f"model {self.bundle.facts['name']!r} failed on an input {image.shape}: {error}"
            ) from error
        return dict(zip(names, values, strict=True))


def open_graph(
    graph: Path | bytes, *, threads: int | None = None, fold_weights: bool = False
) -> Any:
    """An onnxruntime session on the processor.

    Args:
        graph: File, or the serialised model.
        threads: Within one operator; None for one for each processor.
        fold_weights: Whether weights stored in int8 behind DequantizeLinear become float32 once,
            at load, and all computing is in float32.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: warnings name nodes, which nobody here can act on
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    if fold_weights:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    source = str(graph) if isinstance(graph, Path) else graph
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _open_session(bundle: Bundle, threads: int | None) -> Any:
    fold = bundle.facts["precision"] == FOLDED_WEIGHTS
    try:
        return open_graph(bundle.graph_path, threads=threads, fold_weights=fold)
    except Exception as error:  # onnxruntime raises its own tree, not exported
        raise ModelMismatchError(
            f"model bundle {bundle.folder}: the graph does not load: {error}"
        ) from error


def _check_graph(bundle: Bundle, session: Any) -> None:
    """Names, types, sizes and label count of the graph against model.json; all problems at once."""
    facts, problems = bundle.facts, []
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    expected = facts["input"]
    if set(inputs) != {expected["name"]}:
        problems.append(f"inputs are {sorted(inputs)}, expected [{expected['name']!r}]")
    else:
        node = inputs[expected["name"]]
        shape = (1, expected["channels"], expected["height_px"], expected["width_px"])
        if node.type != "tensor(float)":
            problems.append(f"input is {node.type}, expected tensor(float)")
        if not _shape_admits(node.shape, shape):
            problems.append(f"input shape is {node.shape}, expected {list(shape)}")
    roles = ("scores",) if bundle.task == "classification" else ("boxes", "labels", "scores")
    wanted = [facts["output"][role] for role in roles]
    if missing := sorted(set(wanted) - set(outputs)):
        problems.append(f"outputs {missing} are missing; the graph has {sorted(outputs)}")
    elif bundle.task == "classification":
        shape = outputs[facts["output"]["scores"]].shape
        if not _shape_admits(shape, (1, len(bundle.labels))):
            problems.append(f"scores have shape {shape}, but there are {len(bundle.labels)} labels")
    else:
        shape = outputs[facts["output"]["boxes"]].shape
        if not shape or not (isinstance(shape[-1], str) or shape[-1] in (None, 4)):
            problems.append(f"boxes have shape {shape}, expected (n, 4)")
    embedded = session.get_modelmeta().custom_metadata_map.get(LABELS_METADATA_KEY)
    if embedded is not None and json.loads(embedded) != list(bundle.label_names):
        problems.append(f"the graph was exported with labels {embedded}, not those of model.json")
    if problems:
        raise ModelMismatchError(f"model bundle {bundle.folder}: " + "; ".join(problems))


def _shape_admits(declared: list[Any], wanted: tuple[int, ...]) -> bool:
    """Whether a declared shape, with names or None for open axes, admits a concrete one."""
    return len(declared) == len(wanted) and all(
        axis == size for axis, size in zip(declared, wanted, strict=True) if isinstance(axis, int)
    )
