"""Rows into one file: Parquet, CSV or JSON lines; or into a lake, in a folder or a bucket."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from cxr.aws import Cloud, translated
from cxr.keys import shown
from cxr.record_source import SCHEME, RecordSource
from cxr.summary_csv import cell
from lambdas.lake.bucket import READERS, BucketLake
from lambdas.lake.folder import FolderLake
from lambdas.lake.layout import Lake, Scope
from lambdas.lake.rows import RecordRows, Row
from lambdas.lake.tables import Column, Table, columns
from lambdas.shared.errors import ConfigError, InvalidRequestError, StorageUnavailableError

if TYPE_CHECKING:
    from lambdas.lake.compact import Compacted

PARQUET: Final = ".parquet"
CSV: Final = ".csv"
JSON_LINES: Final = ".jsonl"
FILE_KINDS: Final = (PARQUET, CSV, JSON_LINES)

_INSTALL: Final = "python -m pip install -e '.[lake]'"


class RowWriter(Protocol):
    """Writes rows one after the other."""

    def add(self, row: Row) -> None:
        """One row."""

    def close(self) -> None:
        """The end."""


@dataclass(frozen=True, slots=True)
class FileTarget:
    """One file.

    Attributes:
        path: Its suffix says how it is written.
        table: Which rows it has.
        with_keys: Whether with columns that may identify a patient.
    """

    path: Path
    table: Table
    with_keys: bool


def is_file_target(to: str) -> bool:
    """Whether `--to` names a file rather than a lake.

    Raises:
        InvalidRequestError: It names a file of another kind, or one in a bucket.
    """
    suffix = Path(to).suffix.lower()
    if suffix in FILE_KINDS:
        if to.startswith(SCHEME):
            raise InvalidRequestError(
                "a single file is written on this machine; copy it to the bucket afterwards, or "
                "name a prefix such as s3://bucket/lake/"
            )
        return True
    if suffix and not to.endswith("/") and not to.startswith(SCHEME) and not Path(to).is_dir():
        raise InvalidRequestError(
            f"--to {shown(to)} is no {', '.join(FILE_KINDS)}; a folder's name ends with /"
        )
    return False


def write_file(rows: Iterable[RecordRows], target: FileTarget) -> int:
    """Write the rows of all records; returns how many.

    Raises:
        ConfigError: Parquet is asked for, and pyarrow is not installed.
        StorageUnavailableError: The file cannot be written; what was there is as it was.
    """
    count = 0
    with _replacing(target.path) as file:
        writer = _writer(file, target)
        for record in rows:
            day = {"model_set": record.model_set, "date": record.date}
            for row in (record.record,) if target.table == "records" else record.findings:
                writer.add(day | row)
                count += 1
        writer.close()
    return count


def open_lake(to: str, cloud: Cloud) -> Lake:
    """The lake at a folder or an address.

    Raises:
        ConfigError: pyarrow is not installed, or AWS cannot be asked.
        InvalidRequestError: The address names no bucket.
    """
    _require_pyarrow()
    if not to.startswith(SCHEME):
        return FolderLake(Path(to))
    bucket, _, prefix = to.removeprefix(SCHEME).partition("/")
    prefix = prefix.strip("/")
    if not bucket or not prefix:
        raise InvalidRequestError(f"--to {shown(to)} names no place, expected s3://bucket/lake/")
    return BucketLake(cloud.client("s3", connections=READERS), bucket, f"{prefix}/")


def write_lake(
    source: RecordSource,
    scope: Scope,
    *,
    lake: Lake,
    with_keys: bool,
    watch: Callable[[Iterator[RecordRows]], Iterator[RecordRows]],
) -> "Compacted":
    """Compact a source into a lake, piece by piece; sums over all.

    Args:
        source: Of the records.
        scope: Of the model set and days in question; all others stay as they are.
        lake: Where to.
        with_keys: Whether with columns that may identify a patient.
        watch: Sees the rows pass.

    Raises:
        StorageUnavailableError: The lake cannot be written; what is there is whole.
    """
    from lambdas.lake.compact import Compacted, compact

    total = Compacted()
    with _writable("the lake"), translated("writing the lake", needs="s3:PutObject"):
        for piece in source.pieces(scope):
            done = compact(watch(source.rows(piece)), lake=lake, scope=piece, with_keys=with_keys)
            total = Compacted(
                records=total.records + done.records,
                findings=total.findings + done.findings,
                written=total.written + done.written,
                removed=total.removed + done.removed,
                size_bytes=total.size_bytes + done.size_bytes,
            )
    return total


class _CsvWriter:
    """UTF-8, comma, one header line; lists and maps as JSON, empty where nothing applies."""

    def __init__(self, file: BinaryIO, chosen: tuple[Column, ...]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._names = [column.name for column in chosen]
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(self._names)

    def add(self, row: Row) -> None:
        self._rows.writerow([cell(_flat(row[name])) for name in self._names])

    def close(self) -> None:
        self._text.detach()


class _JsonLinesWriter:
    """One object a line, null where nothing applies."""

    def __init__(self, file: BinaryIO, chosen: tuple[Column, ...]) -> None:
        self._file = file
        self._names = [column.name for column in chosen]

    def add(self, row: Row) -> None:
        line = json.dumps({name: row[name] for name in self._names}, default=_iso)
        self._file.write(line.encode() + b"\n")

    def close(self) -> None:
        pass


def _writer(file: BinaryIO, target: FileTarget) -> RowWriter:
    chosen = columns(target.table, with_keys=target.with_keys, partitioned=False)
    suffix = target.path.suffix.lower()
    if suffix == CSV:
        return _CsvWriter(file, chosen)
    if suffix == JSON_LINES:
        return _JsonLinesWriter(file, chosen)
    _require_pyarrow()
    from lambdas.lake.parquet import TableWriter

    return TableWriter(file, chosen)


def _require_pyarrow() -> None:
    try:
        import lambdas.lake.parquet  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"Parquet needs pyarrow, which is not installed: {_INSTALL}") from error


def _flat(value: Any) -> Any:
    """A value as one cell."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return _iso(value) if isinstance(value, date) else value


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another when it is whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with _writable(shown(path)):
        try:
            with partial.open("xb") as file:
                yield file
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _writable(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(
            f"{what} cannot be written: {error.strerror or error}"
        ) from error
