"""training/prepare.py: production's pixels, a run that can be killed, and what is left out."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lambdas.shared.errors import ConfigError
from lambdas.shared.preprocess import InputSpec, fit
from lambdas.shared.read import read_radiograph
from tests.training.builders import add_study, film_png, published
from training import prepare as preparation
from training.data import load_dataset
from training.errors import EmptyDatasetError, PatientLeakError, StalePreparedError
from training.prepare import main, prepare
from training.prepared import load_pixels, load_prepared

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return published().write(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    prepare(data, out)
    return out


@pytest.fixture(autouse=True)
def no_sheet(monkeypatch):
    """Drawing takes longer than preparing so few images; `prepared` was made with its sheet."""
    monkeypatch.setattr(preparation, "draw_sheet", lambda studies: b"")


def test_prepared_studies_are_the_published_ones(data, prepared):
    published_studies, studies = load_dataset(data).studies, load_prepared(prepared).studies
    assert len(studies) == len(published_studies) == 10
    for study, original in zip(studies, published_studies, strict=True):
        assert study.image == prepared / "images" / study.image_id
        for field in ("study_id", "patient_id", "split", "age", "labels", "groups", "boxes"):
            assert getattr(study, field) == getattr(original, field)


def test_prepared_pixels_are_what_production_sees(data, prepared):
    spec = InputSpec(64, 64, 1, "letterbox", (0.0,), (1.0,))
    for study in load_prepared(prepared).studies[:3]:
        seen = read_radiograph((data / "PadChest_GR" / study.image_id).read_bytes()).pixels
        pixels = load_pixels(study)
        assert pixels.dtype == np.float32
        # half a step of 16 bits, and float32's rounding of it
        np.testing.assert_allclose(pixels, seen, rtol=0, atol=0.51 / 65535)
        np.testing.assert_allclose(fit(pixels, spec)[0], fit(seen, spec)[0], rtol=0, atol=1e-5)


def test_long_side_reduces_after_the_percentile_step(data, tmp_path):
    dataset = prepare(data, tmp_path, long_side_px=120)
    pixels = load_pixels(dataset.studies[0])
    assert pixels.shape == (120, 104)
    whole = read_radiograph(
        (data / "PadChest_GR" / dataset.studies[0].image_id).read_bytes()
    ).pixels
    assert pixels.mean() == pytest.approx(whole.mean(), abs=1e-3)
    with pytest.raises(ConfigError, match="--long-side is 5000"):
        prepare(data, tmp_path, long_side_px=5000)


def test_a_sheet_with_boxes_is_drawn(prepared):
    from PIL import Image

    with Image.open(prepared / "boxes.png") as sheet:
        assert sheet.width > 1000
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    # the films are grey: whatever has a hue is a box or its label
    hue = np.ptp(colours.astype(int), axis=1) > 80
    assert hue.sum() > 1000


def test_nothing_is_done_twice(data, prepared, tmp_path, monkeypatch):
    out = shutil.copytree(prepared, tmp_path / "copy")

    def refuse(job):
        raise AssertionError(f"{job.image_id} was prepared again")

    monkeypatch.setattr(preparation, "prepare_image", refuse)
    assert len(prepare(data, out).studies) == 10


def test_a_changed_or_lost_file_alone_is_done_again(tmp_path, monkeypatch):
    files = published()
    root, out = files.write(tmp_path / "data"), tmp_path / "out"
    names = [study.image_id for study in prepare(root, out).studies]
    (root / "PadChest_GR" / names[0]).write_bytes(film_png(seed=99))
    (out / "images" / names[1]).unlink()
    (out / "images" / names[2]).write_bytes(b"cut")
    done = []
    work = preparation.prepare_image
    monkeypatch.setattr(
        preparation, "prepare_image", lambda job: done.append(job.image_id) or work(job)
    )
    dataset = prepare(root, out)
    assert done == names[:3]
    seen = read_radiograph(film_png(seed=99)).pixels
    np.testing.assert_allclose(load_pixels(dataset.studies[0]), seen, rtol=0, atol=0.51 / 65535)


def test_a_torn_line_in_the_journal_costs_one_image(data, tmp_path, monkeypatch):
    prepare(data, tmp_path)
    journal = tmp_path / "journal.jsonl"
    journal.write_text(journal.read_text()[:-40])
    done = []
    work = preparation.prepare_image
    monkeypatch.setattr(
        preparation, "prepare_image", lambda job: done.append(job.image_id) or work(job)
    )
    prepare(data, tmp_path)
    assert len(done) == 1
    done.clear()
    prepare(data, tmp_path)
    assert done == []


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path):
    files = published(train=30, validation=5, test=5)
    root = files.write(tmp_path / "data")
    command = [sys.executable, "-m", "training.prepare", "--data", str(root), "--workers", "1"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [*command, "--out", str(killed)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if sum(1 for _ in killed.glob("images/*.png")) >= 3:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "dataset.json").exists()
    with pytest.raises(StalePreparedError, match="run that again"):
        load_prepared(killed)
    prepare(root, killed)
    prepare(root, whole)
    assert (killed / "dataset.json").read_bytes() == (whole / "dataset.json").read_bytes()
    for path in (whole / "images").iterdir():
        assert (killed / "images" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_processes_do_not_change_a_byte(data, prepared, tmp_path):
    prepare(data, tmp_path, workers=2)
    assert (tmp_path / "dataset.json").read_bytes() == (prepared / "dataset.json").read_bytes()


def test_what_cannot_be_read_or_stands_twice_is_left_out_with_its_reason(tmp_path):
    files = published()
    ids = [report["ImageID"] for report in files.reports]
    # damaged within: the end is whole, so that only decoding finds it
    broken = bytearray(files.images[ids[0]])
    broken[len(broken) // 2 : len(broken) // 2 + 40] = bytes(40)
    files.images[ids[0]] = bytes(broken)
    files.images[ids[1]] = film_png(seed=50, height_px=100, width_px=90)
    files.images[ids[2]] = files.images[ids[9]]  # train and test
    files.finding(4)["boxes"] = [[0.5, 0.5, 0.501, 0.9]]
    out = tmp_path / "out"
    dataset = prepare(files.write(tmp_path / "data"), out)
    reasons = {exclusion.image_id: exclusion.reason for exclusion in dataset.exclusions}
    assert set(reasons) == {ids[0], ids[1], ids[2], ids[4]}
    assert "cannot be decoded" in reasons[ids[0]]
    assert "90 x 100 pixels" in reasons[ids[1]]
    assert reasons[ids[2]].startswith(f"same pixels as {ids[9]} (test)")
    assert "only 0.2 px wide" in reasons[ids[4]]
    with (out / "exclusions.csv").open(newline="") as file:
        assert {row["ImageID"]: row["reason"] for row in csv.DictReader(file)} == reasons
    assert {study.image_id for study in dataset.studies} == set(ids) - set(reasons)


def test_a_leak_stops_before_any_image_is_read(tmp_path):
    files = published()
    add_study(files, split="test", label=None, patient_id=files.rows[0]["PatientID"])
    out = tmp_path / "out"
    with pytest.raises(PatientLeakError):
        prepare(files.write(tmp_path / "data"), out)
    assert not out.exists()


def test_no_readable_image_at_all_is_an_error(tmp_path):
    files = published(train=2, validation=0, test=0)
    for name in files.images:
        files.images[name] = film_png(seed=1, height_px=50, width_px=50)
    with pytest.raises(EmptyDatasetError, match="too few"):
        prepare(files.write(tmp_path / "data"), tmp_path / "out")


def test_a_published_image_is_not_taken_for_a_prepared_one(data):
    with pytest.raises(StalePreparedError, match=r"no prepared image.*run training\.prepare"):
        load_pixels(load_dataset(data).studies[0])


def test_a_prepared_folder_of_another_pipeline_or_with_holes_is_refused(data, tmp_path):
    dataset = prepare(data, tmp_path)
    Path(dataset.studies[0].image).unlink()
    with pytest.raises(StalePreparedError, match="lacks 1 of 10 images"):
        load_prepared(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pipeline_version": 0}))
    with pytest.raises(StalePreparedError, match="pipeline version 0"):
        load_prepared(tmp_path)
    path.write_text("{")
    with pytest.raises(StalePreparedError, match="not JSON"):
        load_prepared(tmp_path)


def test_the_command_names_the_error_and_returns_2(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]) == 2
    assert "MissingPartError" in capsys.readouterr().err
