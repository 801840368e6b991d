"""`cxr analyze --passthrough`: attributes of this run's choice, forgotten by the next run."""

import json
from pathlib import Path

import pytest

from cxr.cli import main
from tests.builders import dicom


@pytest.fixture
def analyze(tmp_path: Path, tiny_models_folder: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.dcm").write_bytes(dicom(AccessionNumber="ACC-77"))

    def run(*options: str):
        folders = [str(tmp_path / "scans"), "--out", str(tmp_path / "out")]
        models = ["--models", str(tiny_models_folder)]
        code = main(["analyze", *folders, *models, "--workers", "1", "--json", *options])
        record = tmp_path / "out" / "a.dcm" / "record.json"
        tags = json.loads(record.read_text())["source_tags"] if record.exists() else None
        return code, tags, capsys.readouterr().err

    return run


@pytest.mark.slow
def test_attributes_are_carried_while_they_are_asked_for(analyze):
    assert analyze()[:2] == (0, {})
    assert analyze("--passthrough", "AccessionNumber", "--force")[:2] == (
        0,
        {"AccessionNumber": "ACC-77"},
    )
    assert analyze("--force")[:2] == (0, {})


def test_an_attribute_that_may_not_be_carried_stops_the_command_before_any_work(analyze):
    code, tags, error = analyze("--passthrough", "PatientName")
    assert (code, tags) == (2, None)
    assert "cannot pass 'PatientName' through; choose from StudyInstanceUID" in error
