import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from lambdas.shared.bundle import load_bundle, model_set
from lambdas.shared.errors import ConfigError, ContractError, ModelMismatchError
from lambdas.shared.onnx_model import LABELS_METADATA_KEY, OnnxModel
from tests.builders import (
    classifier_facts,
    classifier_graph,
    detector_facts,
    detector_graph,
    write_bundle,
)

ONE_BOX = ([[1, 2, 3, 4]], [1], [0.9])


def test_bundle_is_what_its_folder_says(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path, classifier_graph(), classifier_facts()))
    assert bundle.label_names == ("Normal", "Abnormal")
    assert bundle.warnings == (
        "Thresholds not valid on patients: the triage model was trained on nothing.",
    )


def test_models_of_patients_carry_no_warning(tmp_path: Path) -> None:
    facts = classifier_facts(trained_on={"kind": "patients", "description": "PadChest-GR"})
    assert load_bundle(write_bundle(tmp_path, classifier_graph(), facts)).warnings == ()


@pytest.mark.parametrize("missing", ["model.onnx", "model.json"])
def test_missing_file(tmp_path: Path, missing: str) -> None:
    write_bundle(tmp_path, classifier_graph(), classifier_facts())
    (tmp_path / missing).unlink()
    with pytest.raises(ConfigError, match=rf"{missing} is missing"):
        load_bundle(tmp_path)


def test_changed_graph_does_not_load(tmp_path: Path) -> None:
    write_bundle(tmp_path, classifier_graph(), classifier_facts())
    with (tmp_path / "model.onnx").open("ab") as graph:
        graph.write(b"\0")
    with pytest.raises(ModelMismatchError, match="sha256"):
        load_bundle(tmp_path)


def test_wrong_task(tmp_path: Path) -> None:
    write_bundle(tmp_path, classifier_graph(), classifier_facts())
    with pytest.raises(ConfigError, match="is for classification, expected detection"):
        load_bundle(tmp_path, task="detection")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"surprise": 1}, "surprise"),
        ({"task": "segmentation"}, "task"),
        ({"labels": []}, "labels"),
        ({"calibration": {"method": "temperature", "temperature": 0, "fitted_on": "x"}}, "calib"),
        ({"trained_on": {"kind": "cats", "description": "x"}}, "trained_on"),
    ],
)
def test_malformed_facts_are_all_named(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_bundle(write_bundle(tmp_path, classifier_graph(), classifier_facts(**changes)))


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (classifier_facts(labels=[{"name": "A", "code": None}] * 2), "stands twice"),
        (
            classifier_facts(
                operating_point={"positive_label": "Ill", "threshold": 0.5, "chosen_by": "x"}
            ),
            "positive_label",
        ),
        (classifier_facts(input=classifier_facts()["input"] | {"mean": [0, 0]}), "input/mean"),
        (classifier_facts(input=classifier_facts()["input"] | {"std": [0]}), "input/std"),
        (detector_facts(operating_point={"thresholds": {}, "chosen_by": "x"}), "one threshold"),
        (detector_facts(output={"scores": "s", "activation": "none"}), "a detector names boxes"),
    ],
)
def test_facts_that_contradict_each_other(
    tmp_path: Path, facts: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ContractError, match=problem):
        load_bundle(write_bundle(tmp_path, classifier_graph(), facts))


def test_not_json(tmp_path: Path) -> None:
    write_bundle(tmp_path, classifier_graph(), classifier_facts())
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        load_bundle(tmp_path)


def with_labels(graph: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    onnx.helper.set_model_props(graph, {LABELS_METADATA_KEY: json.dumps(names)})
    return graph


@pytest.mark.parametrize(
    ("graph", "facts", "problem"),
    [
        (classifier_graph(labels=3), classifier_facts(), "3.* but there are 2 labels"),
        (with_labels(classifier_graph(), ["A", "B"]), classifier_facts(), "exported with labels"),
        (
            with_labels(detector_graph(*ONE_BOX), ["Scoliosis", "Cardiomegaly"]),
            detector_facts(),
            "exported with labels",
        ),
        (
            classifier_graph(),
            classifier_facts(output={"scores": "probabilities", "activation": "none"}),
            "'probabilities'.* missing",
        ),
        (
            classifier_graph(),
            classifier_facts(input=classifier_facts()["input"] | {"name": "x"}),
            "inputs are",
        ),
        (
            classifier_graph(),
            classifier_facts(input=classifier_facts()["input"] | {"height_px": 64}),
            "input shape",
        ),
    ],
)
def test_graph_that_contradicts_the_facts(
    tmp_path: Path, graph: onnx.ModelProto, facts: dict[str, Any], problem: str
) -> None:
    bundle = load_bundle(write_bundle(tmp_path, graph, facts))
    with pytest.raises(ModelMismatchError, match=problem):
        OnnxModel(bundle, threads=1)


def test_graph_that_is_no_graph(tmp_path: Path) -> None:
    write_bundle(tmp_path, classifier_graph(), classifier_facts())
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    facts = json.loads((tmp_path / "model.json").read_text())
    import hashlib

    facts["sha256"] = hashlib.sha256(b"no graph").hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(ModelMismatchError, match="does not load"):
        OnnxModel(load_bundle(tmp_path), threads=1)


def test_model_set_changes_with_any_fact(tmp_path: Path) -> None:
    classifier = load_bundle(write_bundle(tmp_path / "c", classifier_graph(), classifier_facts()))
    detector = load_bundle(write_bundle(tmp_path / "d", detector_graph(*ONE_BOX), detector_facts()))
    facts = classifier_facts()
    facts["operating_point"]["threshold"] = 0.4
    other = load_bundle(write_bundle(tmp_path / "o", classifier_graph(), facts))
    assert model_set(classifier, detector) == model_set(classifier, detector)
    assert model_set(classifier, detector) != model_set(other, detector)
