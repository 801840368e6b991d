"""Results in a bucket, as the streaming and the bulk pipelines write them.

    s3://BUCKET[/PREFIX]/results/<model set>/<image id>/record.json, report.pdf, … review.json

AWS_ENDPOINT_URL names another S3, such as the embedded cloud.
"""

import functools
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from cxr import reviews
from cxr.aws import ENDPOINT_VARIABLE, Cloud, error_code, translated
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
from lambdas.shared.errors import InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import RECORD_FILE, RESULTS_PREFIX, Record

SCHEME: Final = "s3://"

MAX_LISTED: Final = 5_000
"""Newest results that are listed: one request each the first time."""

_READERS: Final = 32

_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
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
        with translated("saving the review", needs="s3:PutObject"):
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
                raise

    def _objects(self) -> tuple[dict[str, tuple[str, Any]], set[str]]:
        """ETag and time of each record by folder, and the folders that have a review."""
        records: dict[str, tuple[str, Any]] = {}
        reviewed: set[str] = set()
        with translated("listing the results", needs="s3:ListBucket"):
            pages = s3_client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for item in page.get("Contents", ()):
                    folder, _, name = item["Key"].removeprefix(self.prefix).rpartition("/")
                    if name == RECORD_FILE and folder:
                        records[folder] = (item["ETag"], item["LastModified"])
                    elif name == REVIEW_FILE:
                        reviewed.add(folder)
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
        CxrError: It cannot be read. The key, which may name a patient, is not said.
    """
    options: Mapping[str, str] = {"VersionId": version} if version else {}
    with translated("reading from the bucket", needs="s3:GetObject"):
        try:
            answer = s3_client().get_object(Bucket=bucket, Key=key, **options)
        except Exception as error:
            if error_code(error) in _ABSENT:
                return None
            raise
        if most_bytes is not None and answer["ContentLength"] > most_bytes:
            answer["Body"].close()
            return None
        return answer["Body"].read(), answer["ETag"]


@functools.cache
def s3_client() -> Any:
    """One client for the process.

    Raises:
        ConfigError: boto3, a region or a profile is missing.
    """
    return Cloud(os.environ.get(ENDPOINT_VARIABLE) or None).client("s3", connections=_READERS)
