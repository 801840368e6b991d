"""Reviews leave as a data set that the trainers' own loader reads."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxr.cli import main
from cxr.originals import Originals
from cxr.review_export import (
    TABLE_COLUMNS,
    ExportSummary,
    Reviewed,
    export_reviews,
)
from cxr.reviews import FindingReview, Revision, to_json
from lambdas.batch.analyse import Models, analyse
from lambdas.shared import records
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.read import read_radiograph
from lambdas.shared.records import Record, Source
from tests.builders import dicom, film, png
from tests.cxr.review_examples import BOX, record, review, revision
from training import annotations
from training.data import load_dataset
from training.studies import Study

DENIED = (FindingReview("disagree"), FindingReview("disagree"))

Export = Callable[..., ExportSummary]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Export images that lie in memory, by key."""

    def run(reviewed: list[Reviewed], images: dict[str, bytes], split: str = "train") -> object:
        def write(name: str, content: bytes) -> None:
            path = tmp_path / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        return export_reviews(
            reviewed,
            original=lambda of: images.get(of["source"]["key"]),
            why_missing=Originals(None).why_missing,
            read=read_radiograph,
            write=write,
            split=split,
        )

    return run  # type: ignore[return-value]


def loaded(tmp_path: Path) -> dict[str, Study]:
    dataset = load_dataset(tmp_path / "out")
    assert dataset.exclusions == ()
    return {study.study_id: study for study in dataset.studies}


def study_of(of: Record, studies: dict[str, Study]) -> Study:
    return studies[str(int(of["image_id"], 16))]


def test_columns_are_those_that_the_loader_knows() -> None:
    assert TABLE_COLUMNS == annotations.TABLE_COLUMNS


def test_loader_reads_what_the_reviewers_said(export: Export, tmp_path: Path) -> None:
    image = png(film(height=400, width=300))
    said = {
        "agreed.png": revision(),
        "nothing.png": revision(triage="agree", findings=DENIED, added=()),
        "normal.png": revision(triage="disagree", findings=DENIED, added=()),
    }
    kept = {key: record(key=key, data=key.encode()) for key in said}
    reviewed = [Reviewed(kept[key], review(kept[key], said[key])) for key in said]
    summary = export(reviewed, dict.fromkeys(said, image))
    assert summary == ExportSummary(3, ())
    studies = loaded(tmp_path)
    agreed = study_of(kept["agreed.png"], studies)
    assert agreed.abnormal
    assert agreed.labels == {"Cardiomegaly", "Pleural effusion", "Scoliosis"}
    assert {(drawn.label, drawn.box.x_min, drawn.reader) for drawn in agreed.boxes} == {
        ("Cardiomegaly", 0.1, 1),
        ("Pleural effusion", BOX.x_min, 1),
        ("Scoliosis", 0.4, 1),
    }
    assert (agreed.split, agreed.view, agreed.sex, agreed.age) == ("train", "PA", None, None)
    nothing = study_of(kept["nothing.png"], studies)
    assert (nothing.labels, nothing.boxes) == ({"Unspecified abnormality"}, ())
    normal = study_of(kept["normal.png"], studies)
    assert (normal.abnormal, normal.labels, normal.boxes) == (False, {"Normal"}, ())
    assert len({study.patient_id for study in studies.values()}) == 3


def test_image_is_what_the_models_saw(export: Export, tmp_path: Path) -> None:
    """A PNG byte by byte; anything else as pixels that are read back the same."""
    originals = {"1.dcm": dicom(film(height=700, width=600)), "2.png": png(film(seed=2))}
    kept = []
    for key, data in originals.items():
        of = record(key=key, data=data)
        of["image"]["format"] = "dicom" if key.endswith("dcm") else "png"
        kept.append(of)
    export([Reviewed(of, review(of)) for of in kept], originals)
    studies = loaded(tmp_path)
    for of, data in zip(kept, originals.values(), strict=True):
        exported = Path(str(study_of(of, studies).image)).read_bytes()
        before, after = read_radiograph(data).pixels, read_radiograph(exported).pixels
        assert before.shape == after.shape
        assert np.abs(before - after).max() < 1e-3
        assert (exported == data) == (of["image"]["format"] == "png")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (revision(triage=None), "the triage not judged"),
        (revision(findings=(FindingReview("agree"), FindingReview())), "1 finding not judged"),
    ],
)
def test_review_with_gaps_is_left_out(export: Export, said: Revision, reason: str) -> None:
    of = record()
    summary = export([Reviewed(of, review(of, said))], {"a/1.dcm": png(film())})
    assert summary == ExportSummary(0, (("a/1.dcm", reason),))


def test_image_that_is_missing_or_broken_is_left_out(export: Export, tmp_path: Path) -> None:
    gone, broken, twice = record(key="gone"), record(key="broken"), record(key="twice")
    broken["image"]["format"] = "dicom"
    reviewed = [Reviewed(each, review(each)) for each in (gone, broken, twice, twice)]
    summary = export(reviewed, {"broken": b"no image", "twice": png(film())})
    assert summary.exported == 1
    reasons = dict(summary.left_out)
    assert "name its folder with --images" in reasons["gone"]
    assert reasons["broken"].startswith("the image cannot be read: ")
    assert reasons["twice"] == "the same image stands there twice"


def test_unknown_split(export: Export) -> None:
    with pytest.raises(InvalidRequestError, match="expected one of train"):
        export([], {}, split="trial")


@pytest.mark.parametrize("key", ["../secret.png", "/etc/passwd", "a/../../secret.png", "link.png"])
def test_originals_are_only_looked_for_below_their_folder(tmp_path: Path, key: str) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"film")
    images = tmp_path / "images"
    (images / "a").mkdir(parents=True)
    (images / "link.png").symlink_to(secret)
    of = record(key="x")
    of = of | {"source": of["source"] | {"key": key}}
    assert Originals(images).find(of) is None


def test_command_exports_a_folder(
    models: Models, reader: IsolatedReader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a real analysis: image, record, review, command, loader."""
    images, results = tmp_path / "images", tmp_path / "results"
    for name, level in (("bright.png", 3000), ("half.png", 3000)):
        data = png(np.maximum(film(seed=len(name)), level).astype(np.uint16))
        source = Source(None, name, None, hashlib.sha256(data).hexdigest())
        of = analyse(data, source=source, models=models, reader=reader, detect_all=True).record
        place = results / name
        place.mkdir(parents=True)
        (place / "record.json").write_bytes(records.to_json(of))
        images.mkdir(exist_ok=True)
        (images / name).write_bytes(data)
        agreed = tuple(FindingReview("agree") for _ in of["findings"])
        verdict = "agree" if of["triage"]["positive"] else "disagree"
        said = Revision(verdict if name == "bright.png" else None, agreed)
        (place / "review.json").write_bytes(to_json(review(of, said)))
    command = ["reviews", "export", str(results), "--images", str(images)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert printed.err == "left out: half.png: the triage not judged\n"
    assert "1 reviewed image in" in printed.out
    (study,) = loaded(tmp_path).values()
    assert study.labels == {"Cardiomegaly", "Pleural effusion"}
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["reviews", "export", str(tmp_path / "none"), "--out", "x"]) == 2
    assert "there are no results at" in capsys.readouterr().err
