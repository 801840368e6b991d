"""The files of archive jobs in a results bucket, as the operator's machine reads and writes them.

Beside those of `lambdas.batch.job` a job has, written by this machine alone:

    jobs/<job>/plan.json     what was there and expected when the job was started
    jobs/<job>/runs.json     when it was started and resumed, and where it ran
    jobs/<job>/list.csv      the list, where it came from this machine
    jobs/<job>/report.html   and report.json
"""

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from cxr.aws import error_code, translated
from cxr.deployment import Deployment
from lambdas.batch.job import JOBS_PREFIX, Job, job_key, state_key
from lambdas.batch.state import State
from lambdas.shared.errors import InvalidRequestError

READERS: Final = 24
"""Requests at the same time."""

READ_NEEDS: Final = "s3:GetObject, s3:ListBucket and kms:Decrypt on the results bucket"
WRITE_NEEDS: Final = "s3:PutObject and kms:GenerateDataKey on the results bucket"

MOST_NAME: Final = 60
"""Of a job, so that its executions' names stay within the 80 that Step Functions takes."""

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_TAKEN: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})

_TYPES: Final = {"json": "application/json", "html": "text/html; charset=utf-8", "csv": "text/csv"}


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of the bucket.

    Attributes:
        key: Of the object.
        at: When it was written.
    """

    key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a job, or one resumption.

    Attributes:
        number: From 1.
        begun_at: ISO 8601 with offset.
        where: `aws` or `local`.
        execution: ARN; None where no state machine runs it.
    """

    number: int
    begun_at: str
    where: str
    execution: str | None = None


class JobFiles:
    """Documents and other files; safe for several threads.

    Args:
        s3: Client of S3.
        bucket: Of results.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def read_json(self, key: str) -> Any | None:
        """A document, None if there is none."""
        with translated("reading the job", needs=READ_NEEDS):
            try:
                answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            except Exception as error:
                if error_code(error) in _ABSENT:
                    return None
                raise
            return json.loads(answer["Body"].read())

    def read_many(self, keys: Sequence[str]) -> list[Any | None]:
        """Documents in the order of their keys, read side by side."""
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self.read_json, keys))

    def write_json(self, key: str, document: Any) -> None:
        """Write or replace a document."""
        self.write(key, json.dumps(document).encode())

    def write(self, key: str, content: bytes) -> None:
        """Write or replace a file."""
        with translated("writing the job", needs=WRITE_NEEDS):
            self._put(key, content)

    def write_first(self, key: str, document: Any) -> bool:
        """Write a document unless there is one; False if there was."""
        with translated("writing the job", needs=WRITE_NEEDS):
            try:
                self._put(key, json.dumps(document).encode(), IfNoneMatch="*")
            except Exception as error:
                if error_code(error) in _TAKEN:
                    return False
                raise
        return True

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        with translated("reading the job", needs=READ_NEEDS):
            try:
                self._s3.head_object(Bucket=self.bucket, Key=key)
            except Exception as error:
                if error_code(error) in _ABSENT:
                    return False
                raise
        return True

    def exist(self, keys: Sequence[str]) -> list[bool]:
        """Whether there are such files, asked side by side."""
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self.exists, keys))

    def delete(self, key: str) -> None:
        """Delete a file; it need not be there."""
        with translated("writing the job", needs="s3:DeleteObject on the results bucket"):
            self._s3.delete_object(Bucket=self.bucket, Key=key)

    def listed(self, prefix: str) -> Iterator[Stored]:
        """All files below a prefix, in the order of their keys."""
        for page in self._pages(Prefix=prefix):
            for entry in page.get("Contents", ()):
                yield Stored(entry["Key"], entry["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of what looks like folders below a prefix."""
        for page in self._pages(Prefix=prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"].removeprefix(prefix).rstrip("/")

    def _pages(self, **where: str) -> Iterator[dict[str, Any]]:
        with translated("listing the results bucket", needs=READ_NEEDS):
            paginator = self._s3.get_paginator("list_objects_v2")
            yield from paginator.paginate(Bucket=self.bucket, **where)

    def _put(self, key: str, content: bytes, **condition: str) -> None:
        kind = _TYPES.get(key.rpartition(".")[2], "application/octet-stream")
        self._s3.put_object(
            Bucket=self.bucket, Key=key, Body=content, ContentType=kind, **condition
        )


def files_of(deployment: Deployment) -> JobFiles:
    """The files of a deployment's jobs."""
    return JobFiles(deployment.cloud.client("s3", connections=READERS), deployment.results_bucket)


def check_name(name: str) -> str:
    """A job's name.

    Raises:
        InvalidRequestError: It would not do as part of a key and of an execution's name.
    """
    if len(name) > MOST_NAME or not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{name!r} cannot be a job's name: letters, digits and hyphens, at most {MOST_NAME}"
        )
    return name


def load_job(files: JobFiles, name: str) -> Job:
    """A job's order.

    Raises:
        InvalidRequestError: There is no such job.
    """
    document = files.read_json(job_key(check_name(name)))
    if document is None:
        raise InvalidRequestError(f"there is no job {name}; `cxr archive status` lists all")
    return Job.from_document(document)


def load_state(files: JobFiles, name: str) -> State | None:
    """What the planner knows; None before its first word."""
    document = files.read_json(state_key(name))
    return State.from_document(document) if document else None


def load_runs(files: JobFiles, name: str) -> list[Run]:
    """Starts and resumptions, the first first."""
    return [Run(**entry) for entry in files.read_json(runs_key(name)) or ()]


def save_runs(files: JobFiles, name: str, runs: Sequence[Run]) -> None:
    """Write them down."""
    files.write_json(runs_key(name), [asdict(run) for run in runs])


def plan_key(job: str) -> str:
    """Key of what was expected."""
    return f"{JOBS_PREFIX}{job}/plan.json"


def runs_key(job: str) -> str:
    """Key of the job's starts."""
    return f"{JOBS_PREFIX}{job}/runs.json"


def list_key(job: str) -> str:
    """Key of a list that came from this machine."""
    return f"{JOBS_PREFIX}{job}/list.csv"


def outcomes_prefix(job: str, wave: int | None = None) -> str:
    """Prefix of the outcomes of one wave, or of all."""
    return f"{JOBS_PREFIX}{job}/outcomes/" + (f"{wave:05d}/" if wave is not None else "")


def report_key(job: str, suffix: str) -> str:
    """Key of the report, `html` or `json`."""
    return f"{JOBS_PREFIX}{job}/report.{suffix}"
