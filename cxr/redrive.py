"""What was given up, why, and the way back.

Messages go back whole. Nothing can get lost: a copy is sent before the original is deleted, and on
AWS the service itself moves them. A message that was moved twice is an image that is done once.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cxr.dead_letters import DeadLetter, depth, hand_back, looked_at, receive, send_home
from cxr.deployment import RULE, DeadLetterQueue, Deployment
from cxr.image_logs import ImageLogs, LogLine
from cxr.move_task import move_by_service
from lambdas.shared.errors import RETRYABLE, CxrError, OutOfTimeError

MOST_LOOKED_AT: Final = 200
"""Messages of a queue that are looked at to say why they failed."""

MOST_SEARCHED: Final = 10
"""Images whose whole log is searched, where no line of a stage says why it failed."""

_ENDED: Final = re.compile(r"timed out|out of memory|Runtime exited|ended with status|Sandbox")
"""In a reason: the invocation ended before the function could say anything."""

_CLOCK_STEP: Final = timedelta(seconds=1)
"""Resolution of the time that SQS answers with."""

_AGAIN_LATER: Final = "a fault outside of the image, which may be over: redrive"
_MEND_FIRST: Final = "a fault of the code, the models or permissions: mend it, deploy, then redrive"
_TOO_MUCH: Final = (
    "the image needs more time or memory than the function has: raise memory_mb in cdk.json, "
    "deploy, then redrive; or give the image up: delete this version of it, then redrive"
)
_DELIVERY: Final = "the rule could not reach the first queue: `make deploy` mends policies; redrive"
_UNKNOWN: Final = "see cxr logs IMAGE_ID; redrive to see whether it passes"
_FOREIGN: Final = "no message of ours: no redrive finishes it; look at it in the SQS console"


@dataclass(frozen=True, slots=True)
class Failure:
    """One message that was given up, and why.

    Attributes:
        letter: The message.
        reason: Of its last attempt.
        attempts: Failed ones that the logs tell of, earlier redrives included; 0 if they do not.
        advice: What to do.
    """

    letter: DeadLetter
    reason: str
    attempts: int
    advice: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in one dead letter queue.

    Attributes:
        queue: Which one.
        count: Messages, as SQS reckons.
        failures: Those that were looked at.
        silent: Why the logs could not be asked; None if they could.
        at: When, by SQS's clock.
    """

    queue: DeadLetterQueue
    count: int
    failures: tuple[Failure, ...]
    silent: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one dead letter queue.

    Attributes:
        whose: Stage, or `RULE`.
        count: Messages sent back.
        twice: Of these, messages that could not be deleted and will be sent back again.
        problem: Why the rest was not; None if there is none.
        going_on: Whether SQS goes on by itself.
    """

    whose: str
    count: int
    twice: int = 0
    problem: str | None = None
    going_on: bool = False


def survey(
    sqs: Any, logs: ImageLogs, queue: DeadLetterQueue, *, most: int = MOST_LOOKED_AT
) -> Survey:
    """Look at what lies in a queue, and ask the logs why.

    Args:
        sqs: Client.
        logs: Of the functions.
        queue: Which one.
        most: Messages to look at.
    """
    found = depth(sqs, queue.url)
    with looked_at(sqs, queue, most=most) as letters:
        pass  # handed back before the logs, which may take long, are asked
    silent = None
    try:
        told = _told(logs, queue, letters)
    except CxrError as error:
        told, silent = {}, str(error)
    return Survey(
        queue=queue,
        count=found.total,
        failures=tuple(_failure(letter, told) for letter in letters),
        silent=silent,
        at=found.at,
    )


def move(
    sqs: Any,
    queue: DeadLetterQueue,
    *,
    limit: int | None,
    by_service: bool,
    stop: Callable[[], bool],
    tell: Callable[[int], None],
) -> Moved:
    """Send the messages of a dead letter queue home.

    Args:
        sqs: Client.
        queue: Which one.
        limit: Messages at most; None for all.
        by_service: Whether SQS can be asked to do it. It cannot for the rule's queue, nor for some
            messages of many.
        stop: Asked between batches.
        tell: Told how many have been moved so far.
    """
    if by_service and limit is None and queue.whose != RULE:
        task = move_by_service(sqs, queue, stop=stop, tell=tell)
        if task is not None:
            return Moved(queue.whose, task.moved, problem=task.problem, going_on=task.going_on)
    return _move_by_hand(sqs, queue, limit=limit, stop=stop, tell=tell)


def _move_by_hand(
    sqs: Any,
    queue: DeadLetterQueue,
    *,
    limit: int | None,
    stop: Callable[[], bool],
    tell: Callable[[int], None],
) -> Moved:
    found = depth(sqs, queue.url)
    begun = found.at + _CLOCK_STEP
    count = twice = 0
    staying: list[DeadLetter] = []
    problem = None
    try:
        for batch in receive(sqs, queue, most=limit):
            # what failed again meanwhile would go round and round
            due = [letter for letter in batch if letter.sent_at <= begun]
            sent, kept = send_home(sqs, queue, due)
            count += len(sent)
            twice += len(kept)
            tell(count)
            staying += [letter for letter in batch if letter not in sent]
            if len(sent) < len(due):
                problem = f"SQS did not take {len(due) - len(sent)} of {len(due)} messages"
                break
            if stop():
                break
        else:
            wanted = found.waiting if limit is None else min(limit, found.waiting)
            if count + len(staying) < wanted:
                problem = f"SQS handed out {count + len(staying):,} of {wanted:,} messages"
    finally:
        hand_back(sqs, queue, staying)
    return Moved(queue.whose, count, twice, problem)


def _told(
    logs: ImageLogs, queue: DeadLetterQueue, letters: Sequence[DeadLetter]
) -> dict[str, tuple[str, int]]:
    """Reason of the last failed attempt and number of those, by image."""
    images = {letter.image_id: letter.sent_at for letter in letters if letter.image_id}
    if queue.whose == RULE or not images:
        return {}
    faults = logs.faults(queue.whose, since=min(images.values()))
    silent = [image for image in images if image not in faults]
    for image in silent[:MOST_SEARCHED]:
        lines = logs.of_image(image, since=images[image])
        if ends := [line for line in lines if line.fault and line.stage == queue.whose]:
            faults[image] = ends
    return {image: _last_of(lines) for image, lines in faults.items()}


def _last_of(lines: Sequence[LogLine]) -> tuple[str, int]:
    """What the last attempt failed of, and how many failed; Lambda has several lines for one."""
    attempts: dict[str, list[str]] = {}
    for number, line in enumerate(sorted(lines, key=lambda line: line.at)):
        attempts.setdefault(line.request_id or str(number), []).append(line.fault or "")
    last = list(attempts.values())[-1]
    return "; ".join(dict.fromkeys(last)), len(attempts)


def _failure(letter: DeadLetter, told: dict[str, tuple[str, int]]) -> Failure:
    if letter.image_id is None:
        return Failure(letter, "none of our messages", 0, _FOREIGN)
    if letter.delivery_error:
        return Failure(letter, f"not delivered: {letter.delivery_error}", 0, _DELIVERY)
    reason, attempts = told.get(letter.image_id, ("no line in the logs says why", 0))
    return Failure(letter, reason, attempts, _advice(reason) if attempts else _UNKNOWN)


def _advice(reason: str) -> str:
    error = reason.partition(":")[0].partition(" ")[0]
    if _ENDED.search(reason) or error == OutOfTimeError.__name__:
        return _TOO_MUCH
    return _AGAIN_LATER if error in {kind.__name__ for kind in RETRYABLE} else _MEND_FIRST


def chosen_queues(
    deployment: Deployment, *, stages: Sequence[str], rule: bool
) -> tuple[DeadLetterQueue, ...]:
    """The queues that the arguments name; all where they name none."""
    wanted = {*stages, *([RULE] if rule else [])}
    return tuple(
        queue for queue in deployment.dead_letter_queues if not wanted or queue.whose in wanted
    )
