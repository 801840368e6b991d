"""Results in a bucket, as the streaming and the bulk pipelines write them.

    s3://BUCKET[/PREFIX]/results/<model set>/<image id>/record.json, report.pdf, … review.json

boto3 is imported when a bucket is first asked: the command line needs none. AWS_ENDPOINT_URL names
another S3, such as the embedded cloud.
"""

import functools
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from cxr import reviews
from cxr.keys import REVIEW_FILE
from cxr.results import Result
from cxr.reviews import Review
from cxr.stored_results import (
    Listing,
    LoadedReview,
    StoredResult,
    checked_record,
    conflict,
    parse_row,
)
from lambdas.shared.errors import ConfigError, InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import RECORD_FILE, RESULTS_PREFIX, Record

SCHEME: Final = "s3://"

MAX_LISTED: Final = 5_000
"""Newest results that are listed: one request each the first time."""

_READERS: Final = 32

_ABSENT: Final = frozenset({"NoSuchKey", "404"})
_CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class BucketResults:
    """Results below a prefix of a bucket; one for all sessions.

    Args:
        url: `s3://bucket` or `s3://bucket/prefix`, without `results/`.

    Raises:
        InvalidRequestError: It names no bucket.
    """

    def __init__(self, url: str) -> None:
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        if not url.startswith(SCHEME) or not bucket:
            raise InvalidRequestError(f"{url!r} names no bucket, expected s3://bucket/prefix")
        prefix = prefix.strip("/")
        self.bucket = bucket
        self.prefix = (f"{prefix}/" if prefix else "") + RESULTS_PREFIX
        self.name = f"{SCHEME}{bucket}/{prefix}".rstrip("/")
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, Result | None]] = {}

    def listing(self) -> Listing:
        """The newest results; records that have not changed are not fetched again."""
        with self._lock:
            records, reviewed = self._objects()
            newest = sorted(records, key=lambda folder: records[folder][1], reverse=True)
            chosen = newest[:MAX_LISTED]
            stale = [f for f in chosen if self._known.get(f, ("",))[0] != records[f][0]]
            with ThreadPoolExecutor(_READERS) as readers:
                rows = list(readers.map(self._parse, stale))
            for folder, row in zip(stale, rows, strict=True):
                self._known[folder] = (records[folder][0], row)
            self._known = {folder: self._known[folder] for folder in chosen}
            found = {folder: row for folder, (_, row) in self._known.items()}
        return Listing(
            results=tuple(
                StoredResult(row, folder in reviewed) for folder, row in found.items() if row
            ),
            unreadable=sum(row is None for row in found.values()),
            left_out=len(newest) - len(chosen),
        )

    def record(self, folder: str) -> Record:
        """The record of one result."""
        return checked_record(self.file(folder, RECORD_FILE))

    def file(self, folder: str, name: str) -> bytes:
        """Another file of a result."""
        found = self._get(folder, name)
        if found is None:
            raise StorageUnavailableError(f"{name} is not in the bucket any more")
        return found[0]

    def review(self, folder: str, *, record: Record) -> LoadedReview:
        """The review beside a record."""
        found = self._get(folder, REVIEW_FILE)
        if found is None:
            return LoadedReview(None, None)
        content, tag = found
        return LoadedReview(reviews.parse_review(content, record=record), tag)

    def save_review(self, folder: str, review: Review, *, tag: str | None) -> None:
        """Write a review over the one with this tag."""
        condition = {"IfMatch": tag} if tag is not None else {"IfNoneMatch": "*"}
        try:
            s3_client().put_object(
                Bucket=self.bucket,
                Key=self._key(folder, REVIEW_FILE),
                Body=reviews.to_json(review),
                ContentType="application/json",
                **condition,
            )
        except Exception as error:
            # a review that is gone was changed as well: there is nothing left to match
            if error_code(error) in _CHANGED | _ABSENT:
                raise conflict() from None
            raise unavailable(error) from None

    def _objects(self) -> tuple[dict[str, tuple[str, Any]], set[str]]:
        """ETag and time of each record by folder, and the folders that have a review."""
        records: dict[str, tuple[str, Any]] = {}
        reviewed: set[str] = set()
        try:
            pages = s3_client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for item in page.get("Contents", ()):
                    folder, _, name = item["Key"].removeprefix(self.prefix).rpartition("/")
                    if name == RECORD_FILE and folder:
                        records[folder] = (item["ETag"], item["LastModified"])
                    elif name == REVIEW_FILE:
                        reviewed.add(folder)
        except Exception as error:
            raise unavailable(error) from None
        return records, reviewed

    def _parse(self, folder: str) -> Result | None:
        found = self._get(folder, RECORD_FILE)
        return parse_row(found[0], folder=folder) if found else None

    def _get(self, folder: str, name: str) -> tuple[bytes, str] | None:
        return get_object(self.bucket, self._key(folder, name))

    def _key(self, folder: str, name: str) -> str:
        return f"{self.prefix}{folder}/{name}"


def get_object(
    bucket: str, key: str, *, version: str | None = None, most_bytes: int | None = None
) -> tuple[bytes, str] | None:
    """Content and ETag of an object; None where there is none, or more than `most_bytes`.

    Raises:
        StorageUnavailableError: It cannot be read. The key, which may name a patient, is not said.
    """
    options: Mapping[str, str] = {"VersionId": version} if version else {}
    try:
        answer = s3_client().get_object(Bucket=bucket, Key=key, **options)
        if most_bytes is not None and answer["ContentLength"] > most_bytes:
            answer["Body"].close()
            return None
        return answer["Body"].read(), answer["ETag"]
    except Exception as error:
        if error_code(error) in _ABSENT:
            return None
        raise unavailable(error) from None


def error_code(error: Exception) -> str:
    """What S3 calls the error; empty for one that never reached S3.

    Raises:
        Exception: The error itself, where it is none of botocore's.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    if isinstance(error, BotoCoreError):
        return ""
    raise error


def unavailable(error: Exception) -> StorageUnavailableError:
    """An error for people; botocore's own text may hold the key."""
    reason = error_code(error) or type(error).__name__
    return StorageUnavailableError(
        f"the bucket of results cannot be used: {reason}; check its name, the region, "
        "AWS_ENDPOINT_URL, and that s3:ListBucket, s3:GetObject and s3:PutObject are allowed there"
    )


@functools.cache
def s3_client() -> Any:
    """One client for the process.

    Raises:
        ConfigError: boto3 is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise ConfigError(
            "results in a bucket need boto3; install it with: pip install -e '.[web]'"
        ) from error
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=_READERS)
    return boto3.client("s3", config=config)
