"""A model bundle: a folder with model.onnx and model.json.

model.json holds every fact about the model, so that no code holds any; bundle.schema.json is its
contract. A bundle whose parts do not belong together does not load.
"""

import functools
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema

from lambdas.shared.errors import ConfigError, ModelMismatchError
from lambdas.shared.findings import Code
from lambdas.shared.radiograph import PIPELINE_VERSION

GRAPH_FILE: Final = "model.onnx"
FACTS_FILE: Final = "model.json"

CLASSIFIER: Final = "classifier"
DETECTOR: Final = "detector"
BUNDLE_TASKS: Final = {CLASSIFIER: "classification", DETECTOR: "detection"}
"""Folder of each bundle of a pair, and the task it must be for."""

NOT_FOR_PATIENTS: Final = (
    "Thresholds not valid on patients: the {task} model was trained on {kind}."
)
"""Shown by record, PDF and page for every model that no patient's image has trained."""


@dataclass(frozen=True, slots=True)
class Label:
    """One output of a model and its concept, where a public terminology has one."""

    name: str
    code: Code | None


@dataclass(frozen=True)
class Bundle:
    """A checked bundle; `facts` is model.json as read.

    Attributes:
        folder: Where it was read from.
        facts: The whole of model.json; valid under bundle.schema.json. Treat as read-only.
        digest: Hex SHA-256 over model.json and, through the digest in it, model.onnx.
    """

    folder: Path
    facts: dict[str, Any]
    digest: str

    @property
    def graph_path(self) -> Path:
        """Path of model.onnx."""
        return self.folder / GRAPH_FILE

    @property
    def task(self) -> str:
        """`classification` or `detection`."""
        return str(self.facts["task"])

    @functools.cached_property
    def labels(self) -> tuple[Label, ...]:
        """In the order of the graph's outputs, without background."""
        return tuple(
            Label(entry["name"], Code(**entry["code"]) if entry["code"] else None)
            for entry in self.facts["labels"]
        )

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names alone, in the order of `labels`."""
        return tuple(label.name for label in self.labels)

    @property
    def trained_on_patients(self) -> bool:
        """Whether the operating thresholds can mean anything for patients."""
        return bool(self.facts["trained_on"]["kind"] == "patients")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that every display of this model's results must show."""
        if self.trained_on_patients:
            return ()
        task = "triage" if self.task == "classification" else "detection"
        return (NOT_FOR_PATIENTS.format(task=task, kind=self.facts["trained_on"]["kind"]),)


def load_bundle(folder: Path, *, task: str | None = None) -> Bundle:
    """Read and check the bundle in a folder; the graph itself is opened by `onnx_model`.

    Args:
        folder: Holds model.onnx and model.json.
        task: Expected task; None for any.

    Raises:
        ConfigError: The folder or one of its files is missing, or model.json is malformed.
        ModelMismatchError: model.onnx is not the file that model.json describes, or the facts
            contradict each other.
    """
    _require(folder, FACTS_FILE)
    _require(folder, GRAPH_FILE)
    bundle = load_facts(folder, task=task)
    with bundle.graph_path.open("rb") as graph:
        actual = hashlib.file_digest(graph, "sha256").hexdigest()
    if actual != bundle.facts["sha256"]:
        raise ModelMismatchError(
            f"model bundle {folder}: {GRAPH_FILE} has sha256 {actual}, but {FACTS_FILE} says "
            f"{bundle.facts['sha256']}; copy the bundle again or export it anew"
        )
    return bundle


def load_facts(folder: Path, *, task: str | None = None) -> Bundle:
    """Read and check model.json alone: all that a stage must know of a model it does not run.

    Args:
        folder: Holds model.json.
        task: Expected task; None for any.

    Raises:
        ConfigError: model.json is missing or malformed.
        ModelMismatchError: The facts contradict each other.
    """
    text = _require(folder, FACTS_FILE).read_bytes()
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"model bundle {folder}: {FACTS_FILE} is not JSON: {error}") from error
    problems = sorted(
        f"{'/'.join(map(str, problem.absolute_path)) or '(top)'}: {problem.message}"
        for problem in _validator().iter_errors(facts)
    )
    if problems:
        raise ConfigError(f"model bundle {folder}: {FACTS_FILE} is invalid: " + "; ".join(problems))
    _check_consistency(folder, facts)
    if task is not None and facts["task"] != task:
        raise ConfigError(f"model bundle {folder} is for {facts['task']}, expected {task}")
    return Bundle(folder=folder, facts=facts, digest=hashlib.sha256(text).hexdigest())


@dataclass(frozen=True)
class BundlePair:
    """The classifier's and the detector's bundle: together they name what made a result."""

    classifier: Bundle
    detector: Bundle

    @functools.cached_property
    def model_set(self) -> str:
        """16 hex that name what made a result."""
        return model_set(self.classifier, self.detector)


def load_pair(folder: Path, *, graphs: Collection[str] | None = None) -> BundlePair:
    """Read and check the bundles `classifier` and `detector` in a folder.

    Args:
        folder: Holds the two.
        graphs: Of which of the two the graph must be there and right; None for both.

    Raises:
        ContractError: A bundle is missing, malformed, or not what it says.
    """
    bundles = {
        name: (load_bundle if graphs is None or name in graphs else load_facts)(
            folder / name, task=task
        )
        for name, task in BUNDLE_TASKS.items()
    }
    return BundlePair(**bundles)


def model_set(classifier: Bundle, detector: Bundle) -> str:
    """16 hex naming what made a result: both bundles and the pipeline version."""
    parts = (f"pipeline {PIPELINE_VERSION}", classifier.digest, detector.digest)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _check_consistency(folder: Path, facts: dict[str, Any]) -> None:
    """What the schema cannot say: facts that must agree with each other."""
    problems = []
    names = [entry["name"] for entry in facts["labels"]]
    point = facts["operating_point"]
    if len(set(names)) != len(names):
        problems.append("labels: a name stands twice")
    for field in ("mean", "std"):
        if len(facts["input"][field]) != facts["input"]["channels"]:
            problems.append(f"input/{field}: needs one value for each of input/channels")
    if 0 in facts["input"]["std"]:
        problems.append("input/std: a 0 cannot be divided by")
    curve = facts.get("operating_curve")
    if curve and ("points" in curve) != (facts["task"] == "classification"):
        problems.append(f"operating_curve: is not that of a model for {facts['task']}")
    if facts["task"] == "classification":
        if "activation" not in facts["output"]:
            problems.append("output: a classifier names scores and activation")
        if "threshold" not in point or point.get("positive_label") not in names:
            problems.append("operating_point: a classifier has threshold and positive_label")
        if len(names) < 2:
            problems.append("labels: a classifier has at least two")
        if facts["calibration"] and facts["output"].get("activation") == "none":
            problems.append("calibration: a temperature needs logits, but output ends in scores")
    else:
        if "boxes" not in facts["output"]:
            problems.append("output: a detector names boxes, labels and scores")
        if set(point.get("thresholds", ())) != set(names):
            problems.append("operating_point: a detector has one threshold for every label")
        if curve and set(curve.get("labels", ())) - set(names):
            problems.append("operating_curve: names a label that the model does not have")
    if problems:
        raise ModelMismatchError(f"model bundle {folder}: {FACTS_FILE}: " + "; ".join(problems))


def _require(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise ConfigError(
            f"model bundle {folder}: {name} is missing; a bundle is a folder with "
            f"{GRAPH_FILE} and {FACTS_FILE}, as `python -m export` writes it"
        )
    return folder / name


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(Path(__file__).with_name("bundle.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)
