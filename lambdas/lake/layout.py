"""Where the lake's files lie, and which of them a compaction answers for.

<lake>/records/model_set=<16 hex>/date=<YYYY-MM-DD>/part-<part>.parquet
<lake>/findings/…the same
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO, Protocol, cast

from lambdas.lake.tables import Table


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One file of the lake.

    Attributes:
        table: Name.
        model_set: 16 hex.
        date: Of its records.
        name: One hex digit, or `folder` (`RecordRows.part`).
    """

    table: Table
    model_set: str
    date: date
    name: str

    @property
    def path(self) -> str:
        """Below the lake, `/` between its parts."""
        return (
            f"{self.table}/model_set={self.model_set}/date={self.date.isoformat()}"
            f"/part-{self.name}.parquet"
        )

    @classmethod
    def from_path(cls, path: str) -> "Part | None":
        """Read a path below the lake; None for a file that is no part."""
        try:
            table, model_set, day, file = path.split("/")
            part = cls(
                cast("Table", table),
                model_set.removeprefix("model_set="),
                date.fromisoformat(day.removeprefix("date=")),
                file.removeprefix("part-").removesuffix(".parquet"),
            )
        except ValueError:
            return None
        return part if part.path == path and table in ("records", "findings") else None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of a lake a compaction answers for: what it does not find there is removed.

    Attributes:
        model_set: None for all.
        part: None for all.
        since: First day; None for all before as well.
        until: Last day; None for all after as well.
    """

    model_set: str | None = None
    part: str | None = None
    since: date | None = None
    until: date | None = None

    def holds(self, model_set: str, part: str, day: date) -> bool:
        """Whether a record or file with these is meant."""
        return (
            self.model_set in (None, model_set)
            and self.part in (None, part)
            and (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
        )


class Lake(Protocol):
    """Where the files go."""

    def paths(self, model_set: str | None) -> Iterable[str]:
        """Every file below the lake, of one model set or of all."""

    def put(self, path: str, file: BinaryIO) -> None:
        """Write or replace a file, at once or not at all."""

    def remove(self, path: str) -> None:
        """Remove a file."""
