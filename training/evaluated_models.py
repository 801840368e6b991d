"""The models that an evaluation is given: bundles as they ship, or the trainers' checkpoints.

Both answer to the stage functions alike: a `bundle` with the model's facts, and `run`.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdas.shared.bundle import FACTS_FILE, Bundle, load_bundle
from lambdas.shared.errors import ConfigError
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.radiograph import PIPELINE_VERSION

CLASSIFIER_FOLDER: Final = "classifier"
DETECTOR_FOLDER: Final = "detector"
CHECKPOINT_NAMES: Final = ("efficientnet_b4_best.pth", "final_model.pth")
"""As the trainers write them."""

DETECTION_FLOOR: Final = 0.01
"""Score from which detections are kept for FROC and average precision; operating thresholds lie
above it, and a graph may have a higher floor of its own."""

MAX_MEASURED: Final = 300
"""Detections kept for one image: more than COCO counts for one class, so that none is cut off."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model, opened by each process that needs it.

    Attributes:
        form: `bundle` or `checkpoint`.
        path: The bundle's folder, or the checkpoint's file.
        bundle: Its facts; of a checkpoint, made from what the file says.
    """

    form: str
    path: Path
    bundle: Bundle

    @property
    def task(self) -> str:
        """`classification` or `detection`."""
        return self.bundle.task

    @property
    def name(self) -> str:
        """As the model calls itself."""
        return str(self.bundle.facts["name"])

    @property
    def sha256(self) -> str:
        """Of model.onnx, or of the checkpoint."""
        return str(self.bundle.facts["sha256"])

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the outputs."""
        return self.bundle.label_names

    @functools.cached_property
    def key(self) -> str:
        """16 hex over all that raw answers follow from; thresholds and calibration are no part."""
        facts = self.bundle.facts
        parts = [facts[name] for name in ("sha256", "input", "output", "labels")]
        parts += [PIPELINE_VERSION, DETECTION_FLOOR, MAX_MEASURED]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def measured(self) -> Bundle:
        """The bundle with the thresholds of its detections lowered to `DETECTION_FLOOR`."""
        if self.task == "classification":
            return self.bundle
        point = self.bundle.facts["operating_point"] | {
            "thresholds": dict.fromkeys(self.labels, DETECTION_FLOOR),
            "max_findings": MAX_MEASURED,
        }
        return dataclasses.replace(
            self.bundle, facts=self.bundle.facts | {"operating_point": point}
        )

    def open(self, *, threads: int | None = None) -> OnnxModel:
        """The model, ready to run, with the facts of `measured`."""
        if self.form == "bundle":
            return OnnxModel(self.measured, threads=threads)
        from training.checkpoint_model import CheckpointModel  # torch is slow to import

        return CheckpointModel(self.path, self.measured, threads=threads)


@dataclass(frozen=True)
class Pair:
    """A classifier and the detector behind it.

    Attributes:
        name: Of the folder they came from.
        classifier: The gate.
        detector: What the gate lets pass.
    """

    name: str
    classifier: EvaluatedModel
    detector: EvaluatedModel


@dataclass(frozen=True)
class Models:
    """All that is evaluated; no model stands twice.

    Attributes:
        classifiers: In the order given.
        detectors: From few classes to many.
        pairs: The cascades, likewise.
    """

    classifiers: tuple[EvaluatedModel, ...]
    detectors: tuple[EvaluatedModel, ...]
    pairs: tuple[Pair, ...]

    @property
    def all(self) -> tuple[EvaluatedModel, ...]:
        """Classifiers, then detectors."""
        return self.classifiers + self.detectors


def find_models(paths: Sequence[Path]) -> Models:
    """Resolve what `--models` names.

    Args:
        paths: Each a pair's folder (classifier/ and detector/), a bundle's folder, a folder with
            a trainer's checkpoint, or a checkpoint. Where only one classifier is given, detectors
            that come without one stand behind it.

    Raises:
        ContractError: A path is none of these, or a model is not what it says.
    """
    known: dict[str, EvaluatedModel] = {}
    pairs: list[Pair] = []
    single: list[tuple[str, EvaluatedModel]] = []
    for path in paths:
        if not _is_model(path) and (path / CLASSIFIER_FOLDER).is_dir():
            members = [
                _known(_find_model(path / folder, task=task), known)
                for folder, task in (
                    (CLASSIFIER_FOLDER, "classification"),
                    (DETECTOR_FOLDER, "detection"),
                )
            ]
            pairs.append(Pair(path.resolve().name, *members))
        else:
            single.append((path.resolve().stem, _known(_find_model(path, task=None), known)))
    classifiers = tuple(model for model in known.values() if model.task == "classification")
    if len(classifiers) == 1:
        pairs += [
            Pair(name, classifiers[0], model) for name, model in single if model.task == "detection"
        ]
    detectors = [model for model in known.values() if model.task == "detection"]
    return Models(
        classifiers,
        tuple(sorted(detectors, key=lambda model: len(model.labels))),
        tuple(sorted(pairs, key=lambda pair: len(pair.detector.labels))),
    )


def _known(model: EvaluatedModel, known: dict[str, EvaluatedModel]) -> EvaluatedModel:
    """The model that was found first, where two folders hold the same graph."""
    return known.setdefault(model.key, model)


def _is_model(path: Path) -> bool:
    return path.is_file() or (path / FACTS_FILE).is_file() or _checkpoint_in(path) is not None


def _checkpoint_in(folder: Path) -> Path | None:
    found = [folder / name for name in CHECKPOINT_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise ConfigError(
            f"{folder} holds {' and '.join(CHECKPOINT_NAMES)}; name the files one by one"
        )
    return found[0] if found else None


def _find_model(path: Path, *, task: str | None) -> EvaluatedModel:
    checkpoint = path if path.is_file() else _checkpoint_in(path)
    if checkpoint is None:
        if not path.is_dir():
            raise ConfigError(f"--models: there is no {path}")
        return EvaluatedModel("bundle", path, load_bundle(path, task=task))
    from training.checkpoint_model import describe_checkpoint  # torch is slow to import

    bundle = describe_checkpoint(checkpoint)
    if task is not None and bundle.task != task:
        raise ConfigError(f"{checkpoint} is for {bundle.task}, expected {task}")
    return EvaluatedModel("checkpoint", checkpoint, bundle)


def describe(model: EvaluatedModel) -> dict[str, Any]:
    """What a report says of a model, ready for JSON."""
    facts = model.bundle.facts
    return {
        "form": model.form,
        "task": model.task,
        "name": model.name,
        "version": facts["version"],
        "folder": model.path.name,
        "architecture": facts["architecture"],
        "precision": facts["precision"],
        "sha256": model.sha256,
        "labels": list(model.labels),
        "input_px": [facts["input"]["width_px"], facts["input"]["height_px"]],
        "trained_on": facts["trained_on"],
        "code_version": facts["code_version"],
        "shipped_operating_point": facts["operating_point"],
        "shipped_calibration": facts["calibration"],
    }
