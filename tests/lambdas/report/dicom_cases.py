"""Sources with a study, records of them, and what can be compared of two outputs."""

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from lambdas.batch.analyse import Analysis, Models, analyse
from lambdas.report.dicom_instance import TIMING_ATTRIBUTES
from lambdas.report.fhir import TIMING_ELEMENTS
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Source
from tests.builders import dicom, film

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
