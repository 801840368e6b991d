"""A trainer's checkpoint in the place of a bundle; the one module of evaluation that needs torch.

A bundle is what ships. A checkpoint is evaluated to see what training reached before export, by the
same stage functions; it has no operating point and no calibration of its own.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ConfigError, ModelMismatchError
from lambdas.shared.labels import ABNORMAL, DETECTOR_LABELS, TRIAGE_LABELS
from lambdas.shared.onnx_model import Arrays, OnnxModel
from training import classifier, detector
from training.checkpointing import clean_weights, load_plain
from training.evaluated_models import DETECTION_FLOOR

UNTOLD: Final = "0.5, for want of another: a checkpoint has no operating point"

_CLASSIFIER_LAST: Final = "classifier.weight"
_DETECTOR_LAST: Final = "roi_heads.box_predictor.cls_score.weight"
"""Tensors whose rows are the labels, under timm's and torchvision's names."""


class CheckpointModel(OnnxModel):
    """A checkpoint that answers as a bundle's graph would.

    Args:
        path: The file.
        bundle: From `describe_checkpoint`; the operating point may be another.
        threads: Of torch; None leaves them as they are.

    Raises:
        ModelMismatchError: The weights do not fit the architecture.
    """

    def __init__(self, path: Path, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        if threads:
            torch.set_num_threads(threads)
        weights = clean_weights(_load(path))
        count, size = len(bundle.labels), bundle.facts["input"]["width_px"]
        self._module: torch.nn.Module = (
            classifier.build_classifier(count)
            if bundle.task == "classification"
            else detector.build_detector(count + 1, size=size, score_threshold=DETECTION_FLOOR)
        )
        _load_weights(self._module, weights, path)
        self._module.eval()

    def run(self, image: npt.NDArray[np.float32]) -> Arrays:
        """Outputs by name for an input (1, 3, H, W) float32."""
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(image))
            if self.bundle.task == "classification":
                return {"scores": self._module(batch).double().numpy()}
            (answer,) = self._module(list(batch))
            return {name: answer[name].numpy() for name in ("boxes", "labels", "scores")}


def describe_checkpoint(path: Path) -> Bundle:
    """The facts of a checkpoint in the form of a bundle's.

    Args:
        path: A file of the trainers, or a plain state dict under timm's or torchvision's names.

    Raises:
        ConfigError: It is neither.
    """
    loaded = _load(path)
    weights = clean_weights(loaded)
    told: dict[str, Any] = loaded if "model_state_dict" in loaded else {}
    if _CLASSIFIER_LAST in weights:
        parts = _classifier_parts(told, len(weights[_CLASSIFIER_LAST]))
    elif _DETECTOR_LAST in weights:
        parts = _detector_parts(told, len(weights[_DETECTOR_LAST]) - 1)
    else:
        raise ConfigError(
            f"{path} is neither timm's EfficientNet-B4 nor torchvision's Faster R-CNN; export it "
            "with python -m export and evaluate the bundle"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    data = Path(str(told.get("config", {}).get("data", ""))).name
    facts = {
        "schema_version": "1.0",
        "name": path.stem,
        "version": "checkpoint",
        **parts,
        "calibration": None,
        "metrics": [],
        "trained_on": {
            "kind": "unknown",
            "description": f"the data set folder {data!r}, says its configuration"
            if data
            else "not recorded in the file",
        },
        "code_version": str(told.get("code_version", "not recorded")),
        "precision": "float32",
        "parity": None,
        "sha256": digest,
        "intended_use": "evaluation before export",
    }
    return Bundle(folder=path.parent, facts=facts, digest=digest)


def _classifier_parts(told: dict[str, Any], count: int) -> dict[str, Any]:
    labels = list(told.get("labels", TRIAGE_LABELS))
    if len(labels) != count or ABNORMAL not in labels:
        raise ConfigError(f"a classifier of {count} labels, expected {', '.join(TRIAGE_LABELS)}")
    frame = told.get("input", {})
    return {
        "task": "classification",
        "architecture": told.get("architecture", "efficientnet_b4"),
        "labels": [{"name": name, "code": None} for name in labels],
        "input": _input(
            frame.get("size_px", classifier.INPUT_SIZE_PX),
            mean=list(frame.get("mean", classifier.IMAGENET_MEAN)),
            std=list(frame.get("std", classifier.IMAGENET_STD)),
        ),
        "output": {"scores": "scores", "activation": "softmax"},
        "operating_point": {
            "positive_label": ABNORMAL,
            "threshold": 0.5,
            "chosen_by": UNTOLD,
            "sensitivity": None,
            "specificity": None,
        },
    }


def _detector_parts(told: dict[str, Any], count: int) -> dict[str, Any]:
    labels = list(told.get("labels", DETECTOR_LABELS.get(count, ())))
    if len(labels) != count:
        raise ConfigError(
            f"a detector of {count} labels whose names are not recorded, and no variant has as many"
        )
    return {
        "task": "detection",
        "architecture": told.get("architecture", "fasterrcnn_resnet50_fpn"),
        "labels": [{"name": name, "code": None} for name in labels],
        # torchvision's detector normalises itself
        "input": _input(
            told.get("input", {}).get("size_px", detector.INPUT_SIZE_PX),
            mean=[0.0] * 3,
            std=[1.0] * 3,
        ),
        "output": {
            "boxes": "boxes",
            "labels": "labels",
            "scores": "scores",
            "box_frame": "input_pixels",
            "first_label_id": 1,
        },
        "operating_point": {"thresholds": dict.fromkeys(labels, 0.5), "chosen_by": UNTOLD},
    }


def _input(size_px: int, *, mean: list[float], std: list[float]) -> dict[str, Any]:
    return {
        "name": "image",
        "height_px": size_px,
        "width_px": size_px,
        "channels": 3,
        "resize": "letterbox",
        "mean": mean,
        "std": std,
    }


def _load(path: Path) -> Any:
    try:
        return load_plain(path)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, KeyError and more
        raise ConfigError(f"{path} cannot be loaded as plain weights: {error}") from error


def _load_weights(module: torch.nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Every tensor that matters; FrozenBatchNorm2d does not count batches, and nothing asks."""
    try:
        answer = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ModelMismatchError(f"{path} does not fit its architecture: {error}") from error
    lost = [
        name
        for name in (*answer.missing_keys, *answer.unexpected_keys)
        if not name.endswith("num_batches_tracked")
    ]
    if lost:
        raise ModelMismatchError(
            f"{path} does not fit its architecture: {len(lost)} tensors are missing or too many, "
            f"first {lost[0]}"
        )
