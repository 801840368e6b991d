"""Many records into the few files of the lake; run again, it replaces what it wrote before.

A record's model set, date and part follow from the record alone, so each record has one place, and
a part is always written whole. Memory: rows that wait (at most `MAX_WAITING_ROWS`) and what is
compressed already, beyond `SPOOL_BYTES` a file on disk.
"""

import io
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import BinaryIO, Final, Self, cast

from lambdas.lake.layout import Lake, Part, Scope
from lambdas.lake.parquet import TableWriter
from lambdas.lake.rows import RecordRows, Row
from lambdas.lake.tables import Table, columns

MAX_WAITING_ROWS: Final = 100_000
"""Over all open files; about 100 MB."""

SPOOL_BYTES: Final = 8 * 1024 * 1024
"""A file that outgrows this goes to disk until it is put where it belongs."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction came to.

    Attributes:
        records: Rows written.
        findings: Rows written.
        written: Files.
        removed: Files that nothing stands behind any more.
        size_bytes: Of the files written.
        partitions: (model_set, date) of the files written.
    """

    records: int = 0
    findings: int = 0
    written: int = 0
    removed: int = 0
    size_bytes: int = 0
    partitions: tuple[tuple[str, date], ...] = field(default=(), repr=False)


def compact(
    rows: Iterable[RecordRows], *, lake: Lake, scope: Scope, with_keys: bool = False
) -> Compacted:
    """Write the rows as the lake's files.

    Args:
        rows: Each record once; those outside the scope are left out.
        lake: Where to.
        scope: What the rows are all of.
        with_keys: Whether columns that may identify a patient are wanted.
    """
    n_records = n_findings = size_bytes = 0
    with _Files(with_keys=with_keys) as files:
        for row in rows:
            if not scope.holds(row.model_set, row.part, row.date):
                continue
            n_records += 1
            n_findings += len(row.findings)
            files.add("records", row, (row.record,))
            files.add("findings", row, row.findings)
        for part, file in files.finished():
            size_bytes += file.seek(0, io.SEEK_END)
            file.seek(0)
            lake.put(part.path, file)
        written = files.parts
    removed = 0
    for path in list(lake.paths(scope.model_set)):
        found = Part.from_path(path)
        if found is None or found in written:
            continue
        if scope.holds(found.model_set, found.name, found.date):
            lake.remove(path)
            removed += 1
    return Compacted(
        records=n_records,
        findings=n_findings,
        written=len(written),
        removed=removed,
        size_bytes=size_bytes,
        partitions=tuple(sorted({(part.model_set, part.date) for part in written})),
    )


class _Files:
    """Files that are being written, one for each part that has rows; a context manager."""

    def __init__(self, *, with_keys: bool) -> None:
        self._with_keys = with_keys
        self._open: dict[Part, tuple[BinaryIO, TableWriter]] = {}
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for file, _ in self._open.values():
            file.close()

    @property
    def parts(self) -> frozenset[Part]:
        """Those begun."""
        return frozenset(self._open)

    def add(self, table: Table, record: RecordRows, rows: Iterable[Row]) -> None:
        """Add rows of a record to their file."""
        part = Part(table, record.model_set, record.date, record.part)
        for row in rows:
            if part not in self._open:
                file = cast("BinaryIO", tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115
                self._open[part] = (
                    file,
                    TableWriter(file, columns(table, with_keys=self._with_keys)),
                )
            writer = self._open[part][1]
            before = len(writer)
            writer.add(row)
            self._waiting += len(writer) - before
        if self._waiting >= MAX_WAITING_ROWS:
            fullest = max((writer for _, writer in self._open.values()), key=len)
            self._waiting -= len(fullest)
            fullest.flush()

    def finished(self) -> Iterator[tuple[Part, BinaryIO]]:
        """Each file, whole; lets go of it afterwards."""
        for part, (file, writer) in sorted(self._open.items(), key=lambda item: item[0]):
            writer.close()
            yield part, file
            file.close()
