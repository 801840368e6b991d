"""Reviewed results as a data set that `training.data.load_dataset` reads: PadChest-GR's own files.

    grounded_reports_reviews.json                   a list of studies with findings and boxes
    master_table.csv                                a row for each study and label
    PADCHEST_chest_x_ray_images_labels_reviews.csv  the projection, where the image says it
    PadChest_GR/*.png                               the images
    README.txt                                      what stands in them and what does not

Only whole reviews leave: what nobody judged would be taught as agreed. The reviewer takes the place
of reader 1. No patient is known here, so each image counts as a patient of its own; exported films
therefore belong to one split.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cxr.keys import shown
from cxr.reviews import (
    AddedFinding,
    Review,
    Revision,
    abnormal_after,
    contradiction,
    findings_after,
    last_revision,
    missing,
)
from lambdas.report.film import png_bytes
from lambdas.shared.errors import InputError, InvalidRequestError
from lambdas.shared.labels import NORMAL
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import UNIT_DECIMALS, Record

REPORTS_FILE: Final = "grounded_reports_reviews.json"
TABLE_FILE: Final = "master_table.csv"
PROJECTIONS_FILE: Final = "PADCHEST_chest_x_ray_images_labels_reviews.csv"
README_FILE: Final = "README.txt"
IMAGES_FOLDER: Final = "PadChest_GR"

SPLITS: Final = ("train", "validation", "test")

TABLE_COLUMNS: Final = (
    *("StudyID", "ImageID", "label", "boxes_count", "extra_boxes_count", "locations"),
    *("prior_study", "progression_status", "prior_imageID", "sentence_en", "sentence_es"),
    *("study_is_benchmark", "study_is_validation", "split", "PatientID", "patient_is_benchmark"),
    *("PatientBirth", "PatientSex_DICOM", "StudyDate_DICOM", "StudyDate", "PatientAge"),
    *("label_group", "Year"),
)
"""Of master_table.csv, in the order published."""

PROJECTION_COLUMNS: Final = ("ImageID", "StudyID", "PatientID", "Projection")
PROJECTIONS: Final = ("PA", "AP")
"""DICOM's words for a view that are PadChest's as well."""

UNSPECIFIED: Final = "Unspecified abnormality"
"""Label of an image that the reviewer calls abnormal without naming a finding."""

NOTE: Final = """\
Reviews of chest radiographs, exported by cxr for retraining, in PadChest-GR's files and columns:
python -m training.prepare --data THIS_FOLDER --out prepared

The reviewer stands in the place of reader 1. Every image counts as a patient of its own, because
no patient is known here: keep these films in one split, and keep films of their patients out of
the others. Sex, age and dates are not known. Free-text notes of reviewers are not exported.
Images that were not PNG are 16-bit PNG at working size, as the models saw them.
Films of patients are health data: treat this folder as such.
"""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A result with its review."""

    record: Record
    review: Review


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What became of the reviews.

    Attributes:
        exported: Images in the data set.
        left_out: Key and reason of each that is not.
    """

    exported: int
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Study:
    report: dict[str, Any]
    rows: tuple[dict[str, str], ...]
    projection: dict[str, str] | None


def export_reviews(
    reviewed: Iterable[Reviewed],
    *,
    original: Callable[[Record], bytes | None],
    why_missing: Callable[[Record], str],
    read: Callable[[bytes], Radiograph],
    write: Callable[[str, bytes], None],
    split: str = "train",
) -> ExportSummary:
    """Write the data set, image by image, its tables last.

    Args:
        reviewed: Results and their reviews.
        original: The bytes that a record is about; None where they are not at hand.
        why_missing: What to say then.
        read: Reads a radiograph, in a process that may die.
        write: Takes the path of a file below the data set, and its content.
        split: That all of it belongs to.

    Raises:
        InvalidRequestError: No such split.
    """
    if split not in SPLITS:
        raise InvalidRequestError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
    studies, left_out = [], []
    seen: set[str] = set()
    for each in reviewed:
        record, revision = each.record, last_revision(each.review)
        reason = missing(revision) or contradiction(revision, record)
        if record["image_id"] in seen:
            reason = "the same image stands there twice"
        image = None
        if reason is None:
            data = original(record)
            reason = why_missing(record) if data is None else None
            if data is not None:
                try:
                    image = _png(data, record, read)
                except InputError as error:
                    reason = f"the image cannot be read: {error.message}"
        if reason is not None or image is None:
            left_out.append((shown(record["source"]["key"]), reason or "no image"))
            continue
        seen.add(record["image_id"])
        study = _study(record, revision, split)
        write(f"{IMAGES_FOLDER}/{study.report['ImageID']}", image)
        studies.append(study)
    if studies:
        _write_tables(studies, write)
    return ExportSummary(exported=len(studies), left_out=tuple(left_out))


def _png(data: bytes, record: Record, read: Callable[[bytes], Radiograph]) -> bytes:
    """The image as PNG: as it is where it is one, else the pixels that the models saw."""
    return data if record["image"]["format"] == "png" else png_bytes(read(data).pixels)


def _study(record: Record, revision: Revision, split: str) -> _Study:
    study_id = str(int(record["image_id"], 16))
    image_id = f"{study_id}_{record['image_id'][:6]}.png"
    findings = findings_after(revision, record)
    abnormal = bool(abnormal_after(revision, record))
    by_label: dict[str, list[AddedFinding]] = {}
    for finding in findings:
        by_label.setdefault(_label(finding.label), []).append(finding)
    if abnormal and not by_label:
        by_label[_label(UNSPECIFIED)] = []
    shared = {
        "StudyID": study_id,
        "ImageID": image_id,
        "split": split,
        "PatientID": study_id,
        "study_is_benchmark": "False",
        "study_is_validation": "False",
        "patient_is_benchmark": "False",
    }
    rows = [
        shared
        | {
            "label": label,
            "label_group": label,
            "boxes_count": str(len(found)),
            "extra_boxes_count": "0",
            "locations": "[]",
            "sentence_en": f"{label}.",
        }
        for label, found in by_label.items()
    ] or [shared | {"label": NORMAL, "label_group": NORMAL}]
    view = record["image"]["view"]
    return _Study(
        report={
            "StudyID": study_id,
            "ImageID": image_id,
            "PreviousStudyID": None,
            "PreviousImageID": None,
            "findings": [_finding(label, found) for label, found in by_label.items()]
            or [{"sentence_en": "Normal.", "sentence_es": "", "abnormal": False}],
        },
        rows=tuple({column: row.get(column, "") for column in TABLE_COLUMNS} for row in rows),
        projection=shared | {"Projection": view} if view in PROJECTIONS else None,
    )


def _finding(label: str, found: Iterable[AddedFinding]) -> dict[str, Any]:
    return {
        "sentence_en": f"{label}.",
        "sentence_es": "",
        "abnormal": True,
        "boxes": [
            [round(e, UNIT_DECIMALS) for e in (b.x_min, b.y_min, b.x_max, b.y_max)]
            for b in (finding.box for finding in found)
        ],
        "extra_boxes": [],
        "labels": [label],
        "locations": [],
        "progression": None,
    }


def _label(label: str) -> str:
    """As PadChest-GR writes labels: lower case."""
    return " ".join(label.split()).lower()


def _write_tables(studies: Iterable[_Study], write: Callable[[str, bytes], None]) -> None:
    studies = list(studies)
    reports = [study.report for study in studies]
    write(REPORTS_FILE, json.dumps(reports, ensure_ascii=False, indent=1).encode())
    write(TABLE_FILE, _csv(TABLE_COLUMNS, (row for study in studies for row in study.rows)))
    projections = [study.projection for study in studies if study.projection]
    if projections:
        write(PROJECTIONS_FILE, _csv(PROJECTION_COLUMNS, projections))
    write(README_FILE, NOTE.encode())


def _csv(columns: tuple[str, ...], rows: Iterable[Mapping[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
