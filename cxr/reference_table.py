"""The CSV of `--fhir-references`: which patient and which imaging study an image belongs to.

    key,patient,imaging_study
    a/1.dcm,Patient/123,ImagingStudy/456

A key is an image's path as the summary and record.json show it; `imaging_study` may be absent or
empty. Keys that name no image of a run do no harm: one table may serve many runs.
"""

import csv
import io
from pathlib import Path
from typing import Final

from cxr.keys import shown
from lambdas.report.fhir_references import FhirReferences
from lambdas.shared.errors import InvalidRequestError

_COLUMNS: Final = ("key", "patient", "imaging_study")


def read_references(path: Path) -> dict[str, FhirReferences]:
    """References by key.

    Raises:
        InvalidRequestError: The file cannot be read, or a row cannot be followed.
    """
    try:
        # names that are no UTF-8 are kept as the file system gives them
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InvalidRequestError(
            f"--fhir-references {shown(path)} cannot be read: {error.strerror or error}"
        ) from error
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        return _references(rows, path)
    except csv.Error as error:
        raise _wrong(path, rows, f"is not CSV: {error}") from error


def _references(rows: "csv.DictReader[str]", path: Path) -> dict[str, FhirReferences]:
    columns = rows.fieldnames or ()
    unknown = sorted(set(columns) - set(_COLUMNS))
    if unknown or not {"key", "patient"} <= set(columns):
        raise InvalidRequestError(
            f"--fhir-references {shown(path)} needs a first line `key,patient` or "
            "`key,patient,imaging_study`"
        )
    found: dict[str, FhirReferences] = {}
    for row in rows:
        if None in row or not row["key"]:
            raise _wrong(path, rows, "has no key, or too many values")
        if row["key"] in found:
            raise _wrong(path, rows, "names a key that stands in an earlier line")
        try:
            found[row["key"]] = FhirReferences(
                patient=row["patient"] or None, imaging_study=row.get("imaging_study") or None
            )
        except InvalidRequestError as error:
            raise _wrong(path, rows, f"cannot be used: {error.message}") from error
    return found


def _wrong(path: Path, rows: "csv.DictReader[str]", what: str) -> InvalidRequestError:
    return InvalidRequestError(f"--fhir-references {shown(path)}: line {rows.line_num} {what}")
