"""Compact results into the lake: `{"days": 2}`, or `{"part": "a"}` alone; see `step.py`."""

import functools
import os
from datetime import UTC, datetime
from typing import Any

from lambdas.lake.step import LakeSettings, compact_results, parse_request
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
        counts = compact_results(asked, settings=settings, s3=s3, glue=glue)
    telemetry.note("compacted", part=asked.part or "all", **counts)
    return counts


warm(_collaborators)
