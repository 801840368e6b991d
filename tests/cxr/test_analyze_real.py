"""The command with real stages and small graphs, as a person starts it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdas.shared.records import record_validator
from tests.builders import film, png

pytestmark = pytest.mark.slow


def cxr(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("cxr"), *arguments],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "CI"},
        check=False,
    )


def analyse(folder: Path, out: Path, models: Path) -> dict[str, Any]:
    done = cxr("analyze", folder, "--out", out, "--models", models, "--json")
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def check_records(out: Path) -> dict[str, dict[str, Any]]:
    records = {}
    for path in out.rglob("record.json"):
        record = json.loads(path.read_bytes())
        record_validator().validate(record)
        assert (path.parent / "report.pdf").read_bytes().startswith(b"%PDF-")
        assert (path.parent / "thumbnail.jpg").read_bytes().startswith(b"\xff\xd8\xff")
        records[record["source"]["key"]] = record
    return records


def test_films_made_here(tmp_path: Path, tiny_models_folder: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for seed in range(3):
        (scans / f"{seed}.png").write_bytes(png(film(seed=seed)))
    (scans / "broken.png").write_bytes(png(film())[:500])
    (scans / "empty").touch()
    summary = analyse(scans, tmp_path / "out", tiny_models_folder)
    assert summary["normal"] + summary["abnormal"] == 3
    assert summary["rejections"] == {"broken_file": 1, "empty_file": 1}
    first = check_records(tmp_path / "out")
    again = analyse(scans, tmp_path / "again", tiny_models_folder)
    assert again["model_set"] == summary["model_set"]
    second = check_records(tmp_path / "again")
    for records in (first, second):
        for record in records.values():
            del record["timings"]
    assert first == second


def test_files_where_the_command_is_called_are_not_imported(
    tmp_path: Path, tiny_models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "socket.py", "numpy.py", "lambdas/__init__.py", "cxr/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('imported from the working folder')\n")
    (tmp_path / "film").write_bytes(png(film()))
    monkeypatch.chdir(tmp_path)
    summary = analyse(Path("film"), Path("out"), tiny_models_folder)
    assert summary["images"] == 1


def test_shared_radiographs_are_all_analysed(
    tmp_path: Path, tiny_models_folder: Path, shared_data: Path
) -> None:
    summary = analyse(shared_data / "radiographs", tmp_path / "out", tiny_models_folder)
    assert summary["rejected"] == 0
    assert summary["images"] == len(check_records(tmp_path / "out")) == 25
    assert {entry["key"] for entry in summary["skipped"]} == {"boxes.csv", "manifest.csv"}


def test_shared_dicom_files_end_as_their_manifest_says(
    tmp_path: Path, tiny_models_folder: Path, shared_data: Path
) -> None:
    analyse(shared_data / "dicom", tmp_path / "out", tiny_models_folder)
    records = check_records(tmp_path / "out")
    with (shared_data / "dicom/manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(records) == {row["file"] for row in rows}
    dog = "dx_dog_thorax_lateral_small_mono1.dcm"  # its metadata may pass every gate
    surprises = {
        row["file"]: (row["expected"], records[row["file"]]["rejection"])
        for row in rows
        if row["file"] != dog
        and (records[row["file"]]["status"] == "analysed") != (row["expected"] == "ok")
    }
    assert surprises == {}
