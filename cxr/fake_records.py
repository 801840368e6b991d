"""What becomes of a fake client's images: whole records, valid under the record's schema."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cxr.client_types import ImageResult, parse_result
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import (
    RECORD_FILE,
    REPORT_FILE,
    SCHEMA_VERSION,
    Record,
    Source,
    record_validator,
    result_key,
    to_json,
)

BUCKET: Final = "fake-results"
MODEL_SET: Final = "fa4efa4efa4efa4e"
WIDTH_PX: Final = 2500
HEIGHT_PX: Final = 3000
FINISHED_AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DETECTABLE: Final = (
    "Aortic atheromatosis",
    "Aortic elongation",
    "Cardiomegaly",
    "Scoliosis",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What shall become of an image; made by the functions of this module.

    Attributes:
        content: Part of the record; None for an image that stays pending.
    """

    content: Mapping[str, Any] | None


def normal(*, probability: float = 0.1) -> Answer:
    """Analysed, negative; findings are not looked for."""
    return _analysed("Normal", positive=False, probability=probability, findings=None)


def abnormal(*findings: tuple[str, float], probability: float = 0.9) -> Answer:
    """Analysed, positive, with these findings: label and score, highest score first.

    Each finding has a box of its own within the image; none means that none was localised.
    """
    return _analysed("Abnormal", positive=True, probability=probability, findings=findings)


def rejected(
    code: str = "not_frontal",
    message: str = "ViewPosition is 'LL', expected a frontal view (PA or AP)",
) -> Answer:
    """Not analysed, with the reason."""
    return Answer({"status": "rejected", "rejection": {"code": code, "message": message}})


def pending() -> Answer:
    """No result, however long one waits."""
    return Answer(None)


def _analysed(
    label: str,
    *,
    positive: bool,
    probability: float,
    findings: tuple[tuple[str, float], ...] | None,
) -> Answer:
    ordered = sorted(findings or (), key=lambda finding: -finding[1])
    content = {
        "status": "analysed",
        "image": {
            "format": "dicom",
            "width_px": WIDTH_PX,
            "height_px": HEIGHT_PX,
            "bits_stored": 12,
            "photometric_interpretation": "MONOCHROME2",
            "view": "PA",
            "pixel_spacing_mm": [0.143, 0.143],
            "patient_orientation": ["L", "F"],
            "transfer_syntax": "1.2.840.10008.1.2.1",
            "size_bytes": 2 * WIDTH_PX * HEIGHT_PX,
            "sha256": "0" * 64,
        },
        "triage": {
            "label": label,
            "code": None,
            "positive_label": "Abnormal",
            "positive": positive,
            "probability": probability,
            "threshold": 0.5,
            "calibrated": True,
        },
        "detection": {
            "performed": findings is not None,
            "detectable": sorted({*DETECTABLE, *(name for name, _ in ordered)}),
        },
        "findings": [_finding(name, score, place) for place, (name, score) in enumerate(ordered)],
    }
    return Answer(content)


def _finding(label: str, score: float, place: int) -> Record:
    corner = round(0.1 + 0.05 * (place % 10), 6)
    box = {"x_min": corner, "y_min": corner, "x_max": 0.8, "y_max": 0.7}
    sizes = {"x": WIDTH_PX, "y": HEIGHT_PX}
    return {
        "label": label,
        "code": None,
        "score": score,
        "threshold": 0.5,
        "box": {edge: round(value * sizes[edge[0]], 1) for edge, value in box.items()},
        "box_normalised": box,
    }


def fake_result(source: Source, content: Mapping[str, Any]) -> ImageResult:
    """The result of an image, its record checked against the schema."""
    record: Record = {
        "schema_version": SCHEMA_VERSION,
        "image_id": source.image_id,
        "model_set": MODEL_SET,
        "source": {
            "bucket": source.bucket,
            "key": source.key,
            "version": source.version,
            "sha256": source.sha256,
        },
        "source_tags": {},
        "image": None,
        "status": "rejected",
        "rejection": None,
        "triage": None,
        "detection": None,
        "findings": [],
        "models": [
            {
                "task": task,
                "name": "fake",
                "version": "1.0.0",
                "architecture": "none",
                "sha256": "0" * 64,
                "trained_on": {"kind": "nothing", "description": "a fake"},
            }
            for task in ("classification", "detection")
        ],
        "warnings": ["Not a result: the client is a fake."],
        "outputs": {"report": REPORT_FILE},
        "left_out": [],
        "timings": {"finished_at": FINISHED_AT.isoformat(timespec="seconds")},
    } | dict(content)
    if record["image"]:
        record["image"] = record["image"] | {"sha256": source.sha256}
    record_validator().validate(record)
    key = result_key(MODEL_SET, source.image_id, RECORD_FILE)
    return parse_result(
        to_json(record),
        address=f"s3://{BUCKET}/{key}",
        read=functools.partial(_file, record),
    )


def _file(record: Record, name: str) -> bytes:
    """The report, drawn when it is asked for."""
    import numpy as np

    from lambdas.report.pdf import render_pdf

    if name != REPORT_FILE:
        raise InvalidRequestError(f"a fake result has no {name}")
    pixels = None if record["status"] == "rejected" else np.full((600, 500), 0.5, np.float32)
    return render_pdf(record, pixels=pixels)
