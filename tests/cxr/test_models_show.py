import json
import shutil
from pathlib import Path

import pytest

from cxr.cli import main
from lambdas.batch.analyse import Models


def test_json_has_every_fact_and_the_model_set(
    tiny_models_folder: Path, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "show", str(tiny_models_folder), "--json"]) == 0
    description = json.loads(capsys.readouterr().out)
    assert description["model_set"] == models.model_set
    assert description["usable"] is True
    for shown, bundle in zip(
        description["models"], (models.classifier.bundle, models.detector.bundle), strict=True
    ):
        assert {name: shown[name] for name in shown if name in bundle.facts} == {
            name: value
            for name, value in bundle.facts.items()
            if name != "schema_version" and name != "output"
        }
        assert shown["warnings"] == list(bundle.warnings)
        assert shown["graph_problem"] is None


def test_text_says_what_a_person_must_know(
    tiny_models_folder: Path, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "show", str(tiny_models_folder)]) == 0
    text = capsys.readouterr().out
    facts = models.classifier.bundle.facts
    for expected in (
        models.model_set,
        f"Classification: {facts['name']} {facts['version']}",
        "Thresholds not valid on patients",
        facts["sha256"],
        "loads, and agrees with model.json",
        "its number is a score, not a probability",
        "Research use only",
    ):
        assert expected in " ".join(text.split()), expected


def test_a_changed_graph_is_refused(
    tiny_models_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_models_folder, tmp_path / "models")
    with (folder / "detector/model.onnx").open("ab") as graph:
        graph.write(b"\0")
    assert main(["models", "show", str(folder)]) == 2
    assert "model.onnx has sha256" in capsys.readouterr().err


def test_a_graph_that_contradicts_its_bundle_is_shown_as_unusable(
    tiny_models_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_models_folder, tmp_path / "models")
    facts = json.loads((folder / "classifier/model.json").read_text())
    facts["output"]["scores"] = "elsewhere"
    (folder / "classifier/model.json").write_text(json.dumps(facts))
    assert main(["models", "show", str(folder), "--json"]) == 1
    description = json.loads(capsys.readouterr().out)
    assert description["usable"] is False
    assert "elsewhere" in description["models"][0]["graph_problem"]
