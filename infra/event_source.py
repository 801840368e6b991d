"""A queue's event source mapping: reads batches, invokes the function, deletes what succeeded.

Does what AWS Lambda's own poller does, so that a function meets the same events and the same
consequences: at most `batch_size` messages for an invocation and one invocation at a time for each
invoker; what failed is left alone, so that it comes back when its visibility timeout is over and
goes to the dead letter queue when its receives are used up. Both are the queue's own settings.

Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html.
"""

import base64
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from infra.runtime_api import Outcome

Message = Mapping[str, Any]
"""As ReceiveMessage returns it."""

Invoke = Callable[[bytes], Outcome]

MAX_BATCH: Final = 10
"""Most messages of one ReceiveMessage or DeleteMessageBatch call (SQS quotas)."""

LONG_POLL_S: Final = 1
"""How long a receive waits for a message: Lambda's poller waits 20 s, this one stops sooner."""

RETRY_S: Final = 1.0
"""Pause after a call that the queue did not answer."""


class QueueClient(Protocol):
    """What is asked of an SQS client (boto3)."""

    def receive_message(self, **arguments: Any) -> Mapping[str, Any]:
        """ReceiveMessage."""

    def delete_message_batch(self, **arguments: Any) -> Mapping[str, Any]:
        """DeleteMessageBatch."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one batch.

    Attributes:
        messages: Received.
        outcome: Of the invocation.
        failed: Message ids that are left to come back; all of them where the function failed.
    """

    messages: tuple[Message, ...]
    outcome: Outcome
    failed: frozenset[str]


class EventSource:
    """Feeds one function from one queue.

    Args:
        client: Of SQS; its threads share it.
        queue_url: Of the queue.
        queue_arn: Of the queue, as events carry it.
        batch_size: Most messages of an invocation.
        reports_failures: Whether the function's answer names the messages that failed
            (`ReportBatchItemFailures`); otherwise its return is success for all.
        watch: Told of every batch, in the thread that handled it.
        trouble: Told of every exception that a call to the queue raised.

    Attributes:
        batch_size: Most messages of an invocation.
        reports_failures: Whether the function's answer names the messages that failed.
    """

    def __init__(
        self,
        client: QueueClient,
        *,
        queue_url: str,
        queue_arn: str,
        batch_size: int,
        reports_failures: bool = True,
        watch: Callable[[Delivery], None] = lambda delivery: None,
        trouble: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        if not 1 <= batch_size <= MAX_BATCH:
            raise ValueError(f"batch_size is {batch_size}, expected 1 to {MAX_BATCH}")
        self._client = client
        self._queue_url = queue_url
        self._queue_arn = queue_arn
        self.batch_size = batch_size
        self.reports_failures = reports_failures
        self._watch = watch
        self._trouble = trouble
        self._in_hand = 0
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, invokers: Sequence[Invoke]) -> None:
        """Poll in the background with each invoker; their number is the maximum concurrency."""
        for invoke in invokers:
            thread = threading.Thread(
                target=self._run, args=(invoke,), daemon=True, name="event-source"
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Receive nothing more; what is in hand is finished, see `join`."""
        self._stop.set()

    def join(self, limit_s: float) -> None:
        """Wait for the batches in hand, no longer than the limit for each thread."""
        for thread in self._threads:
            thread.join(limit_s)

    def poll(self, invoke: Invoke, *, wait_s: int = 0) -> Delivery | None:
        """Receive one batch, have it handled, delete what succeeded; None if nothing came.

        Args:
            invoke: Runs the function.
            wait_s: How long to wait for a message.
        """
        messages = tuple(
            self._client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=self.batch_size,
                WaitTimeSeconds=wait_s,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", ())
        )
        if not messages:
            return None
        self._count(len(messages))
        try:
            return self._handle(messages, invoke)
        finally:
            self._count(-len(messages))

    @property
    def in_hand(self) -> int:
        """Messages that have been received, and whose invocation has not ended."""
        return self._in_hand

    def _count(self, change: int) -> None:
        with self._counting:
            self._in_hand += change

    def _handle(self, messages: tuple[Message, ...], invoke: Invoke) -> Delivery:
        outcome = invoke(sqs_event(messages, self._queue_arn))
        failed = failed_ids(messages, outcome, reports_failures=self.reports_failures)
        self._delete([message for message in messages if message["MessageId"] not in failed])
        delivery = Delivery(messages, outcome, failed)
        self._watch(delivery)
        return delivery

    def _run(self, invoke: Invoke) -> None:
        while not self._stop.is_set():
            try:
                self.poll(invoke, wait_s=LONG_POLL_S)
            except Exception as error:  # the poller outlives whatever a call may raise
                if self._stop.is_set():
                    return
                self._trouble(error)
                self._stop.wait(RETRY_S)

    def _delete(self, messages: Sequence[Message]) -> None:
        """What cannot be deleted comes back, and the function meets a duplicate."""
        if messages:
            self._client.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )


def sqs_event(messages: Sequence[Message], queue_arn: str) -> bytes:
    """The event that a function is invoked with.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event.
    """
    region = queue_arn.split(":")[3]
    return json.dumps(
        {"Records": [_record(message, queue_arn, region) for message in messages]}
    ).encode()


def failed_ids(
    messages: Sequence[Message], outcome: Outcome, *, reports_failures: bool = True
) -> frozenset[str]:
    """Ids of the messages that are not done, by the rules of ReportBatchItemFailures.

    Args:
        messages: The batch.
        outcome: Of its invocation.
        reports_failures: Whether the answer is looked at.

    Returns:
        All ids if the function failed, if its answer is not what the rules ask for, or if it names
        a message that is not in the batch.
    """
    everything = frozenset(str(message["MessageId"]) for message in messages)
    if not outcome.ok:
        return everything
    if not reports_failures:
        return frozenset()
    try:
        answer = json.loads(outcome.payload or b"null") or {}
        failed = {entry["itemIdentifier"] for entry in answer.get("batchItemFailures") or ()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return everything
    return frozenset(failed) if failed <= everything else everything


def _record(message: Message, queue_arn: str, region: str) -> dict[str, Any]:
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    """Lambda writes the first letter small, bytes as base64, and lists that SQS does not have."""
    names = {"StringValue": "stringValue", "DataType": "dataType"}
    attribute: dict[str, Any] = {names[name]: value[name] for name in names if name in value}
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute | {"stringListValues": [], "binaryListValues": []}
