"""Phantoms as files: PadChest-GR's tables, PNGs, readers, DICOM and the command."""

import ast
import csv
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from lambdas.shared.boxes import UnitBox, intersection_over_union
from training.phantoms import vocabulary as v
from training.phantoms.__main__ import main
from training.phantoms.dataset import describe_study, name_study
from training.phantoms.dicom import dicom_dataset, write_dicom
from training.phantoms.draw import Phantom, draw_study
from training.phantoms.geometry import stream
from training.phantoms.plan import Sign, plan_study, seat_study
from training.phantoms.readers import FIRST_READER_SPREAD, read_box, reader_spread

HEADER = (
    "StudyID,ImageID,label,boxes_count,extra_boxes_count,locations,prior_study,progression_status,"
    "prior_imageID,sentence_en,sentence_es,study_is_benchmark,study_is_validation,split,PatientID,"
    "patient_is_benchmark,PatientBirth,PatientSex_DICOM,StudyDate_DICOM,StudyDate,PatientAge,"
    "label_group,Year"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small studies, some also as DICOM."""
    out = tmp_path_factory.mktemp("phantoms")
    arguments = ["--out", str(out), "--studies", "20", "--seed", "6", "--size", "96"]
    assert main([*arguments, "--dicom", "0.3", "--contact-sheet", str(out / "sheet.png")]) == 0
    return out


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "master_table.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def reports(folder: Path) -> list[dict]:
    return json.loads((folder / "grounded_reports_20240819.json").read_text(encoding="utf-8"))


def test_the_header_is_the_published_one(folder: Path) -> None:
    text = (folder / "master_table.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == HEADER
    assert len(HEADER.split(",")) == 23


def test_table_and_reports_tell_the_same(folder: Path) -> None:
    rows = table(folder)
    by_image: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_image.setdefault(row["ImageID"], []).append(row)
    assert len(by_image) == len(reports(folder)) == 20
    for report in reports(folder):
        assert list(report) == [
            "StudyID", "ImageID", "PreviousStudyID", "PreviousImageID", "findings",
        ]  # fmt: skip
        positive = [f for f in report["findings"] if f["abnormal"]]
        mine = by_image[report["ImageID"]]
        if not positive:
            assert [row["label"] for row in mine] == ["Normal"]
            assert mine[0]["sentence_en"] == ""
            assert mine[0]["label_group"] == "Normal"
            continue
        assert [row["label"] for row in mine] == [f["labels"][0] for f in positive]
        for row, finding in zip(mine, positive, strict=True):
            assert row["StudyID"] == report["StudyID"]
            assert int(row["boxes_count"]) == len(finding["boxes"])
            assert int(row["extra_boxes_count"]) == len(finding["extra_boxes"])
            assert ast.literal_eval(row["locations"]) == finding["locations"]
            assert row["sentence_es"] == finding["sentence_es"]
            assert row["label_group"] == v.ENTRIES[row["label"]].group


def test_findings_have_the_published_keys(folder: Path) -> None:
    for report in reports(folder):
        for finding in report["findings"]:
            keys = ["sentence_en", "sentence_es", "abnormal"]
            if finding["abnormal"]:
                keys += ["boxes", "extra_boxes", "labels", "locations", "progression"]
            assert list(finding) == keys
            for x1, y1, x2, y2 in finding.get("boxes", []) + finding.get("extra_boxes", []):
                assert 0 <= x1 < x2 <= 1
                assert 0 <= y1 < y2 <= 1


def test_identifiers_are_text_too_long_for_a_number(folder: Path) -> None:
    for row in table(folder):
        digits = row["StudyID"].removesuffix("-2")
        assert digits.isdecimal()
        assert int(digits) > 2**63
        stem = row["ImageID"].removesuffix(".png")
        assert stem[: -len("_abc123")] == row["StudyID"]


def test_every_picture_is_a_16_bit_grey_png(folder: Path) -> None:
    images = sorted((folder / "PadChest_GR").iterdir())
    assert {path.name for path in images} == {row["ImageID"] for row in table(folder)}
    for path in images:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.mode == "I;16"
            assert np.asarray(image).max() > 50000


def test_workers_do_not_change_a_byte(folder: Path, tmp_path: Path) -> None:
    arguments = ["--studies", "5", "--seed", "6", "--size", "96", "--workers", "2"]
    assert main(["--out", str(tmp_path), *arguments]) == 0
    for path in (tmp_path / "PadChest_GR").iterdir():
        assert path.read_bytes() == (folder / "PadChest_GR" / path.name).read_bytes()
    assert reports(tmp_path) == reports(folder)[:5]
    assert table(tmp_path) == [
        r for r in table(folder) if r["ImageID"] in {x["ImageID"] for x in table(tmp_path)}
    ]


def test_a_folder_in_use_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(folder), "--studies", "1"])
    assert "is not empty" in capsys.readouterr().err


def test_the_contact_sheet_shows_every_study(folder: Path) -> None:
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.size == (5 * 480, 4 * 480)


def test_follow_ups_name_the_study_before() -> None:
    index = next(i for i in range(200) if seat_study(seed=0, index=i).previous is not None)
    previous = seat_study(seed=0, index=index).previous
    assert previous is not None
    plan = plan_study(seed=0, index=index)
    record = describe_study(_undrawn(plan))
    before = name_study(seed=0, index=previous)
    assert record.report["PreviousStudyID"] == before.study_id
    assert record.rows[0]["prior_imageID"] == before.image_id
    assert name_study(seed=0, index=index).patient_id == before.patient_id
    assert name_study(seed=0, index=index).taken > before.taken


def _undrawn(plan) -> Phantom:
    """A phantom as small as can be."""
    return draw_study(plan, size_px=64)


@pytest.mark.parametrize("label", list(v.ENTRIES))
def test_the_readers_agree_as_radiologists_do(label: str) -> None:
    target = v.ENTRIES[label].reader_iou
    rng = stream(0, "agreement")
    truth = UnitBox(0.3, 0.4, 0.6, 0.65)
    spread = reader_spread(target)
    overlaps = [
        intersection_over_union(
            read_box(rng, truth, spread=FIRST_READER_SPREAD), read_box(rng, truth, spread=spread)
        )
        for _ in range(1500)
    ]
    # .63 aortic elongation, .69 cardiomegaly, .65 scoliosis, .44 atheromatosis, .39 effusion
    assert np.mean(overlaps) == pytest.approx(target, abs=0.02)


def test_the_first_reader_is_close_to_the_truth() -> None:
    rng = stream(1, "first")
    truth = UnitBox(0.4, 0.1, 0.6, 0.9)
    overlaps = [
        intersection_over_union(truth, read_box(rng, truth, spread=FIRST_READER_SPREAD))
        for _ in range(500)
    ]
    assert np.mean(overlaps) > 0.9


@pytest.mark.parametrize("truth", [UnitBox(0, 0, 0.02, 0.02), UnitBox(0.97, 0.5, 1, 1)])
def test_a_readers_box_stays_inside_the_picture(truth: UnitBox) -> None:
    rng = stream(2, "edge")
    for _ in range(300):
        read_box(rng, truth, spread=0.4)  # UnitBox refuses anything outside or inside out


@pytest.mark.parametrize("inverted", [False, True])
def test_dicom_holds_the_picture_and_says_how_it_was_taken(tmp_path: Path, inverted: bool) -> None:
    plan = plan_study(seed=0, index=1, view="AP_horizontal", signs={v.CARDIOMEGALY: Sign(0.5, "")})
    phantom = draw_study(plan, size_px=128)
    name = name_study(seed=0, index=1)
    made = dicom_dataset(
        phantom, patient_id=name.patient_id, study_date=name.taken, inverted=inverted
    )
    path = tmp_path / "phantom.dcm"
    made.save_as(path, enforce_file_format=True)
    data = pydicom.dcmread(path)
    assert data.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    assert (data.Modality, data.ViewPosition, data.BitsStored) == ("DX", "AP", 12)
    assert list(data.PatientOrientation) == ["L", "F"]
    assert float(data.PixelSpacing[0]) == pytest.approx(phantom.pixel_mm, abs=1e-6)
    assert str(data.PatientName).startswith("Phantom^")
    stored = data.pixel_array
    expected = phantom.pixels >> 4
    np.testing.assert_array_equal(4095 - stored if inverted else stored, expected)


def test_some_studies_are_written_as_dicom(folder: Path, tmp_path: Path) -> None:
    files = sorted((folder / "DICOM").iterdir())
    assert 0 < len(files) < 20
    with Image.open(folder / "PadChest_GR" / f"{files[0].stem}.png") as image:
        png = np.asarray(image)
    data = pydicom.dcmread(files[0])
    stored = (
        data.pixel_array
        if data.PhotometricInterpretation == "MONOCHROME2"
        else (4095 - data.pixel_array)
    )
    np.testing.assert_array_equal(stored, png >> 4)


def test_the_same_study_has_the_same_dicom_uids(tmp_path: Path) -> None:
    phantom = draw_study(plan_study(seed=0, index=1), size_px=64)
    name = name_study(seed=0, index=1)
    paths = [tmp_path / "a.dcm", tmp_path / "b.dcm"]
    for path in paths:
        write_dicom(path, phantom, patient_id=name.patient_id, study_date=name.taken)
    assert paths[0].read_bytes() == paths[1].read_bytes()
