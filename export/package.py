"""Write a bundle: model.onnx and model.json, checked by the code that will load them."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import onnx

from lambdas.shared.bundle import FACTS_FILE, GRAPH_FILE, Bundle, load_bundle
from lambdas.shared.labels import CODES
from lambdas.shared.onnx_model import OnnxModel

SCHEMA_VERSION: Final = "1.0"

INTENDED_USE: Final = (
    "Research on frontal chest radiographs of adults. Not a medical device; not for diagnosis, "
    "treatment or the exclusion of disease."
)

MAX_FINDINGS: Final = 20
"""Findings kept for one image: more boxes than this nobody reads."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model comes from.

    Attributes:
        name: Of the model.
        version: Of the model.
        architecture: In words.
        trained_on: `nothing`, `phantoms` or `patients`.
        description: Of the training data, or why there is none.
        code_version: Of the code that exported it.
        metrics: As model.json holds them.
        calibration: As model.json holds it, or None.
    """

    name: str
    version: str
    architecture: str
    trained_on: str
    description: str
    code_version: str
    metrics: Sequence[Mapping[str, Any]] = field(default=())
    calibration: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Where decisions are made.

    Attributes:
        thresholds: By label. A classifier has one entry: its positive label.
        chosen_by: How they were chosen, in words.
        sensitivity: Of a classifier at its threshold, on validation data; None where not measured.
        specificity: Likewise.
    """

    thresholds: Mapping[str, float]
    chosen_by: str
    sensitivity: float | None = None
    specificity: float | None = None


def classifier_facts(
    *,
    labels: Sequence[str],
    size: int,
    input_name: str,
    output_name: str,
    point: OperatingPoint,
    resize: str = "letterbox",
) -> dict[str, Any]:
    """The part of model.json that belongs to a classifier whose graph normalises."""
    ((positive, threshold),) = point.thresholds.items()
    return {
        "task": "classification",
        "labels": _labels(labels),
        "input": _square_grey_input(input_name, size, resize),
        "output": {"scores": output_name, "activation": "softmax"},
        "operating_point": {
            "positive_label": positive,
            "threshold": threshold,
            "chosen_by": point.chosen_by,
            "sensitivity": point.sensitivity,
            "specificity": point.specificity,
        },
    }


def detector_facts(
    *,
    labels: Sequence[str],
    size: int,
    input_name: str,
    output_names: Sequence[str],
    point: OperatingPoint,
    resize: str = "letterbox",
) -> dict[str, Any]:
    """The part of model.json that belongs to a detector with boxes in pixels of its input."""
    boxes, label_ids, scores = output_names
    return {
        "task": "detection",
        "labels": _labels(labels),
        "input": _square_grey_input(input_name, size, resize),
        "output": {
            "boxes": boxes,
            "labels": label_ids,
            "scores": scores,
            "box_frame": "input_pixels",
            "first_label_id": 1,
        },
        "operating_point": {
            "thresholds": dict(point.thresholds),
            "max_findings": MAX_FINDINGS,
            "chosen_by": point.chosen_by,
        },
    }


def write_bundle(
    folder: Path,
    *,
    graph: onnx.ModelProto,
    facts: Mapping[str, Any],
    origin: Origin,
    precision: str,
    parity: Mapping[str, Any] | None,
    gate: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle, load it, open its graph, and only then put it in place.

    Args:
        folder: Of the bundle; what it held is replaced.
        graph: Under 2 GB.
        facts: Of `classifier_facts` or `detector_facts`.
        origin: Of the model.
        precision: As `export.quantize` names it.
        parity: What `export.parity` measured; None where nothing was compared.
        gate: What `export.gate` measured; None where the graph computes in float32 untried.

    Raises:
        ContractError: The bundle does not load, or its graph contradicts model.json.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    data = graph.SerializeToString(deterministic=True)
    whole = {
        "schema_version": SCHEMA_VERSION,
        "name": origin.name,
        "version": origin.version,
        "architecture": origin.architecture,
        **facts,
        "calibration": dict(origin.calibration) if origin.calibration else None,
        "metrics": [dict(metric) for metric in origin.metrics],
        "trained_on": {"kind": origin.trained_on, "description": origin.description},
        "code_version": origin.code_version,
        "precision": precision,
        "parity": dict(parity) if parity else None,
        **({"gate": dict(gate)} if gate else {}),
        "sha256": hashlib.sha256(data).hexdigest(),
        "intended_use": INTENDED_USE,
    }
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch) / folder.name
        new.mkdir()
        (new / GRAPH_FILE).write_bytes(data)
        (new / FACTS_FILE).write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
        OnnxModel(load_bundle(new), threads=1)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    return load_bundle(folder)


def _labels(names: Sequence[str]) -> list[dict[str, Any]]:
    """Labels with their codes; one that the project does not know has none."""
    codes = [CODES.get(name) for name in names]
    return [
        {"name": name, "code": asdict(code) if code else None}
        for name, code in zip(names, codes, strict=True)
    ]


def _square_grey_input(name: str, size: int, resize: str) -> dict[str, Any]:
    return {
        "name": name,
        "height_px": size,
        "width_px": size,
        "channels": 1,
        "resize": resize,
        "mean": [0.0],
        "std": [1.0],
    }
