"""Records and a lake in S3: listed by part, read many at a time.

Records lie at `results/<model set>/<image id>/record.json`; an image id is hexadecimal, so each
of the sixteen first digits leads to one sixteenth of them, whichever they are.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from typing import Any, BinaryIO, Final, TypeVar

from lambdas.lake.layout import Scope
from lambdas.lake.rows import RecordRows, UnreadableRecordError, record_rows
from lambdas.shared.records import RECORD_FILE

PARTS: Final = tuple("0123456789abcdef")
"""What a bucket's records are divided into; parts can be compacted at the same time."""

READERS: Final = 32
"""Objects read at once: each waits 10 to 30 ms for S3, and takes about 2 ms of processor."""

CLOCKS_APART: Final = timedelta(hours=1)
"""Far more than the clocks of a function and of S3 ever differ."""

_AHEAD: Final = 4 * READERS
"""Records read before they are asked for; about 5 kB each."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class BucketLake:
    """A lake below a prefix of a bucket.

    Args:
        s3: boto3's client.
        bucket: Name.
        prefix: With a slash at its end; may be empty.
    """

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix

    def paths(self, model_set: str | None) -> Iterator[str]:
        """Every file below, of one model set or of all."""
        for table in ("records", "findings"):
            chosen = f"{table}/model_set={model_set}/" if model_set else f"{table}/"
            for key, _ in _objects(self._s3, self._bucket, self._prefix + chosen):
                yield key.removeprefix(self._prefix)

    def put(self, path: str, file: BinaryIO) -> None:
        """Write or replace an object."""
        self._s3.upload_fileobj(
            file,
            self._bucket,
            self._prefix + path,
            ExtraArgs={"ContentType": "application/vnd.apache.parquet"},
        )

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + path)


class BucketRecords:
    """The records below a prefix of a bucket.

    Args:
        s3: boto3's client, with room for `READERS` connections.
        bucket: Name.
        prefix: Up to and with `results/`.

    Attributes:
        unreadable: Objects called record.json that are none, by their key, which holds digests
            alone; grows while records are read.
    """

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        self.unreadable: list[tuple[str, str]] = []

    def model_sets(self) -> list[str]:
        """Those that have results."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        return [
            entry["Prefix"].removeprefix(self._prefix).rstrip("/")
            for page in pages
            for entry in page.get("CommonPrefixes", ())
        ]

    def rows(self, scope: Scope) -> Iterator[RecordRows]:
        """Rows of the records that `contents` gives."""
        for key, content in self.contents(scope):
            try:
                yield record_rows(content, record_uri=f"s3://{self._bucket}/{key}")
            except UnreadableRecordError as error:
                self.unreadable.append((key, str(error)))

    def contents(self, scope: Scope) -> Iterator[tuple[str, bytes]]:
        """Key and content of records, in order of id; the scope names model set and part.

        An object is no older than the record in it, clocks apart, so those last modified before
        `since` are not read; younger ones are, whatever day they are of.
        """
        chosen = f"{self._prefix}{scope.model_set}/{scope.part}"
        since = scope.since and datetime.combine(scope.since, time(), UTC) - CLOCKS_APART
        keys = (
            key
            for key, modified in _objects(self._s3, self._bucket, chosen)
            if key.endswith(f"/{RECORD_FILE}") and (since is None or modified >= since)
        )
        for key, content in _in_order(self._read, keys):
            if content is not None:  # None: removed since it was listed
                yield key, content

    def _read(self, key: str) -> tuple[str, bytes | None]:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            content: bytes = answer["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return key, None
        return key, content


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, datetime]]:
    """Key and time of last change of every object below a prefix."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            yield item["Key"], item["LastModified"]


def _in_order(work: Callable[[_Item], _Answer], items: Iterable[_Item]) -> Iterator[_Answer]:
    """Answers in the order of the items, worked on many at a time, few of them ahead."""
    with ThreadPoolExecutor(READERS) as readers:
        ahead: deque[Future[_Answer]] = deque()
        try:
            for item in items:
                ahead.append(readers.submit(work, item))
                if len(ahead) >= _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
