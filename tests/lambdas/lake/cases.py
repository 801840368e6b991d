"""Records as the pipeline leaves them in a bucket, and what DuckDB reads of a lake."""

import hashlib
from pathlib import Path
from typing import Any

import duckdb

from lambdas.lake.queries import duckdb_view
from lambdas.lake.rows import RecordRows, record_rows
from lambdas.shared.records import Record, Source, to_json
from tests.cxr.fakes import MODEL_SET, record_of

KEY = "images/SMITH^JOHN_1950/IM1.dcm"
OTHER_MODEL_SET = "f" * 16


def record(
    number: int = 0,
    kind: str = "abnormal",
    *,
    finished_at: str = "2026-02-03T10:00:00+00:00",
    model_set: str = MODEL_SET,
    **changes: Any,
) -> Record:
    """A record of an image in a bucket; numbers tell images apart."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    source = Source(bucket="intake", key=f"{KEY}{number}", version=f"v{number}", sha256=digest)
    made = record_of(source, kind, model_set=model_set)
    timings = {"finished_at": finished_at, "read_ms": 12.5}
    return made | {"timings": timings} | changes


def rows(*records: Record) -> list[RecordRows]:
    return [record_rows(to_json(each)) for each in records]


def ask(lake: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the lake's tables, by an engine that shares no code with the writer."""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for table in ("records", "findings"):
            database.execute(duckdb_view(table, str(lake)))
        return database.execute(sql).fetchall()
