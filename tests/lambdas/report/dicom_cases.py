"""Sources with a study, records of them, and what can be compared of two outputs."""

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from lambdas.batch.analyse import Analysis, Models, analyse
from lambdas.report.dicom_context import StudyContext
from lambdas.report.dicom_instance import TIMING_ATTRIBUTES
from lambdas.report.fhir import TIMING_ELEMENTS
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Record, Source
from tests.builders import dicom, film
from tests.lambdas.report import cases

FORMATS = ("dicom-sr", "dicom-gsps", "dicom-pdf")
FILES = {"dicom-sr": "dicom/sr.dcm", "dicom-gsps": "dicom/gsps.dcm", "dicom-pdf": "dicom/pdf.dcm"}
"""Formats, and the file that each has in a result."""

WRITTEN_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

STUDY_UID, SERIES_UID, IMAGE_UID = "2.25.11", "2.25.12", "2.25.13"

STUDY: dict[str, Any] = {
    "StudyInstanceUID": STUDY_UID,
    "SeriesInstanceUID": SERIES_UID,
    "SOPInstanceUID": IMAGE_UID,
    "StudyDate": "20250607",
    "StudyTime": "101112.5",
    "AccessionNumber": "ACC-77",
    "StudyID": "S-5",
    "ReferringPhysicianName": "Doctor^Who",
    "PatientBirthDate": "19500304",
    "PatientSex": "F",
    "BurnedInAnnotation": "NO",
}

_PRESENT = {"PatientName", "PatientID", "ImagerPixelSpacing"}
"""What `chest_dataset` has anyway, and None removes."""

BRIGHT = np.where(film() > 1500, 3000 + film() // 8, film()).astype(np.uint16)
"""Abnormal to the tiny models, which then give their two findings."""


def study_dicom(pixels: Any = BRIGHT, **attributes: Any) -> bytes:
    """A film in a study; None removes an attribute."""
    given = STUDY | attributes
    return dicom(pixels, **{k: v for k, v in given.items() if v is not None or k in _PRESENT})


def result(
    data: bytes, models: Models, reader: IsolatedReader, *formats: str, **options: Any
) -> Analysis:
    """All stages on a file."""
    source = Source(None, "ward/film.dcm", None, hashlib.sha256(data).hexdigest())
    return analyse(
        data, source=source, models=models, reader=reader, formats=frozenset(formats), **options
    )


def parsed(content: bytes) -> Dataset:
    """A DICOM file as pydicom reads it, every value decoded."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.decode()
    list(dataset.iterall())
    return dataset


def lasting_dicom(content: bytes) -> Dataset:
    """What must not differ between two runs."""
    dataset = parsed(content)
    for keyword in TIMING_ATTRIBUTES:
        dataset.pop(keyword, None)
    return dataset


def lasting_fhir(content: bytes) -> Any:
    """What must not differ between two runs."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without_times(v) for k, v in value.items() if k not in TIMING_ELEMENTS}
        return [without_times(each) for each in value] if isinstance(value, list) else value

    return without_times(json.loads(content))


def lasting(files: dict[str, bytes]) -> dict[str, Any]:
    """Every file of a result without the times within."""
    readers = {"dcm": lasting_dicom, "json": lasting_fhir}
    return {
        name: readers.get(name.rpartition(".")[2], bytes)(content)
        for name, content in files.items()
    }


def items(dataset: Dataset, value_type: str) -> Iterator[Dataset]:
    """Content items of a type, at any depth."""
    for item in dataset.get("ContentSequence", ()):
        if item.ValueType == value_type:
            yield item
        yield from items(item, value_type)


def named(dataset: Dataset, meaning: str) -> Dataset:
    """The one content item below with this name."""
    (found,) = (
        item
        for item in dataset.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    )
    return found


def analysed_like(context: StudyContext) -> Record:
    """A record with a finding, of an image as large as the source."""
    size = (context.display.rows // 2, context.display.columns // 2)
    return cases.analysed(cases.film(*size), [cases.finding()])


def groups(report: Dataset) -> list[Dataset]:
    return list(named(report, "Imaging Measurements").ContentSequence)


def corners(box: Record) -> list[float]:
    """The closed outline of a box: column, row, column, row, …"""
    x_min, y_min, x_max, y_max = box["x_min"], box["y_min"], box["x_max"], box["y_max"]
    return [x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max, x_min, y_min]
