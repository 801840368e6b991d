"""SQS's own redrive, which moto does not have: against a stand-in made after its documentation."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cxr import move_task
from cxr.deployment import DeadLetterQueue
from cxr.redrive import Moved, move
from lambdas.shared.errors import ThrottledError

QUEUE = DeadLetterQueue("detect", "https://sqs/dead", "https://sqs/home")


def refused(code: str, operation: str = "StartMessageMoveTask", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


@dataclass
class FakeSqs:
    """Moves `step` messages between two questions; one task at a time."""

    dead: int = 5
    step: int = 2
    home: int = 0
    refusal: ClientError | None = None
    ends_as: tuple[str, str | None] = ("COMPLETED", None)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    by_hand: bool = False

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:
        name = QueueUrl.rpartition("/")[2]
        counts = dict.fromkeys(("", "NotVisible", "Delayed"), "0")
        attributes = {f"ApproximateNumberOfMessages{kind}": n for kind, n in counts.items()}
        return {
            "Attributes": {"QueueArn": f"arn:{name}", **attributes},
            "ResponseMetadata": {"HTTPHeaders": {}},
        }

    def start_message_move_task(self, SourceArn: str, DestinationArn: str) -> Any:
        assert (SourceArn, DestinationArn) == ("arn:dead", "arn:home")
        if self.refusal:
            raise self.refusal
        assert not any(task["Status"] == "RUNNING" for task in self.tasks)
        self.tasks.insert(0, {"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 0})
        return {"TaskHandle": "x"}

    def list_message_move_tasks(self, SourceArn: str, MaxResults: int) -> Any:
        assert SourceArn == "arn:dead"
        if self.tasks and self.tasks[0]["Status"] == "RUNNING":
            moved = min(self.step, self.dead)
            self.dead -= moved
            self.home += moved
            self.tasks[0]["ApproximateNumberOfMessagesMoved"] += moved
            if not self.dead:
                status, reason = self.ends_as
                self.tasks[0]["Status"] = status
                if reason:
                    self.tasks[0]["FailureReason"] = reason
        return {"Results": self.tasks[:MaxResults]}

    def receive_message(self, **options: Any) -> Any:
        self.by_hand = True
        return {}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move_task, "POLL_S", 0)


def run(sqs: FakeSqs, *, stop: Any = lambda: False, limit: int | None = None) -> Moved:
    return move(sqs, QUEUE, limit=limit, by_service=True, stop=stop, tell=lambda count: None)


def test_task_is_started_and_followed() -> None:
    sqs = FakeSqs()
    assert run(sqs) == Moved("detect", 5)
    assert (sqs.dead, sqs.home, len(sqs.tasks)) == (0, 5, 1)
    assert not sqs.by_hand


def test_task_that_runs_is_followed_and_no_other_started() -> None:
    sqs = FakeSqs(tasks=[{"Status": "RUNNING", "ApproximateNumberOfMessagesMoved": 7}])
    assert run(sqs) == Moved("detect", 12)
    assert len(sqs.tasks) == 1


def test_task_of_the_past_is_not_taken_for_this_one() -> None:
    sqs = FakeSqs(tasks=[{"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 900}])
    assert run(sqs) == Moved("detect", 5)


def test_interrupted_it_goes_on_without_us() -> None:
    answers = iter((False, True))
    sqs = FakeSqs(dead=100)
    assert run(sqs, stop=lambda: next(answers)) == Moved("detect", 4, going_on=True)
    assert run(sqs) == Moved("detect", 100)


def test_task_that_fails_says_why() -> None:
    done = run(FakeSqs(ends_as=("FAILED", "CouldNotDetermineMessageSource")))
    assert done.problem == "SQS's task is FAILED (CouldNotDetermineMessageSource)"


@pytest.mark.parametrize("code", ["AWS.SimpleQueueService.UnsupportedOperation", "AccessDenied"])
def test_where_sqs_cannot_be_asked_messages_go_by_hand(code: str) -> None:
    sqs = FakeSqs(refusal=refused(code))
    run(sqs)
    assert sqs.by_hand


def test_throttling_is_no_reason_to_go_by_hand() -> None:
    sqs = FakeSqs(refusal=refused("ThrottlingException"))
    with pytest.raises(ThrottledError, match="asking SQS to redrive detect"):
        run(sqs)
    assert not sqs.by_hand


def test_some_of_many_go_by_hand() -> None:
    sqs = FakeSqs()
    run(sqs, limit=2)
    assert sqs.by_hand
    assert not sqs.tasks
