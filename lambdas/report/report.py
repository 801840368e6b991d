"""The report stage: a record and its radiograph in, the files beside record.json out."""

from datetime import datetime

from lambdas.report.fhir_references import NOBODY, FhirReferences
from lambdas.report.formats import (
    DICOM_FORMATS,
    DICOM_GSPS,
    DICOM_PDF,
    DICOM_SR,
    FHIR,
    FORMAT_FILES,
    check_libraries,
    left_out,
)
from lambdas.report.pdf import render_pdf
from lambdas.report.thumbnail import render_thumbnail
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import REPORT_FILE, THUMBNAIL_FILE, Record


def report(
    record: Record,
    *,
    radiograph: Radiograph | None,
    data: bytes | None = None,
    formats: frozenset[str] = frozenset(),
    references: FhirReferences = NOBODY,
    written_at: datetime | None = None,
) -> dict[str, bytes]:
    """Content of each file by its name.

    Args:
        record: From `analysed_record` or `rejected_record`; not changed.
        radiograph: What the models saw; None for a rejected image.
        data: The source file; only DICOM formats of a DICOM image look at it.
        formats: Optional outputs, from `formats.parse_formats`. Those that `formats.left_out`
            names are not made; the caller puts its answer into the record.
        references: Whom a FHIR output is about.
        written_at: For the times within DICOM and FHIR outputs; None for now, local.

    Raises:
        ValueError: An analysed record without its radiograph, or a DICOM image's without its file.
        ConfigError: A library that a format needs is not installed.
    """
    check_libraries(formats)
    pixels = radiograph.pixels if radiograph else None
    files = {
        REPORT_FILE: render_pdf(record, pixels=pixels),
        THUMBNAIL_FILE: render_thumbnail(record, pixels=pixels),
    }
    without = {entry["format"] for entry in left_out(record, data=data, formats=formats)}
    wanted = formats - without
    written_at = written_at or datetime.now().astimezone()
    if data is not None and wanted & DICOM_FORMATS:
        files |= _dicom_files(record, data, wanted, pdf=files[REPORT_FILE], written_at=written_at)
    if FHIR in wanted:
        # imported here: inference without this format needs no library for it
        from lambdas.report.fhir import fhir_bundle

        files[FORMAT_FILES[FHIR]] = fhir_bundle(
            record,
            pdf=files[REPORT_FILE],
            references=references,
            written_at=written_at,
        )
    return files


def _dicom_files(
    record: Record, data: bytes, wanted: frozenset[str], *, pdf: bytes, written_at: datetime
) -> dict[str, bytes]:
    # imported here, as above
    from lambdas.report.dicom_context import read_context

    context = read_context(data)
    files: dict[str, bytes] = {}
    if DICOM_SR in wanted:
        from lambdas.report.dicom_sr import structured_report

        files[FORMAT_FILES[DICOM_SR]] = structured_report(record, context, written_at=written_at)
    if DICOM_GSPS in wanted:
        from lambdas.report.presentation_state import presentation_state

        files[FORMAT_FILES[DICOM_GSPS]] = presentation_state(record, context, written_at=written_at)
    if DICOM_PDF in wanted:
        from lambdas.report.encapsulated_pdf import encapsulated_pdf

        files[FORMAT_FILES[DICOM_PDF]] = encapsulated_pdf(
            record, context, pdf=pdf, written_at=written_at
        )
    return files
