"""`cxr analyze` and `cxr results`: what they write and print of images full of identifiers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cxr.cli import main
from tests.deidentification.allowed import assert_clean, assert_result_is_clean, carries_birth_date
from tests.deidentification.harvest import files_below, found_in
from tests.deidentification.planted import (
    ACCESSION,
    ALL,
    KEY,
    STUDY_UID,
    TAGS,
    planted_dicom,
    planted_images,
)

pytestmark = pytest.mark.slow

RUN = "import sys; from cxr.cli import main; sys.exit(main())"
EVERY_FORMAT = "dicom-sr,dicom-gsps,dicom-pdf,fhir"
ON_ONES_OWN_DISK = {"index.html", "summary.csv"}
"""They name images by their path, as the folders of a result do; tags they may not hold."""


@pytest.fixture(scope="module")
def analysed(
    tmp_path_factory: pytest.TempPathFactory, tiny_models_folder: Path
) -> tuple[Path, str]:
    """A folder of results, and what was printed meanwhile."""
    work = tmp_path_factory.mktemp("planted")
    for name, content in planted_images().items():
        place = work / "scans" / f"{KEY}^JOHN" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    arguments = ["analyze", str(work / "scans"), "--out", str(work / "results")]
    options = ["--models", str(tiny_models_folder), "--formats", EVERY_FORMAT]
    done = subprocess.run(  # a process: workers and decoders print past what pytest replaces
        [sys.executable, "-c", RUN, *arguments, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    printed = done.stdout.decode("utf-8", "backslashreplace")
    assert done.returncode == 0, printed
    return work / "results", printed


def test_every_kind_of_result_was_made(analysed) -> None:
    """So that the tests below look at each of them."""
    folder, printed = analysed
    records = [json.loads(path.read_bytes()) for path in folder.rglob("record.json")]
    outputs = {name for record in records for name in record["outputs"]}
    assert outputs == {"report", "thumbnail", "fhir", "dicom-sr", "dicom-gsps", "dicom-pdf"}
    codes = {record["rejection"]["code"] for record in records if record["rejection"]}
    assert {"not_frontal", "other_body_part", "broken_file"} <= codes
    assert any(record["findings"] for record in records)
    assert "images have a record" in printed


def test_no_file_of_a_result_holds_an_identifier(analysed) -> None:
    folder, _ = analysed
    seen = 0
    for name, content in files_below(folder):
        if name.count("/") >= 2:
            assert_result_is_clean(name, content)
            seen += 1
    assert seen > 3 * len(planted_images())
    assert carries_birth_date(dict(files_below(folder)))


def test_what_stands_over_all_results_names_images_and_holds_no_tag(analysed) -> None:
    folder, printed = analysed
    for name in ON_ONES_OWN_DISK:
        assert found_in((folder / name).read_bytes(), ALL) == {KEY}, name
    assert found_in(printed, TAGS) == set()


def test_previews_hold_no_metadata_of_their_sources(analysed) -> None:
    folder, _ = analysed
    previews = list(folder.rglob("thumbnail.jpg"))
    assert len(previews) == len(planted_images())
    for preview in previews:
        with Image.open(preview) as picture:
            assert dict(picture.getexif()) == {}
            assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


def test_overlay_planes_are_not_drawn(tmp_path, tiny_models_folder) -> None:
    """What a film shows beside its pixels is often the patient's name."""
    (tmp_path / "scans").mkdir()
    for overlay in (True, False):
        (tmp_path / "scans" / f"{overlay}.dcm").write_bytes(planted_dicom(overlay=overlay))
    models = ["--models", str(tiny_models_folder), "--quiet"]
    assert main(["analyze", str(tmp_path / "scans"), "--out", str(tmp_path / "out"), *models]) == 0
    with_plane, without = (
        (tmp_path / "out" / f"{overlay}.dcm" / "thumbnail.jpg").read_bytes()
        for overlay in (True, False)
    )
    assert with_plane == without


def test_exports_hold_no_identifier(analysed, tmp_path, capsys) -> None:
    folder, _ = analysed
    for target in ("rows.parquet", "rows.csv", "rows.jsonl", "lake/"):
        assert main(["results", str(folder), "--to", str(tmp_path / target)]) == 0
    for table in ("records", "findings"):
        path = tmp_path / f"{table}.csv"
        assert main(["results", str(folder), "--to", str(path), "--table", table]) == 0
    assert main(["results", str(folder)]) == 0
    written = dict(files_below(tmp_path))
    assert len(written) >= 7
    for name, content in written.items():
        assert_clean(name, content)
        assert found_in(name, ALL) == set()
    printed = capsys.readouterr()
    assert_clean("output", printed.out + printed.err)


def test_passed_through_attributes_stand_in_the_record_alone(
    tmp_path, tiny_models_folder, capsys
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.dcm").write_bytes(planted_dicom())
    arguments = [str(tmp_path / "scans"), "--out", str(tmp_path / "out"), "--formats", "fhir"]
    arguments += ["--models", str(tiny_models_folder)]
    chosen = ["--passthrough", "AccessionNumber,StudyInstanceUID"]
    assert main(["analyze", *arguments, *chosen]) == 0
    for name, content in files_below(tmp_path / "out"):
        if name.endswith("record.json"):
            record = json.loads(content)
            assert record.pop("source_tags") == {
                "StudyInstanceUID": STUDY_UID,
                "AccessionNumber": ACCESSION,
            }
            content = json.dumps(record).encode()
        assert found_in(content, TAGS) == set(), name
    assert main(["results", str(tmp_path / "out"), "--to", str(tmp_path / "rows.csv")]) == 0
    printed = capsys.readouterr()
    for content in ((tmp_path / "rows.csv").read_bytes(), printed.out + printed.err):
        assert found_in(content, TAGS) == set()
