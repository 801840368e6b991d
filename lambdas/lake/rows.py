"""From one record.json to its rows in the lake."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

Row = dict[str, Any]

READABLE_MAJOR_VERSION: Final = "1"
"""Of the record's schema: minor versions only add fields, which are null where they are absent."""


_IMAGE_ID: Final = re.compile("[0-9a-f]{32}")
_MODEL_SET: Final = re.compile("[0-9a-f]{16}")


class UnreadableRecordError(ValueError):
    """Not a record that this program knows; the message never quotes it."""


@dataclass(frozen=True, slots=True)
class RecordRows:
    """One record as rows.

    Attributes:
        model_set: 16 hex.
        date: Day it was finished, UTC.
        part: Which part of a partition the record belongs to: the first hex of its image_id, or
            `folder` for an image that lay in a folder. A record always goes to the same part, so
            that compacting it again replaces it.
        record: Row of `records`, keys included.
        findings: Rows of `findings`.
    """

    model_set: str
    date: date
    part: str
    record: Row
    findings: tuple[Row, ...]


def record_rows(content: bytes, *, record_uri: str | None = None) -> RecordRows:
    """Read a record.json.

    Args:
        content: Of the file; it was checked against the schema when it was written.
        record_uri: `s3://…` where it lies; None for a file in a folder.

    Raises:
        UnreadableRecordError: Says which part is wrong.
    """
    try:
        record = json.loads(content)
        version = record["schema_version"]
        if version.split(".")[0] != READABLE_MAJOR_VERSION:
            raise UnreadableRecordError(
                "a record of another major version; read it with the version that wrote it"
            )
        finished_at = datetime.fromisoformat(record["timings"]["finished_at"]).astimezone(UTC)
        image_id, source = record["image_id"], record["source"]
        if not _IMAGE_ID.fullmatch(image_id) or not _MODEL_SET.fullmatch(record["model_set"]):
            raise UnreadableRecordError("image_id or model_set is not one")  # they become paths
        findings = tuple(
            _finding_row(image_id, number, finding)
            for number, finding in enumerate(record["findings"], start=1)
        )
        return RecordRows(
            model_set=record["model_set"],
            date=finished_at.date(),
            part="folder" if source["bucket"] is None else image_id[0],
            record=_record_row(record, finished_at, record_uri),
            findings=findings,
        )
    except UnreadableRecordError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        name = f" {error}" if isinstance(error, KeyError) else ""
        raise UnreadableRecordError(f"not a record ({type(error).__name__}{name})") from None


def _record_row(record: Row, finished_at: datetime, record_uri: str | None) -> Row:
    triage, image = record["triage"] or {}, record["image"] or {}
    rejection, detection = record["rejection"] or {}, record["detection"] or {}
    code, source = triage.get("code") or {}, record["source"]
    models = {model["task"]: model for model in record["models"]}
    classifier, detector = models["classification"], models["detection"]
    row_mm, column_mm = image.get("pixel_spacing_mm") or (None, None)
    performed = detection.get("performed")
    return {
        "image_id": record["image_id"],
        "finished_at": finished_at,
        "schema_version": record["schema_version"],
        "status": record["status"],
        "rejection_code": rejection.get("code"),
        "rejection_message": rejection.get("message"),
        "label": triage.get("label"),
        "label_code_system": code.get("system"),
        "label_code": code.get("value"),
        "positive_label": triage.get("positive_label"),
        "positive": triage.get("positive"),
        "probability": triage.get("probability"),
        "threshold": triage.get("threshold"),
        "calibrated": triage.get("calibrated"),
        "detection_performed": performed,
        "detectable": detection.get("detectable"),
        "n_findings": len(record["findings"]) if performed else None,
        "image_format": image.get("format"),
        "width_px": image.get("width_px"),
        "height_px": image.get("height_px"),
        "bits_stored": image.get("bits_stored"),
        "photometric_interpretation": image.get("photometric_interpretation"),
        "view": image.get("view"),
        "row_spacing_mm": row_mm,
        "column_spacing_mm": column_mm,
        "transfer_syntax": image.get("transfer_syntax"),
        "size_bytes": image.get("size_bytes"),
        "sha256": source["sha256"],
        "classifier": classifier["name"],
        "classifier_version": classifier["version"],
        "classifier_trained_on": classifier["trained_on"]["kind"],
        "detector": detector["name"],
        "detector_version": detector["version"],
        "detector_trained_on": detector["trained_on"]["kind"],
        "timings_ms": {
            name: value for name, value in record["timings"].items() if name != "finished_at"
        },
        "record_uri": record_uri,
        "source_bucket": source["bucket"],
        "source_key": source["key"],
        "source_version": source["version"],
        "source_tags": record.get("source_tags") or {},
    }


def _finding_row(image_id: str, number: int, finding: Row) -> Row:
    code = finding["code"] or {}
    pixels, fractions = finding["box"], finding["box_normalised"]
    return {
        "image_id": image_id,
        "number": number,
        "finding": finding["label"],
        "code_system": code.get("system"),
        "code": code.get("value"),
        "code_meaning": code.get("meaning"),
        "score": finding["score"],
        "threshold": finding["threshold"],
        **{f"{edge}_px": value for edge, value in pixels.items()},
        **fractions,
    }
