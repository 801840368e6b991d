"""The poller against moto's SQS: what is delivered, deleted, left, and where it ends."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.event_source import Delivery, EventSource, failed_ids, sqs_event
from infra.runtime_api import FunctionError, Outcome
from tests.infra.queue_clock import QueueClock
from tests.infra.waiting import wait_for

VISIBILITY_S = 540
MAX_RECEIVES = 3


def answer(document: object) -> Outcome:
    return Outcome("1", json.dumps(document).encode(), None, 0.0)


def succeed(event: bytes) -> Outcome:
    return answer({"batchItemFailures": []})


def crash(event: bytes) -> Outcome:
    error = FunctionError("Runtime.ExitError", "signal: killed")
    return Outcome("1", error.to_payload(), error, 0.0)


def fail_those_with(*bodies: str) -> Callable[[bytes], Outcome]:
    def invoke(event: bytes) -> Outcome:
        failed = [record["messageId"] for record in records(event) if record["body"] in bodies]
        return answer({"batchItemFailures": [{"itemIdentifier": name} for name in failed]})

    return invoke


def records(event: bytes) -> list[dict[str, Any]]:
    return list(json.loads(event)["Records"])


@dataclass
class Queue:
    """A queue with its dead letter queue, in moto."""

    client: Any
    url: str
    dead_url: str
    deliveries: list[Delivery] = field(default_factory=list)

    def source(self, batch_size: int = 10, client: Any = None, **options: Any) -> EventSource:
        return EventSource(
            client or self.client,
            queue_url=self.url,
            queue_arn=arn_of(self.client, self.url),
            batch_size=batch_size,
            watch=self.deliveries.append,
            **options,
        )

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def count(self, attribute: str = "ApproximateNumberOfMessages", url: str = "") -> int:
        found = self.client.get_queue_attributes(
            QueueUrl=url or self.url, AttributeNames=[attribute]
        )
        return int(found["Attributes"][attribute])

    @property
    def left(self) -> int:
        """Visible and hidden."""
        return self.count() + self.count("ApproximateNumberOfMessagesNotVisible")


def arn_of(client: Any, url: str) -> str:
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(found["Attributes"]["QueueArn"])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("sqs", region_name="eu-central-1")
        dead_url = client.create_queue(QueueName="dead")["QueueUrl"]
        redrive = {"deadLetterTargetArn": arn_of(client, dead_url), "maxReceiveCount": MAX_RECEIVES}
        attributes = {"VisibilityTimeout": str(VISIBILITY_S), "RedrivePolicy": json.dumps(redrive)}
        url = client.create_queue(QueueName="stage", Attributes=attributes)["QueueUrl"]
        yield Queue(client, url, dead_url)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> QueueClock:
    return QueueClock(monkeypatch)


def test_event_is_what_lambda_sends(queue: Queue) -> None:
    attributes = {
        "text": {"DataType": "String", "StringValue": "é"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    queue.client.send_message(QueueUrl=queue.url, MessageBody="b", MessageAttributes=attributes)
    events: list[bytes] = []
    queue.source().poll(lambda event: events.append(event) or succeed(event))
    (record,) = records(events[0])
    assert record["body"] == "b"
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == "arn:aws:sqs:eu-central-1:123456789012:stage"
    assert record["awsRegion"] == "eu-central-1"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["text"]["stringValue"] == "é"
    assert record["messageAttributes"]["bytes"]["binaryValue"] == "AP8="
    assert {"messageId", "receiptHandle", "md5OfBody", "md5OfMessageAttributes"} <= set(record)


def test_empty_queue_invokes_nothing(queue: Queue) -> None:
    assert queue.source().poll(crash) is None


@pytest.mark.parametrize("batch_size", [1, 4])
def test_batch_is_no_larger_than_asked_for(queue: Queue, batch_size: int) -> None:
    queue.send(*"abcde")
    source, sizes = queue.source(batch_size), []
    while delivery := source.poll(succeed):
        sizes.append(len(delivery.messages))
    assert max(sizes) == batch_size
    assert sum(sizes) == 5
    assert queue.left == 0


def test_only_successes_are_deleted_and_the_rest_comes_back(
    queue: Queue, clock: QueueClock
) -> None:
    queue.send("a", "bad", "c")
    source = queue.source()
    source.poll(fail_those_with("bad"))
    assert queue.left == 1
    clock.advance(VISIBILITY_S - 5)
    assert source.poll(succeed) is None, "hidden until its visibility timeout is over"
    clock.advance(10)
    delivery = source.poll(succeed)
    assert delivery is not None
    assert [message["Body"] for message in delivery.messages] == ["bad"]
    assert delivery.messages[0]["Attributes"]["ApproximateReceiveCount"] == "2"
    assert queue.left == 0


def test_function_error_leaves_the_whole_batch(queue: Queue, clock: QueueClock) -> None:
    queue.send("a", "b")
    source = queue.source()
    delivery = source.poll(crash)
    assert delivery is not None
    assert len(delivery.failed) == 2
    clock.advance(VISIBILITY_S + 1)
    assert queue.count() == 2


def test_message_that_always_fails_ends_in_the_dead_letter_queue(
    queue: Queue, clock: QueueClock
) -> None:
    queue.send("good", "bad")
    source = queue.source(batch_size=1)
    for _ in range(MAX_RECEIVES + 1):
        while source.poll(fail_those_with("bad")):
            pass
        clock.advance(VISIBILITY_S + 1)
    assert queue.left == 0
    (dead,) = queue.client.receive_message(QueueUrl=queue.dead_url)["Messages"]
    assert dead["Body"] == "bad"
    seen = Counter(delivery.messages[0]["Body"] for delivery in queue.deliveries)
    assert seen == {"good": 1, "bad": MAX_RECEIVES}


ALL, NONE = {"1", "2"}, set[str]()


@pytest.mark.parametrize(
    ("payload", "failed"),
    [
        (b'{"batchItemFailures": [{"itemIdentifier": "2"}]}', {"2"}),
        # what Lambda takes for complete success
        (b'{"batchItemFailures": []}', NONE),
        (b'{"batchItemFailures": null}', NONE),
        (b"{}", NONE),
        (b"null", NONE),
        (b"", NONE),
        # what it takes for complete failure
        (b"not json", ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": null}]}', ALL),
        (b'{"batchItemFailures": [{"identifier": "2"}]}', ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "9"}]}', ALL),
        (b'{"batchItemFailures": ["2"]}', ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": {}}]}', ALL),
        (b'["2"]', ALL),
        (b"3", ALL),
    ],
)
def test_answer_is_read_by_lambdas_rules(payload: bytes, failed: set[str]) -> None:
    messages = [{"MessageId": "1"}, {"MessageId": "2"}]
    assert failed_ids(messages, Outcome("1", payload, None, 0.0)) == failed


def test_answer_is_not_looked_at_without_report_batch_item_failures(queue: Queue) -> None:
    queue.send("bad")
    queue.source(reports_failures=False).poll(fail_those_with("bad"))
    assert queue.left == 0


def test_receipt_of_another_batch_deletes_nothing_else(queue: Queue, clock: QueueClock) -> None:
    """An invocation that outlives its visibility timeout meets its message handled by another."""
    queue.send("a")
    source = queue.source()

    def slow(event: bytes) -> Outcome:
        clock.advance(VISIBILITY_S + 1)
        assert source.poll(succeed) is not None, "received a second time meanwhile"
        queue.send("b")
        return succeed(event)

    source.poll(slow)
    assert queue.count() == 1


class OneCallAtATime:
    """moto's queues lose messages under threads; SQS does not."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def receive_message(self, **arguments: Any) -> Any:
        with self._lock:
            return self._client.receive_message(**arguments | {"WaitTimeSeconds": 0})

    def delete_message_batch(self, **arguments: Any) -> Any:
        with self._lock:
            return self._client.delete_message_batch(**arguments)


def test_no_more_invocations_at_a_time_than_invokers(queue: Queue) -> None:
    queue.send(*(str(number) for number in range(12)))
    lock, running, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def invoke(event: bytes) -> Outcome:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)  # only passes while two run at once
        with lock:
            running -= 1
        return succeed(event)

    source = queue.source(batch_size=1, client=OneCallAtATime(queue.client))
    source.start([invoke, invoke])
    wait_for(lambda: len(queue.deliveries) == 12)
    source.stop()
    source.join(5)
    assert most == 2
    assert queue.left == 0


def test_queue_that_does_not_answer_is_asked_again(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.event_source.RETRY_S", 0.01)
    queue.send("a")

    @dataclass
    class Flaky:
        """The first call fails."""

        calls: int = 0

        def receive_message(self, **arguments: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise ConnectionError
            return queue.client.receive_message(**arguments)

        def delete_message_batch(self, **arguments: Any) -> Any:
            return queue.client.delete_message_batch(**arguments)

    trouble: list[Exception] = []
    source = queue.source(client=Flaky(), trouble=trouble.append)
    source.start([succeed])
    wait_for(lambda: bool(queue.deliveries))
    source.stop()
    source.join(5)
    assert [type(error) for error in trouble] == [ConnectionError]


@pytest.mark.parametrize("batch_size", [0, 11])
def test_batch_size_that_one_receive_cannot_hold_is_refused(queue: Queue, batch_size: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 10"):
        queue.source(batch_size)


def test_event_of_nothing_is_an_empty_batch() -> None:
    assert records(sqs_event([], "arn:aws:sqs:eu-central-1:1:q")) == []
