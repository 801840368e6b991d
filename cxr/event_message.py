"""The address in an event `Radiograph Processed`, however it was wrapped on its way."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdas.shared.errors import InvalidRequestError

_ADDRESS: Final = re.compile(
    r"s3://(?P<bucket>[^/]+)/(?P<prefix>.*)(?P<model_set>[0-9a-f]{16})/(?P<image_id>[0-9a-f]{32})"
    r"/record\.json"
)
_WRAPPINGS: Final = ("body", "Body", "Message")
"""Where SQS (as Lambda and as the API give it) and SNS put what they carry, as text."""


@dataclass(frozen=True, slots=True)
class RecordAddress:
    """What an event names.

    Attributes:
        bucket: Of the results.
        prefix: Up to and with `results/`.
        model_set: 16 hex.
        image_id: 32 hex.
    """

    bucket: str
    prefix: str
    model_set: str
    image_id: str


def read_address(event: Mapping[str, Any]) -> RecordAddress:
    """Where the record lies that an event tells of.

    Args:
        event: EventBridge's event, its detail alone, a message of SNS or SQS that carries it, or
            what Lambda is given by SNS or SQS, if it holds one message.

    Raises:
        InvalidRequestError: It tells of no record.
    """
    detail = _detail(event)
    found = _ADDRESS.fullmatch(str(detail.get("record"))) if detail else None
    if found is None:
        raise InvalidRequestError(
            "this is no event `Radiograph Processed`: it names no record; route only those here"
        )
    return RecordAddress(**found.groupdict())


def _detail(event: Any, depth: int = 4) -> Mapping[str, Any] | None:
    """The event's detail, unwrapped."""
    if isinstance(event, str):
        try:
            event = json.loads(event)
        except ValueError:
            return None
    if not isinstance(event, Mapping) or depth == 0:
        return None
    if isinstance(event.get("detail"), Mapping):
        detail: Mapping[str, Any] = event["detail"]
        return detail
    if "record" in event:
        return event
    records = event.get("Records")
    if isinstance(records, list):
        if len(records) != 1:
            raise InvalidRequestError(
                f"{len(records)} messages in one event; give them one by one, from `Records`"
            )
        return _detail(records[0].get("Sns", records[0]), depth - 1)
    for name in _WRAPPINGS:
        if name in event:
            return _detail(event[name], depth - 1)
    return None
