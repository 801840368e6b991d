"""S3, SQS and EventBridge: the one module of `lambdas` that imports boto3.

Faults are translated here, once: what may work later becomes a `TransientError`, an object that is
not there any more becomes None, everything else goes on as it is. No message holds a key.
"""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

from lambdas.shared.errors import (
    ContractError,
    ResourceLimitError,
    StorageUnavailableError,
    ThrottledError,
)
from lambdas.shared.limits import MAX_FILE_BYTES, MIB
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import RECORD_FILE, Record, result_key

CLIENT: Final = Config(
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=32,
    retries={"mode": "standard", "total_max_attempts": 4},
)
"""Four attempts with back-off end within a minute, so within the time set aside for one image."""

GONE: Final = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "PreconditionFailed", "412"}
"""Of a GET or HEAD; 412 where the ETag is not the one that was asked for."""

_DELETE_MARKER: Final = {"MethodNotAllowed", "405"}
"""The version asked for is a delete marker."""

_BUSY: Final = {
    "RequestTimeout",
    "ConditionalRequestConflict",
    "OperationAborted",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
}
"""Later, perhaps, whatever the HTTP status says."""

_SLOW_DOWN: Final = {"SlowDown", "RequestLimitExceeded"}

_LATER: Final = (HTTPClientError, ConnectionError, IncompleteReadError, ResponseStreamingError)

_CONTENT_TYPES: Final = {
    "json": "application/json",
    "pdf": "application/pdf",
    "jpg": "image/jpeg",
    "dcm": "application/dicom",
}


class Storage:
    """Images in any bucket, results in one; safe for several threads.

    Args:
        results_bucket: Name.
        client: Stands in for S3's own, in tests.
    """

    def __init__(self, results_bucket: str, *, client: Any = None) -> None:
        self._bucket = results_bucket
        self._s3 = client or s3_client()

    def current(self, image: ImageRef) -> ImageRef | None:
        """The image with the version and ETag that it has now; None if it is gone."""
        with translated("looking up an image"):
            try:
                head = self._s3.head_object(Bucket=image.bucket, Key=image.key)
            except ClientError as error:
                if error_code(error) in GONE | _DELETE_MARKER:
                    return None
                raise
        version = head.get("VersionId")
        return ImageRef(
            bucket=image.bucket,
            key=image.key,
            version_id=None if version == "null" else version,
            etag=head["ETag"].strip('"'),
            size_bytes=head["ContentLength"],
        )

    def fetch(self, image: ImageRef) -> bytes | None:
        """The bytes of exactly this version, or with this ETag; None if it is gone.

        Raises:
            ResourceLimitError: More bytes than one image may have; nothing was downloaded.
            TransientError: Later, perhaps.
        """
        which = (
            {"VersionId": image.version_id}
            if image.version_id
            else {"IfMatch": f'"{image.etag}"'}
            if image.etag
            else {}
        )
        with translated("reading an image"):
            try:
                answer = self._s3.get_object(Bucket=image.bucket, Key=image.key, **which)
            except ClientError as error:
                if error_code(error) in GONE | _DELETE_MARKER:
                    return None
                raise
            with answer["Body"] as body:
                if answer["ContentLength"] > MAX_FILE_BYTES:
                    raise ResourceLimitError(
                        f"the object has {answer['ContentLength'] / MIB:.0f} MiB, expected at most "
                        f"{MAX_FILE_BYTES // MIB}; a radiograph is smaller: check what it is",
                        code="too_many_bytes",
                    )
                return bytes(body.read())

    def record(self, model_set: str, image_id: str) -> Record | None:
        """The final record of an image under these models, None while there is none."""
        data = self.read(result_key(model_set, image_id, RECORD_FILE))
        return None if data is None else json.loads(data)

    def has_record(self, model_set: str, image_id: str) -> bool:
        """Whether there is a final record."""
        return self.exists(result_key(model_set, image_id, RECORD_FILE))

    def read(self, key: str) -> bytes | None:
        """An object of the results bucket, None if there is none."""
        return self.fetch(ImageRef(self._bucket, key, None, None))

    def exists(self, key: str) -> bool:
        """Whether the results bucket has an object of this key."""
        return self.current(ImageRef(self._bucket, key, None, None)) is not None

    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object of the results bucket."""
        with translated("writing a result"):
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=data, ContentType=_content_type(key)
            )

    def put_first(self, key: str, data: bytes) -> bool:
        """Write an object of the results bucket unless there is one; False if there was."""
        with translated("writing a result"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=data,
                    ContentType=_content_type(key),
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if error_code(error) in ("PreconditionFailed", "412"):
                    return False
                raise
        return True

    def uri(self, key: str) -> str:
        """Address of an object of the results bucket."""
        return f"s3://{self._bucket}/{key}"


def s3_client() -> Any:
    """S3 with the project's time limits and retries."""
    return boto3.client("s3", config=CLIENT)


class Queues:
    """Sends to SQS."""

    def __init__(self, *, client: Any = None) -> None:
        self._sqs = client or boto3.client("sqs", config=CLIENT)

    def send(self, url: str, body: str, *, delay_seconds: int = 0) -> None:
        """Send a message; it is in the queue when this returns."""
        with translated("sending a message"):
            self._sqs.send_message(QueueUrl=url, MessageBody=body, DelaySeconds=delay_seconds)


class EventBus:
    """Puts events on EventBridge.

    Args:
        name: Of the bus.
        source: Of the events.
        client: Stands in for EventBridge's own, in tests.
    """

    def __init__(self, name: str, *, source: str, client: Any = None) -> None:
        self._name, self._source = name, source
        self._events = client or boto3.client("events", config=CLIENT)

    def put(self, detail_type: str, detail: dict[str, Any]) -> None:
        """Put one event.

        Raises:
            TransientError: The bus did not take it.
        """
        entry = {
            "EventBusName": self._name,
            "Source": self._source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
        }
        with translated("telling an event"):
            answer = self._events.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):  # a 200 that took nothing
            code = answer["Entries"][0].get("ErrorCode", "unknown")
            raise StorageUnavailableError(f"telling an event: EventBridge answered {code}")


def service_client(name: str) -> Any:
    """A client of a service that has no class here; `translated` makes its faults ours."""
    return boto3.client(name, config=CLIENT)


@functools.cache
def _content_type(key: str) -> str:
    return _CONTENT_TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def error_code(error: ClientError) -> str:
    """AWS's name of a fault."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Give the faults of a call the classes that retries are decided by."""
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 429 or "Throttl" in code or code in _SLOW_DOWN:
            raise ThrottledError(f"{doing}: AWS asked to slow down ({code})") from error
        if status >= 500 or code in _BUSY:
            raise StorageUnavailableError(f"{doing}: AWS answered {code}") from error
        if code == "NoSuchBucket":
            raise ContractError(f"{doing}: the bucket does not exist; deploy again") from error
        raise
    except _LATER as error:
        raise StorageUnavailableError(
            f"{doing}: the connection failed ({type(error).__name__})"
        ) from error
