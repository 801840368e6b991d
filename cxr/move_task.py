"""SQS's own way back from a dead letter queue: a task that moves all of its messages.

One task at a time for each queue. It goes on without us, and whoever asks again finds it.

Source: SQS API, StartMessageMoveTask, ListMessageMoveTasks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cxr.aws import error_code, translated
from cxr.deployment import DeadLetterQueue

POLL_S: Final = 1.0
"""Between two questions how far a task is."""

NEEDS: Final = (
    "sqs:StartMessageMoveTask, sqs:ListMessageMoveTasks, sqs:ReceiveMessage, sqs:DeleteMessage, "
    "sqs:GetQueueAttributes, sqs:SendMessage, kms:Decrypt and kms:GenerateDataKey"
)

_RUNNING: Final = frozenset({"RUNNING", "CANCELLING"})

_CANNOT: Final = frozenset(
    {
        "InvalidAction",
        "UnknownOperationException",
        "UnsupportedOperation",
        "AWS.SimpleQueueService.UnsupportedOperation",
        "AccessDenied",
        "AccessDeniedException",
    }
)
"""Answers after which messages are moved by hand: receiving and sending may still be allowed."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task, ended or left to itself.

    Attributes:
        moved: Messages so far, as SQS reckons.
        problem: Why it ended early; None if it did not.
        going_on: Whether it still runs.
    """

    moved: int
    problem: str | None
    going_on: bool


def move_by_service(
    sqs: Any, queue: DeadLetterQueue, *, stop: Callable[[], bool], tell: Callable[[int], None]
) -> Task | None:
    """Have SQS move all messages home, and wait; None where it cannot be asked to.

    Args:
        sqs: Client.
        queue: A stage's dead letter queue.
        stop: Asked again and again; True leaves the task to itself.
        tell: Told how many have been moved so far.
    """
    source, home = (_arn(sqs, url) for url in (queue.url, queue.home_url))
    with translated(f"asking SQS to redrive {queue.whose}", needs=NEEDS):
        try:
            if _last(sqs, source).get("Status") not in _RUNNING:
                sqs.start_message_move_task(SourceArn=source, DestinationArn=home)
        except Exception as error:
            if error_code(error) in _CANNOT:
                return None
            raise
    while True:
        with translated(f"following the redrive of {queue.whose}", needs=NEEDS):
            task = _last(sqs, source)
        moved = int(task.get("ApproximateNumberOfMessagesMoved", 0))
        tell(moved)
        if task.get("Status") not in _RUNNING:
            return Task(moved, _problem(task), going_on=False)
        if stop():
            return Task(moved, None, going_on=True)
        time.sleep(POLL_S)


def _problem(task: dict[str, Any]) -> str | None:
    status = task.get("Status", "UNKNOWN")
    if status == "COMPLETED":
        return None
    reason = task.get("FailureReason")
    return f"SQS's task is {status}" + (f" ({reason})" if reason else "")


def _last(sqs: Any, source: str) -> dict[str, Any]:
    """The newest task of a queue; empty if there was none."""
    found = sqs.list_message_move_tasks(SourceArn=source, MaxResults=1).get("Results", ())
    return dict(found[0]) if found else {}


def _arn(sqs: Any, url: str) -> str:
    with translated("reading the queues", needs="sqs:GetQueueAttributes"):
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])
