"""The report stage: a record and its radiograph in, the files beside record.json out."""

from lambdas.report.pdf import render_pdf
from lambdas.report.thumbnail import render_thumbnail
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import REPORT_FILE, THUMBNAIL_FILE, Record


def report(
    record: Record,
    *,
    radiograph: Radiograph | None,
    data: bytes | None = None,
    formats: frozenset[str] = frozenset(),
) -> dict[str, bytes]:
    """Content of each file by its name.

    Args:
        record: From `analysed_record` or `rejected_record`; not changed.
        radiograph: What the models saw; None for a rejected image.
        data: The source file; only DICOM formats look at it.
        formats: Optional outputs, from `formats.parse_formats`.

    Raises:
        ValueError: An analysed record without its radiograph.
        InvalidRequestError: A format cannot be made yet.
    """
    if formats:
        raise InvalidRequestError(f"not available yet: {', '.join(sorted(formats))}")
    pixels = radiograph.pixels if radiograph else None
    return {
        REPORT_FILE: render_pdf(record, pixels=pixels),
        THUMBNAIL_FILE: render_thumbnail(record, pixels=pixels),
    }
