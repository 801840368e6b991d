"""Where `cxr results` and the client read records: a folder, or a bucket of results."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from cxr.aws import Cloud, translated
from cxr.keys import shown
from lambdas.lake.bucket import PARTS, READERS, BucketRecords
from lambdas.lake.folder import record_files
from lambdas.lake.layout import Scope
from lambdas.lake.rows import RecordRows, UnreadableRecordError, record_rows
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import RESULTS_PREFIX

SCHEME: Final = "s3://"


class RecordSource(Protocol):
    """A place of records.

    Attributes:
        unreadable: What is called record.json and is none, with the reason; grows while reading.
    """

    unreadable: list[tuple[str, str]]

    def pieces(self, scope: Scope) -> Iterator[Scope]:
        """The scope, cut into what is read and, in a lake, replaced at a time."""

    def rows(self, piece: Scope) -> Iterator[RecordRows]:
        """The records within a piece."""


class FolderSource:
    """Records anywhere below a folder.

    Args:
        root: The folder.

    Raises:
        InvalidRequestError: There is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InvalidRequestError(
                f"there is no folder {shown(root)}; name one that `cxr analyze --out` wrote, or "
                "s3://bucket/results/"
            )
        self._root = root
        self.unreadable: list[tuple[str, str]] = []

    def pieces(self, scope: Scope) -> Iterator[Scope]:
        """All at once."""
        yield scope

    def rows(self, piece: Scope) -> Iterator[RecordRows]:
        """Each record below."""
        for path in record_files(self._root):
            try:
                row = record_rows(path.read_bytes())
            except (UnreadableRecordError, OSError) as error:
                name = path.relative_to(self._root).as_posix()
                self.unreadable.append((name, getattr(error, "strerror", None) or str(error)))
                continue
            if piece.holds(row.model_set, row.part, row.date):
                yield row


class BucketSource:
    """Records of a bucket, part by part.

    Args:
        s3: boto3's client.
        bucket: Name.
        prefix: Up to and with `results/`.
    """

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._records = BucketRecords(s3, bucket, prefix)
        self.unreadable = self._records.unreadable

    def pieces(self, scope: Scope) -> Iterator[Scope]:
        """Each part of each model set."""
        with translated("listing results", needs="s3:ListBucket"):
            chosen = [scope.model_set] if scope.model_set else self._records.model_sets()
        for model_set in chosen:
            for part in PARTS:
                yield Scope(model_set, part, scope.since, scope.until)

    def contents(self, scope: Scope) -> Iterator[tuple[str, bytes]]:
        """Key and content of every record that may be within the scope."""
        for piece in self.pieces(scope):
            with translated("reading results", needs="s3:ListBucket and s3:GetObject"):
                yield from self._records.contents(piece)

    def rows(self, piece: Scope) -> Iterator[RecordRows]:
        """The records of one part of one model set."""
        with translated("reading results", needs="s3:ListBucket and s3:GetObject"):
            for row in self._records.rows(piece):
                if piece.holds(row.model_set, row.part, row.date):
                    yield row


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """What an address of results names.

    Attributes:
        bucket: Name.
        prefix: Up to and with `results/`.
        model_set: If the address goes on to one.
    """

    bucket: str
    prefix: str
    model_set: str | None


def parse_bucket_place(address: str) -> BucketPlace:
    """Read `s3://bucket`, `s3://bucket/results/` or `s3://bucket/results/<model set>/`.

    Raises:
        InvalidRequestError: It names no bucket.
    """
    bucket, _, path = address.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise InvalidRequestError(
            f"{shown(address)} names no bucket, expected s3://bucket/results/"
        )
    before, found, after = f"/{path.strip('/')}/".rpartition(f"/{RESULTS_PREFIX}")
    if not found:
        path = path.strip("/")
        return BucketPlace(bucket, f"{path}/{RESULTS_PREFIX}" if path else RESULTS_PREFIX, None)
    return BucketPlace(
        bucket, f"{before}/{RESULTS_PREFIX}".lstrip("/"), after.partition("/")[0] or None
    )


def open_source(place: str, cloud: Cloud) -> tuple[RecordSource, str | None]:
    """The records at a folder or an address, and the model set that the address names.

    Raises:
        InvalidRequestError: There is no such place.
        ConfigError: AWS cannot be asked.
    """
    if not place.startswith(SCHEME):
        return FolderSource(Path(place)), None
    found = parse_bucket_place(place)
    s3 = cloud.client("s3", connections=READERS)
    return BucketSource(s3, found.bucket, found.prefix), found.model_set
