"""Learns of finished images as any program would: from the events that the report stage tells."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from lambdas.shared.records import RECORD_FILE, REPORT_FILE

_BATCH: Final = 10
_PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True)
class Finished:
    """An image that has its record.

    Attributes:
        key: Of the image, as it was uploaded.
        record: record.json.
        record_url: Where a browser finds it.
        report_url: Where a browser finds report.pdf.
    """

    key: str
    record: Mapping[str, Any]
    record_url: str
    report_url: str


class ResultWatcher:
    """Reads the events, each image once however often it is told of.

    Args:
        sqs: Client of SQS.
        s3: Client of S3.
        queue_url: Of the queue that gets the events.
        endpoint: URL of the embedded cloud.
        keep: Folder that results are copied to as they come; None for none.
    """

    def __init__(
        self, *, sqs: Any, s3: Any, queue_url: str, endpoint: str, keep: Path | None = None
    ) -> None:
        self._sqs = sqs
        self._s3 = s3
        self._queue_url = queue_url
        self._endpoint = endpoint
        self._keep = keep
        self._told: dict[str, int] = {}

    @property
    def told(self) -> Mapping[str, int]:
        """How often each record was told of, by its address."""
        return self._told

    def read(self, *, wait_s: int = 0) -> Iterator[Finished]:
        """Images that have been told of since the last call, in no order.

        Args:
            wait_s: How long to wait where there is none.

        Raises:
            OSError: A result cannot be kept; it is told of again after a while.
        """
        while messages := self._receive(wait_s):
            for message in messages:
                uri = json.loads(message["Body"])["detail"]["record"]
                finished = None if uri in self._told else self._finished(uri)
                self._told[uri] = self._told.get(uri, 0) + 1
                self._sqs.delete_message(
                    QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
                if finished is not None:
                    yield finished
            wait_s = 0

    def _receive(self, wait_s: int) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=wait_s
        )
        return list(answer.get("Messages", ()))

    def _finished(self, uri: str) -> Finished | None:
        """None if somebody has deleted the result already."""
        place = urlsplit(uri)
        bucket, folder = place.netloc, place.path.removeprefix("/").removesuffix(RECORD_FILE)
        try:
            record = json.loads(self._get(bucket, folder + RECORD_FILE))
            if self._keep is not None:
                self._copy(bucket, folder, record)
        except self._s3.exceptions.NoSuchKey:
            return None
        url = f"{self._endpoint}/{bucket}/{quote(folder)}"
        return Finished(record["source"]["key"], record, url + RECORD_FILE, url + REPORT_FILE)

    def _get(self, bucket: str, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def _copy(self, bucket: str, folder: str, record: Mapping[str, Any]) -> None:
        """The result's files, its record last, as `aws s3 sync` would lay them out."""
        assert self._keep is not None
        for name in (*record["outputs"].values(), RECORD_FILE):
            path = self._keep / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + _PARTIAL)
            partial.write_bytes(self._get(bucket, folder + name))
            partial.replace(path)
