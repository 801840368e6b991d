"""The event `Radiograph Processed`: what the world is told of an image that has its record.

event.schema.json is the contract of the event's detail. It admits no free text but the
classifier's label, and a record's address made of digests, so that no key and no patient tag can
pass.
"""

import functools
import json
from pathlib import Path
from typing import Any, Final

import jsonschema

from lambdas.shared.errors import ContractError
from lambdas.shared.records import Record

EVENT_SOURCE: Final = "cxr-batch"
EVENT_DETAIL_TYPE: Final = "Radiograph Processed"

EVENT_VERSION: Final = "1.0.0"
"""Of event.schema.json."""


def processed_event(record: Record, *, record_uri: str) -> dict[str, Any]:
    """Detail of the event that an image has its final record.

    Args:
        record: Final, as it was written.
        record_uri: Where: `s3://<bucket>/results/<model_set>/<image_id>/record.json`.

    Raises:
        ContractError: The detail would break event.schema.json; names the fields, not their
            content, since that may be a key.
    """
    triage = record["triage"] or {}
    detail = {
        "schema_version": EVENT_VERSION,
        "image_id": record["image_id"],
        "model_set": record["model_set"],
        "status": record["status"],
        "label": triage.get("label"),
        "positive": triage.get("positive"),
        "record": record_uri,
    }
    wrong = {problem.json_path for problem in event_validator().iter_errors(detail)}
    expected_end = f"/{record['model_set']}/{record['image_id']}/record.json"
    if not record_uri.endswith(expected_end):
        wrong.add("$.record")
    if wrong:
        raise ContractError(f"event would break its schema at {', '.join(sorted(wrong))}")
    return detail


@functools.cache
def event_validator() -> jsonschema.Draft202012Validator:
    """Validator of event.schema.json, for those who send and those who receive."""
    schema = json.loads(Path(__file__).with_name("event.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)
