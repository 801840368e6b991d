"""What the lake's function does: one part of the results, or all of them one after the other.

All at once is for a night's few; an archive's many are compacted side by side, part by part.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from lambdas.lake.bucket import PARTS, BucketLake, BucketRecords
from lambdas.lake.catalog import register_partitions
from lambdas.lake.compact import compact
from lambdas.lake.layout import Scope
from lambdas.lake.tables import TABLES
from lambdas.shared.errors import ConfigError, InvalidRequestError
from lambdas.shared.records import RESULTS_PREFIX

LAKE_PREFIX: Final = "lake/"
"""Within the results bucket."""

_MODEL_SET: Final = re.compile("[0-9a-f]{16}")
_KNOWN: Final = frozenset({"part", "model_set", "since", "days", "retry_count"})


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """What the lake's function must know.

    Attributes:
        results_bucket: Of records and lake.
        database: Of Glue's catalogue; None to tell no catalogue.
        with_keys: Whether the lake has columns that may identify a patient.
    """

    results_bucket: str
    database: str | None
    with_keys: bool

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "LakeSettings":
        """Read and check the variables.

        Raises:
            ConfigError: Lists every variable that is missing or has a wrong value.
        """
        problems = []
        bucket = environ.get("CXR_RESULTS_BUCKET", "")
        if not bucket:
            problems.append("CXR_RESULTS_BUCKET is missing")
        with_keys = environ.get("CXR_LAKE_WITH_KEYS", "false")
        if with_keys not in ("true", "false"):
            problems.append(f"CXR_LAKE_WITH_KEYS is {with_keys!r}, expected true, false")
        if problems:
            raise ConfigError("environment of the function: " + "; ".join(problems))
        return cls(bucket, environ.get("CXR_LAKE_DATABASE") or None, with_keys == "true")


def parse_request(event: Mapping[str, Any], *, today: date) -> Scope:
    """What an invocation asks for.

    Args:
        event: All optional: `part`, one hex digit; `model_set`; and either `since`, a date, or
            `days`, of which today is the last. Earlier days stay as they are. A state machine's
            `retry_count` changes nothing.
        today: In UTC.

    Raises:
        InvalidRequestError: Says which of them is wrong.
    """
    if unknown := sorted(set(event) - _KNOWN):
        raise InvalidRequestError(f"unknown {unknown}; known are {sorted(_KNOWN)}")
    part, model_set = event.get("part"), event.get("model_set")
    if part is not None and part not in PARTS:
        raise InvalidRequestError(f"part is {part!r}, expected one hex digit")
    if model_set is not None and not _MODEL_SET.fullmatch(str(model_set)):
        raise InvalidRequestError(f"model_set is {model_set!r}, expected 16 hex digits")
    days, since = event.get("days"), event.get("since")
    if days is not None and since is not None:
        raise InvalidRequestError("days and since are given; name one of them")
    if days is not None:
        if not isinstance(days, int) or isinstance(days, bool) or days < 1:
            raise InvalidRequestError(f"days is {days!r}, expected a whole number from 1")
        return Scope(model_set, part, since=today - timedelta(days=days - 1))
    try:
        first = None if since is None else date.fromisoformat(since)
    except (TypeError, ValueError):
        raise InvalidRequestError(f"since is {since!r}, expected YYYY-MM-DD") from None
    return Scope(model_set, part, since=first)


def compact_results(
    asked: Scope, *, settings: LakeSettings, s3: Any, glue: Any = None
) -> dict[str, int]:
    """Compact the parts of the model sets that are asked for; counts over all of them.

    Args:
        asked: From `parse_request`.
        settings: Of the function.
        s3: boto3's client.
        glue: boto3's client; not used without a database.
    """
    records = BucketRecords(s3, settings.results_bucket, RESULTS_PREFIX)
    lake = BucketLake(s3, settings.results_bucket, LAKE_PREFIX)
    counts = {"records": 0, "findings": 0, "written": 0, "removed": 0}
    for model_set in [asked.model_set] if asked.model_set else records.model_sets():
        partitions: set[tuple[str, date]] = set()
        for part in [asked.part] if asked.part else PARTS:
            scope = Scope(model_set, part, asked.since)
            done = compact(
                records.rows(scope), lake=lake, scope=scope, with_keys=settings.with_keys
            )
            partitions.update(done.partitions)
            for name in counts:
                counts[name] += getattr(done, name)
        for table in TABLES if settings.database else ():
            register_partitions(
                glue,
                database=settings.database or "",
                table=table,
                location=f"s3://{settings.results_bucket}/{LAKE_PREFIX}{table}/",
                partitions=sorted(partitions),
            )
    return counts | {"unreadable": len(records.unreadable)}
