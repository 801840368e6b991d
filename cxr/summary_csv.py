"""summary.csv: one row for each record, for spreadsheets and scripts.

Cells that a spreadsheet would take for a formula get a leading apostrophe: file names and messages
come from images, and whoever made those must not run anything here.
"""

import csv
import io
from collections.abc import Sequence
from typing import Final

from cxr.keys import shown
from cxr.results import Result

COLUMNS: Final = (
    "key",
    "image_id",
    "status",
    "label",
    "probability",
    "threshold",
    "calibrated",
    "n_findings",
    "findings",
    "rejection_code",
    "rejection_message",
    "width_px",
    "height_px",
    "view",
    "model_set",
    "record",
)

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def summary_csv(results: Sequence[Result]) -> bytes:
    """The file's content: UTF-8, comma, one header line; empty where a value does not apply."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        writer.writerow(cell(value) for value in _values(result))
    return text.getvalue().encode()


def _values(result: Result) -> tuple[object, ...]:
    return (
        result.key,
        result.image_id,
        result.status,
        result.label,
        result.probability,
        result.threshold,
        result.calibrated,
        len(result.findings) if result.detected else None,
        "; ".join(f"{label} {score:.2f}" for label, score in result.findings),
        result.rejection_code,
        result.rejection_message,
        result.width_px,
        result.height_px,
        result.view,
        result.model_set,
        result.record_path,
    )


def cell(value: object) -> object:
    """A value as a cell that no spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
