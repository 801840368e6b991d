"""Messages that were given up: looked at, and handed back or sent home.

Looking is receiving: SQS has no other way. A dead letter queue has no dead letter queue of its own,
so a further receive costs its messages nothing; they are handed back at once, and come back by
themselves should this process die. The stages' own queues are never looked into: there each receive
is one of the attempts that a message has, and hides it from its function.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from cxr.aws import translated
from cxr.deployment import DeadLetterQueue
from lambdas.shared.errors import ContractError
from lambdas.shared.messages import ImageRef, parse_message
from lambdas.shared.records import image_id_of

BATCH: Final = 10
"""Most messages of one call (SQS quotas)."""

BATCH_BYTES: Final = 256 * 1024
"""Most bytes of one SendMessageBatch; regions differ, and this is admitted in all."""

HIDDEN_S: Final = 120
"""How long a message that was received stays out of others' sight, should it not be handed back."""

WAIT_S: Final = 1
"""A receive that waits asks all of SQS's servers; one that does not may miss messages."""

LOOK_NEEDS: Final = (
    "sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:ChangeMessageVisibility and kms:Decrypt"
)
MOVE_NEEDS: Final = (
    "sqs:ReceiveMessage and sqs:DeleteMessage there, sqs:SendMessage on the stages' queues, "
    "kms:Decrypt and kms:GenerateDataKey"
)

_DELIVERY_ERROR: Final = ("ERROR_CODE", "EXHAUSTED_RETRY_CONDITION", "ERROR_MESSAGE")
"""Message attributes by which EventBridge says why it gave an event up (EventBridge user guide,
"Using dead-letter queues to process undelivered events")."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, as SQS reckons.

    Attributes:
        waiting: To be received.
        in_flight: Received, and neither deleted nor back yet.
        delayed: Not to be received yet.
        at: When SQS answered, by its own clock.
    """

    waiting: int
    in_flight: int
    delayed: int
    at: datetime

    @property
    def total(self) -> int:
        """All of them."""
        return self.waiting + self.in_flight + self.delayed


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message.

    Attributes:
        whose: Stage that gave it up, or `deployment.RULE`.
        message_id: Of SQS.
        receipt: With which it can be handed back or deleted, until it is visible again.
        body: As it was sent.
        attributes: Message attributes, as ReceiveMessage has them.
        trace: Trace header, if it has one.
        sent_at: When it came into its first queue.
        receives: How often it was received, this time included.
        image: Which image it is about; None where it is none of ours.
    """

    whose: str
    message_id: str
    receipt: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    trace: str | None
    sent_at: datetime
    receives: int
    image: ImageRef | None

    @property
    def image_id(self) -> str | None:
        """Of the image."""
        if self.image is None or self.image.version is None:
            return None
        return image_id_of(self.image.bucket, self.image.key, self.image.version)

    @property
    def delivery_error(self) -> str | None:
        """Why EventBridge could not deliver it; None for a stage's message."""
        texts = (self.attributes.get(name, {}).get("StringValue") for name in _DELIVERY_ERROR)
        return ": ".join(text for text in texts if text) or None


def depth(sqs: Any, url: str) -> Depth:
    """How many messages a queue holds."""
    with translated("reading the queues", needs="sqs:GetQueueAttributes"):
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    found = answer["Attributes"]
    return Depth(
        waiting=int(found["ApproximateNumberOfMessages"]),
        in_flight=int(found["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(found["ApproximateNumberOfMessagesDelayed"]),
        at=_clock(answer),
    )


def receive(
    sqs: Any, queue: DeadLetterQueue, *, most: int | None = None
) -> Iterator[list[DeadLetter]]:
    """Receive messages, batch by batch, until there is none; each stays hidden for `HIDDEN_S`.

    Args:
        sqs: Client.
        queue: Which one.
        most: Messages to receive; None for all.
    """
    left = most
    while left is None or left > 0:
        with translated(f"reading the dead letters of {queue.whose}", needs=LOOK_NEEDS):
            found = sqs.receive_message(
                QueueUrl=queue.url,
                MaxNumberOfMessages=BATCH if left is None else min(BATCH, left),
                VisibilityTimeout=HIDDEN_S,
                WaitTimeSeconds=WAIT_S,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            ).get("Messages", ())
        if not found:
            return
        if left is not None:
            left -= len(found)
        yield [_letter(message, queue.whose) for message in found]


def hand_back(sqs: Any, queue: DeadLetterQueue, letters: Sequence[DeadLetter]) -> None:
    """Make messages visible again; those that cannot be, come back by themselves."""
    for chunk in _chunks(letters):
        with translated(f"handing back the dead letters of {queue.whose}", needs=LOOK_NEEDS):
            sqs.change_message_visibility_batch(
                QueueUrl=queue.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                    for number, letter in enumerate(chunk)
                ],
            )


@contextmanager
def looked_at(sqs: Any, queue: DeadLetterQueue, *, most: int) -> Iterator[list[DeadLetter]]:
    """Messages of a queue, handed back at the end.

    Args:
        sqs: Client.
        queue: Which one.
        most: Messages to look at.
    """
    letters: list[DeadLetter] = []
    try:
        expected = depth(sqs, queue.url).waiting
        if expected:
            for batch in receive(sqs, queue, most=min(most, expected)):
                letters += batch
        yield letters
    finally:
        hand_back(sqs, queue, letters)


def send_home(
    sqs: Any, queue: DeadLetterQueue, letters: Sequence[DeadLetter]
) -> tuple[list[DeadLetter], list[DeadLetter]]:
    """Send messages to the queue that they belong to, and only then delete them here.

    Killed in between, it leaves them in both queues: a stage that finds its work done does nothing.

    Returns:
        Those that were sent, and those of them that could not be deleted, so will come twice.
    """
    sent: list[DeadLetter] = []
    kept: list[DeadLetter] = []
    for chunk in _chunks(letters):
        with translated(f"redriving to {queue.whose}", needs=MOVE_NEEDS):
            answer = sqs.send_message_batch(
                QueueUrl=queue.home_url,
                Entries=[_entry(number, letter) for number, letter in enumerate(chunk)],
            )
        gone = [chunk[int(entry["Id"])] for entry in answer.get("Successful", ())]
        sent += gone
        if not gone:
            continue
        with translated(f"deleting what was redriven to {queue.whose}", needs=MOVE_NEEDS):
            answer = sqs.delete_message_batch(
                QueueUrl=queue.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": letter.receipt}
                    for number, letter in enumerate(gone)
                ],
            )
        kept += [gone[int(entry["Id"])] for entry in answer.get("Failed", ())]
    return sent, kept


def _letter(message: Mapping[str, Any], whose: str) -> DeadLetter:
    system = message["Attributes"]
    try:
        image = parse_message(message["Body"]).image
    except ContractError:
        image = None
    return DeadLetter(
        whose=whose,
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        body=message["Body"],
        attributes=message.get("MessageAttributes", {}),
        trace=system.get("AWSTraceHeader"),
        sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        receives=int(system["ApproximateReceiveCount"]),
        image=image,
    )


def _entry(number: int, letter: DeadLetter) -> dict[str, Any]:
    """As SendMessageBatch takes it: the message as it was first sent."""
    names = ("DataType", "StringValue", "BinaryValue")
    entry: dict[str, Any] = {"Id": str(number), "MessageBody": letter.body}
    if letter.attributes:
        entry["MessageAttributes"] = {
            name: {part: value[part] for part in names if part in value}
            for name, value in letter.attributes.items()
        }
    if letter.trace:
        header = {"DataType": "String", "StringValue": letter.trace}
        entry["MessageSystemAttributes"] = {"AWSTraceHeader": header}
    return entry


def _chunks(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """As many as one call takes, by number and by size."""
    chunk: list[DeadLetter] = []
    size = 0
    for letter in letters:
        bytes_ = len(letter.body.encode()) + len(repr(dict(letter.attributes)).encode())
        if chunk and (len(chunk) == BATCH or size + bytes_ > BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(letter)
        size += bytes_
    if chunk:
        yield chunk


def _clock(answer: Mapping[str, Any]) -> datetime:
    """The service's own time: that of this machine may be wrong by more than a redrive takes."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)
