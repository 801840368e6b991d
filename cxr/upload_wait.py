"""Wait until every image that was uploaded has its record, or is known never to get one."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from cxr.dead_letters import depth, looked_at
from cxr.deployment import Deployment
from cxr.image_story import MOST_DEAD, StoredRecord, read_record
from cxr.upload_object import Outcome
from lambdas.shared.errors import TransientError

ROUND_S: Final = 2.0
"""Between two rounds of questions; the fastest image takes about as long."""

QUEUES_S: Final = 15.0
"""Between two looks at the queues. Two in a row must find them empty: SQS's counts lag behind."""

MOST_ASKED: Final = 200
"""Images asked for in one round, the first uploaded first: a request each."""

_READERS: Final = 8


@dataclass(frozen=True, slots=True)
class Awaited:
    """What has become of uploaded images.

    Attributes:
        records: Of those that are done, in the order in which they came.
        given_up: Names of images whose message lies in a dead letter queue, with whose it is.
        pending: Names of all others.
        why: Why no more is waited for; None if every image is done, or somebody stopped it.
    """

    records: tuple[StoredRecord, ...]
    given_up: tuple[tuple[str, str], ...]
    pending: tuple[str, ...]
    why: str | None


def wait_for_records(
    deployment: Deployment,
    outcomes: Sequence[Outcome],
    *,
    stop: Callable[[], bool],
    tell: Callable[[int, int], None],
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Awaited:
    """Wait.

    Args:
        deployment: Where they were uploaded to.
        outcomes: Of images in its intake bucket.
        stop: Asked again and again.
        tell: Told how many are done, and how many were given up.
        pause: Waits for so many seconds.
        now: A monotonic clock, s.
    """
    s3 = deployment.cloud.client("s3", connections=_READERS)
    sqs = deployment.cloud.client("sqs")
    waiting = deque(outcomes)
    records: list[StoredRecord] = []
    given_up: list[tuple[str, str]] = []
    looked, idle = now(), 0
    with ThreadPoolExecutor(_READERS) as readers:

        def ask(outcome: Outcome) -> StoredRecord | None:
            image_id = outcome.image_id(deployment.intake_bucket) or ""
            try:
                return read_record(s3, deployment, deployment.model_set, image_id)
            except TransientError:  # the next round may do better
                return None

        while waiting and not stop():
            asked = [waiting.popleft() for _ in range(min(MOST_ASKED, len(waiting)))]
            answers = list(readers.map(ask, asked))
            came = [answer for answer in answers if answer is not None]
            records += came
            waiting.extendleft(
                reversed([o for o, answer in zip(asked, answers, strict=True) if answer is None])
            )
            tell(len(records), len(given_up))
            if came:
                idle = 0
                continue
            if waiting and now() - looked >= QUEUES_S:
                looked = now()
                lost = _given_up(sqs, deployment, waiting)
                given_up += [(o.name, lost[o.name]) for o in waiting if o.name in lost]
                waiting = deque(o for o in waiting if o.name not in lost)
                idle = 0 if lost or _moving(sqs, deployment) else idle + 1
                if idle >= 2:
                    break
            if waiting:
                pause(ROUND_S)
    why = None
    if waiting and idle >= 2:
        why = "no image is on its way any more; what became of one: cxr logs KEY"
    return Awaited(tuple(records), tuple(given_up), tuple(o.name for o in waiting), why)


def _moving(sqs: Any, deployment: Deployment) -> int:
    return sum(depth(sqs, stage.queue_url).total for stage in deployment.stages)


def _given_up(
    sqs: Any, deployment: Deployment, waiting: Sequence[Outcome] | deque[Outcome]
) -> dict[str, str]:
    """Who gave an image up, by name of the image."""
    names = {outcome.image_id(deployment.intake_bucket): outcome.name for outcome in waiting}
    found: dict[str, str] = {}
    for queue in deployment.dead_letter_queues:
        with looked_at(sqs, queue, most=MOST_DEAD) as letters:
            for letter in letters:
                if letter.image_id in names:
                    found[names[letter.image_id]] = queue.whose
    return found
