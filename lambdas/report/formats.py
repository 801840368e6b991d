"""The optional outputs of the report stage: their names, their files, what each needs.

| format | file | for |
|---|---|---|
| dicom-sr | dicom/sr.dcm | DICOM sources: Structured Report, TID 1500 |
| dicom-gsps | dicom/gsps.dcm | DICOM sources: Presentation State with the boxes |
| dicom-pdf | dicom/pdf.dcm | DICOM sources: report.pdf, encapsulated |
| fhir | fhir.json | every source: FHIR R4 |
"""

import importlib.util
from collections.abc import Iterable
from typing import Final

from lambdas.shared.errors import ConfigError, InputError, InvalidRequestError
from lambdas.shared.records import RECORD_FILE, REPORT_FILE, THUMBNAIL_FILE, Record

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

LIBRARIES: Final = {DICOM_SR: "highdicom", DICOM_GSPS: "highdicom", FHIR: "fhir.resources"}
"""Package that a format is built with, where inference alone does not need it."""

INSTALL: Final = "python -m pip install -e '.[formats]'"

_NOT_DICOM: Final = "the source is {}, and a DICOM output joins the study of a DICOM source"
_REJECTED: Final = "the image was rejected, so there are no results to write"

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


def check_libraries(formats: Iterable[str]) -> None:
    """Make sure that the formats can be made here.

    Raises:
        ConfigError: A library is not installed; says how to install it.
    """
    needed = {LIBRARIES[name]: name for name in sorted(formats) if name in LIBRARIES}
    for library, name in needed.items():
        # the part before the dot is a name space that another package may have made
        if not _is_installed(library):
            raise ConfigError(
                f"format {name} needs the package {library}, which is not installed: {INSTALL}"
            )


def left_out(record: Record, *, data: bytes | None, formats: Iterable[str]) -> list[dict[str, str]]:
    """The record's `left_out`: which of the formats this image cannot have, and why.

    Args:
        record: From `analysed_record` or `rejected_record`.
        data: The source file; None will do where it is no DICOM file.
        formats: As asked for.
    """
    asked = sorted(DICOM_FORMATS.intersection(formats))
    reason = _why_not_dicom(record, data) if asked else None
    return [{"format": name, "reason": reason} for name in asked] if reason else []


def _why_not_dicom(record: Record, data: bytes | None) -> str | None:
    if record["status"] == "rejected":
        return _REJECTED
    image_format = record["image"]["format"]
    if image_format != "dicom":
        return _NOT_DICOM.format(image_format.upper())
    if data is None:
        raise ValueError("DICOM outputs of a DICOM image need the file itself")
    from lambdas.report.dicom_context import read_context

    try:
        read_context(data)
    except InputError as error:
        return error.message
    return None


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:  # not even the name space
        return False
