"""The curve of a shipped point is added to a bundle; nothing else of it changes."""

import json
from pathlib import Path

import pytest

from lambdas.shared.bundle import load_bundle
from tests.builders import tiny_models
from training.measure_curves import main


def test_curves_are_added_and_nothing_else_changes(prepared_phantoms: Path, tmp_path: Path) -> None:
    models = tiny_models(tmp_path)
    before = {task: load_bundle(models / task).facts for task in ("classifier", "detector")}
    flags = ["--data", str(prepared_phantoms), "--models", str(models), "--workers", "1"]
    assert main([*flags, "--note", ", drawn for the test"]) == 0
    after = {task: load_bundle(models / task).facts for task in before}
    for task, facts in after.items():
        curve = facts["operating_curve"]
        assert curve["data"].startswith("4 validation studies of phantoms (folder prepared)")
        assert ", drawn for the test" in curve["data"]
        assert {key: facts[key] for key in before[task]} == before[task]
    points = after["classifier"]["operating_curve"]["points"]
    assert points[0] == {"threshold": 0.0, "sensitivity": 1.0, "specificity": 0.0}
    assert 0.5 in [point["threshold"] for point in points]


def test_checkpoint_has_no_model_json(
    prepared_phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(prepared_phantoms), "--models", str(tmp_path / "none")]
    assert main(flags) == 1
    assert "there is no" in capsys.readouterr().err


def test_shipped_curves_hold_the_shipped_points() -> None:
    demo = Path(__file__).parents[2] / "models" / "demo"
    facts = json.loads((demo / "classifier" / "model.json").read_text())
    thresholds = [point["threshold"] for point in facts["operating_curve"]["points"]]
    assert facts["operating_point"]["threshold"] in thresholds
    facts = json.loads((demo / "detector" / "model.json").read_text())
    for label, found in facts["operating_curve"]["labels"].items():
        thresholds = [point["threshold"] for point in found["points"]]
        assert facts["operating_point"]["thresholds"][label] in thresholds
