"""PadChest-GR's annotation files as published, parsed and no further judged.

    grounded_reports_<date>.json       a list of studies with findings and two readers' boxes
    master_table.csv or .csv.zip       one row for each study x positive sentence x label: the only
                                       place of split, patient, sex, age and label group
    PADCHEST_chest_x_ray_images_labels*.csv   optional, the parent data set's table: the projection

What makes the files unusable as a whole raises here; what is wrong with one study is found by
`training.data`. Source: Castro et al. 2024 (PadChest-GR), Bustos et al. 2020 (PadChest).
"""

import csv
import fnmatch
import gzip
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from training.errors import (
    MangledIdError,
    MissingColumnError,
    MissingPartError,
    UnreadableAnnotationsError,
)
from training.sources import Entry, Source

REPORTS_PATTERN: Final = "grounded_reports_*.json"
TABLE_NAMES: Final = ("master_table.csv", "master_table.csv.zip")
PARENT_PATTERNS: Final = (
    "PADCHEST_chest_x_ray_images_labels*.csv",
    "PADCHEST_chest_x_ray_images_labels*.csv.gz",
)
IMAGE_FOLDERS: Final = ("PadChest_GR/", "Padchest_GR_files/")
"""Where the images may lie: the archive extracted beside the tables, or where it was fetched to."""

TABLE_COLUMNS: Final = (
    *("StudyID", "ImageID", "label", "boxes_count", "extra_boxes_count", "locations"),
    *("prior_study", "progression_status", "prior_imageID", "sentence_en", "sentence_es"),
    *("study_is_benchmark", "study_is_validation", "split", "PatientID", "patient_is_benchmark"),
    *("PatientBirth", "PatientSex_DICOM", "StudyDate_DICOM", "StudyDate", "PatientAge"),
    *("label_group", "Year"),
)
"""The 23 columns of master_table.csv, in the order published."""

NEEDED_COLUMNS: Final = (
    *("StudyID", "ImageID", "label", "label_group", "split"),
    *("PatientID", "PatientSex_DICOM", "PatientAge"),
)
"""Without these no study can be trained on; the others only inform."""

_PARENT_COLUMNS: Final = ("ImageID", "Projection")
"""What is read of the parent's table."""

_NUMBER_MARKS: Final = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+|\d+\.\d*|nan|inf", re.IGNORECASE)
"""What an id looks like after a spreadsheet or a float column had it: 2.16840111366964e+44."""

_EXAMPLES: Final = 3
"""How many offenders an error names."""


@dataclass(frozen=True)
class Annotations:
    """The annotation files.

    Attributes:
        reports: The JSON's studies, as parsed.
        rows: The table's rows by StudyID, in order.
        projections: Projection by ImageID, from the parent's table; empty where that is absent.
        groups: Label group by label, both in sentence case.
        images: Path and entry of each image by file name.
        digest: Hex SHA-256 over the files read.
    """

    reports: tuple[Any, ...]
    rows: Mapping[str, tuple[Mapping[str, str], ...]]
    projections: Mapping[str, str]
    groups: Mapping[str, str]
    images: Mapping[str, tuple[str, Entry]]
    digest: str


def sentence_case(label: str) -> str:
    """A label as this project writes it: PadChest's `aortic elongation` is `Aortic elongation`."""
    text = " ".join(label.split())
    return text[:1].upper() + text[1:]


def read_annotations(source: Source) -> Annotations:
    """Read the annotation files and list the images.

    Raises:
        MissingPartError: The JSON, the table or the images are absent, or the JSON stands twice.
        MissingColumnError: The table lacks a column that is needed.
        UnreadableAnnotationsError: A file cannot be parsed or has another form than published.
        MangledIdError: Ids have been read as numbers.
    """
    listing = source.listing()
    reports_path = _one_of(listing, (REPORTS_PATTERN,), source)
    table_path = _one_of(listing, TABLE_NAMES, source)
    images = _images(listing, source)
    reports_bytes, table_bytes = source.read(reports_path), source.read(table_path)
    digest = hashlib.sha256(reports_bytes + table_bytes)
    reports = _parse_reports(reports_bytes, reports_path)
    rows = list(_parse_table(table_bytes, table_path))
    parent_paths = sorted(p for p in listing if any(fnmatch.fnmatch(p, q) for q in PARENT_PATTERNS))
    projections = {}
    if parent_paths:
        parent_bytes = source.read(parent_paths[0])
        digest.update(parent_bytes)
        projections = _parse_projections(parent_bytes, parent_paths[0])
    by_study: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_study.setdefault(row["StudyID"], []).append(row)
    return Annotations(
        reports=tuple(reports),
        rows={study_id: tuple(study_rows) for study_id, study_rows in by_study.items()},
        projections=projections,
        groups={sentence_case(r["label"]): sentence_case(r["label_group"]) for r in rows},
        images=images,
        digest=digest.hexdigest(),
    )


def _one_of(listing: Mapping[str, Entry], patterns: tuple[str, ...], source: Source) -> str:
    """The path that fits one of the patterns, the first pattern that fits any."""
    for pattern in patterns:
        found = sorted(p for p in listing if "/" not in p and fnmatch.fnmatchcase(p, pattern))
        if len(found) > 1:
            raise MissingPartError(
                f"{source.locate('')} holds {', '.join(found)}: keep the one that is meant"
            )
        if found:
            return found[0]
    raise MissingPartError(
        f"{source.locate('')} holds no {' or '.join(patterns)}; give the folder that PadChest-GR "
        "was downloaded to, with the JSON, the table and the images side by side"
    )


def _images(listing: Mapping[str, Entry], source: Source) -> dict[str, tuple[str, Entry]]:
    """Path and entry of every PNG below the image folders, by file name."""
    images: dict[str, tuple[str, Entry]] = {}
    for path, entry in listing.items():
        if path.startswith(IMAGE_FOLDERS) and path.lower().endswith(".png"):
            images.setdefault(path.rpartition("/")[2], (path, entry))
    if not images:
        parts = sum(".zip." in path for path in listing)
        remedy = (
            f"{parts} parts of the archive are there: join them "
            "(cat PadChest_GR.zip.* > PadChest_GR.zip) and extract the result"
            if parts
            else "extract the archive of images there"
        )
        raise MissingPartError(f"{source.locate(IMAGE_FOLDERS[0])} holds no PNG; {remedy}")
    return images


def _parse_reports(data: bytes, path: str) -> list[Any]:
    try:
        reports = json.loads(data)
    except ValueError as error:
        raise UnreadableAnnotationsError(
            f"{path} is not JSON ({error}); its download is incomplete or it was edited, fetch it "
            "again"
        ) from error
    if not isinstance(reports, list) or not all(isinstance(study, dict) for study in reports):
        raise UnreadableAnnotationsError(f"{path} holds no list of studies; fetch it again")
    _check_ids(path, "StudyID", (study.get("StudyID") for study in reports))
    _check_ids(path, "ImageID", (study.get("ImageID") for study in reports))
    return reports


def _parse_table(data: bytes, path: str) -> Iterator[dict[str, str]]:
    if path.endswith(".zip"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                (name,) = (
                    n
                    for n in archive.namelist()
                    if n.endswith(".csv") and not n.startswith("__MACOSX")
                )
                data = archive.read(name)
        except (zipfile.BadZipFile, ValueError) as error:
            raise UnreadableAnnotationsError(
                f"{path} is no zip archive of one CSV file ({error}); fetch it again"
            ) from error
    rows = _rows(data, path, NEEDED_COLUMNS)
    for column in ("StudyID", "PatientID"):
        _check_ids(path, column, (row[column] for row in rows))
    yield from rows


def _parse_projections(data: bytes, path: str) -> dict[str, str]:
    if path.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise UnreadableAnnotationsError(f"{path} is no gzip file: {error}") from error
    return {row["ImageID"]: row["Projection"] for row in _rows(data, path, _PARENT_COLUMNS)}


def _rows(data: bytes, path: str, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file, every value as text."""
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = reader.fieldnames or ()
        missing = [column for column in needed if column not in columns]
        if missing:
            raise MissingColumnError(
                f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"it has {', '.join(columns) or 'none'}. Use the file as published"
            )
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableAnnotationsError(f"{path} is no CSV in UTF-8: {error}") from error
    # a short row has None for what is missing, a long one a list under the key None
    broken = [n for n, row in enumerate(rows, 2) if None in row or None in row.values()]
    if broken:
        raise UnreadableAnnotationsError(
            f"{path}: row {broken[0]} has another number of fields than the header "
            f"({len(broken)} such rows); use the file as published"
        )
    return rows


def _check_ids(path: str, field: str, values: Iterator[Any]) -> None:
    """Refuse ids that a tool has taken for numbers: the digits lost cannot be found again."""
    mangled = [
        value
        for value in values
        if (value is not None and not isinstance(value, str))
        or (isinstance(value, str) and _NUMBER_MARKS.fullmatch(value.strip()))
    ]
    if mangled:
        shown = ", ".join(map(repr, mangled[:_EXAMPLES]))
        raise MangledIdError(
            f"{path}: {len(mangled)} values of {field} were read as numbers ({shown}); ids are "
            "text of up to 45 digits, more than a number holds. Use the file as published, or "
            "write it again from a reader that keeps text (pandas: dtype=str)"
        )
