"""Compact one part of the results into the lake: `{"part": "a", "days": 2}`; see `step.py`."""

import functools
import os
from datetime import UTC, datetime
from typing import Any

from lambdas.lake.step import LakeSettings, compact_part, parse_request
from lambdas.shared import telemetry
from lambdas.shared.function import warm
from lambdas.shared.storage import service_client, translated


@functools.cache
def _collaborators() -> tuple[LakeSettings, Any, Any]:
    settings = LakeSettings.from_env(os.environ)
    return settings, service_client("s3"), service_client("glue") if settings.database else None


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Compact, log the counts and return them."""
    settings, s3, glue = _collaborators()
    asked = parse_request(event, today=datetime.now(UTC).date())
    with translated("compacting records"):
        counts = compact_part(asked, settings=settings, s3=s3, glue=glue)
    telemetry.note("part compacted", part=str(asked.part), **counts)
    return counts


warm(_collaborators)
