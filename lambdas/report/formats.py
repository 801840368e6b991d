"""The optional outputs of the report stage: their names, their files, what each needs.

| format | file | for |
|---|---|---|
| dicom-sr | dicom/sr.dcm | DICOM sources: Structured Report, TID 1500 |
| dicom-gsps | dicom/gsps.dcm | DICOM sources: Presentation State with the boxes |
| dicom-pdf | dicom/pdf.dcm | DICOM sources: report.pdf, encapsulated |
| fhir | fhir.json | every source: FHIR R4 |
"""

from collections.abc import Iterable
from typing import Final

from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import RECORD_FILE, REPORT_FILE, THUMBNAIL_FILE

DICOM_SR: Final = "dicom-sr"
DICOM_GSPS: Final = "dicom-gsps"
DICOM_PDF: Final = "dicom-pdf"
FHIR: Final = "fhir"

FORMAT_FILES: Final = {
    DICOM_SR: "dicom/sr.dcm",
    DICOM_GSPS: "dicom/gsps.dcm",
    DICOM_PDF: "dicom/pdf.dcm",
    FHIR: "fhir.json",
}
"""File of each format below the folder of a result; a `/` is a folder on disk and in keys."""

FORMATS: Final = frozenset(FORMAT_FILES)
"""Names as `--formats` takes them; also the roles of their files in a record's `outputs`."""

DICOM_FORMATS: Final = frozenset({DICOM_SR, DICOM_GSPS, DICOM_PDF})
"""Stored in the study of the source, so only a DICOM source can have them."""

_ROLES: Final = {REPORT_FILE: "report", THUMBNAIL_FILE: "thumbnail"} | {
    file: name for name, file in FORMAT_FILES.items()
}


def parse_formats(text: str) -> frozenset[str]:
    """Formats from a list such as `dicom-sr,fhir`; none from an empty one.

    Raises:
        InvalidRequestError: A name is not known.
    """
    names = {name.strip() for name in text.split(",")} - {""}
    if unknown := sorted(names - FORMATS):
        raise InvalidRequestError(
            f"unknown format {', '.join(map(repr, unknown))}; "
            f"choose from {', '.join(sorted(FORMATS))}, separated by commas"
        )
    return frozenset(names)


def output_roles(files: Iterable[str]) -> dict[str, str]:
    """The record's `outputs`: name of each file by its role, without record.json itself.

    Args:
        files: Names, as `report` returns them.
    """
    return {_ROLES[name]: name for name in files if name != RECORD_FILE}
