"""`cxr redrive`: what it says, what it moves, and that nothing can get lost."""

import io
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from cxr import dead_letters, redrive_command
from cxr.dead_letters import looked_at, send_home
from cxr.redrive import move
from lambdas.shared.messages import ImageRef, parse_message
from lambdas.shared.records import image_id_of
from tests.conftest import REPOSITORY
from tests.cxr.cloud.conftest import Place
from tests.infra.queue_clock import QueueClock

FAILED: dict[str, Any] = {"level": "WARNING", "message": "image failed; its message stays"}


def id_of(image: ImageRef) -> str:
    return image_id_of(image.bucket, image.key, image.version)


def letters(place: Place, whose: str) -> Any:
    return next(queue for queue in place.deployment.dead_letter_queues if queue.whose == whose)


@pytest.fixture
def films(place: Place) -> list[ImageRef]:
    return [place.upload(f"images/SMITH^JOHN/{number}.dcm") for number in range(4)]


@pytest.fixture
def given_up(place: Place, films: list[ImageRef]) -> list[ImageRef]:
    """One that reached no queue, three that detect gave up: throttled, out of memory, silent."""
    place.give_up("rule", films[0], ERROR_CODE="NO_PERMISSIONS", ERROR_MESSAGE="Not allowed.")
    for film in films[1:]:
        place.give_up("detect", film)
    busy = {**FAILED, "error": "ThrottledError", "reason": "reading an image: SlowDown"}
    for request in range(5):
        line = {**busy, "image_id": id_of(films[1]), "request_id": f"request-{request}"}
        place.log("detect", line)
    place.log(
        "detect",
        {
            "level": "INFO",
            "message": "detect begun",
            "image_id": id_of(films[2]),
            "request_id": "0e",
        },
        "RequestId: 0e Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
        "REPORT RequestId: 0e\tDuration: 12.00 ms\tBilled Duration: 13 ms\tMemory Size: 3008 MB\t"
        "Max Memory Used: 3008 MB\tStatus: error\tError Type: Runtime.OutOfMemory",
    )
    return films


def test_dry_run_says_why_and_what_to_do(place: Place, given_up: list[ImageRef]) -> None:
    code, out, err = place.run("redrive", "--dry-run")
    assert (code, err) == (0, "")
    assert "SMITH" not in out
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    for sentence in (
        "Not delivered by the upload rule: 1 message, to the queue of classify "
        "1 x not delivered: NO_PERMISSIONS: Not allowed. the rule could not reach the first queue",
        "Given up by detect: 3 messages, to the queue of detect",
        "1 x ThrottledError: reading an image: SlowDown a fault outside of the image, which may be "
        "over: redrive",
        "1 x Error: Runtime exited with error: signal: killed Runtime.ExitError; out of memory: "
        "used all 3008 MB the image needs more time or memory than the function has",
        "1 x no line in the logs says why see cxr logs IMAGE_ID",
    ):
        assert sentence in text
    rows = [line.split() for line in out.splitlines() if id_of(given_up[1]) in line]
    assert [row[-2:] for row in rows] == [["1", "5"]], "received once, by this look; failed 5 times"
    assert place.count(place.dead_letters("detect")) == 3
    assert place.count(place.queue("detect")) == 0


def test_looking_leaves_the_messages_for_the_next_one(place: Place, given_up: Any) -> None:
    for times in (1, 2):
        found = place.json("redrive", "--dry-run", "--stage", "detect")
        (queue,) = found["queues"]
        assert [each["received"] for each in queue["looked_at"]] == [times] * 3
        assert {each["failed"] for each in queue["looked_at"]} == {5, 1, 0}
        assert not any("key" in each for each in queue["looked_at"])
    shown = place.json("redrive", "--dry-run", "--stage", "detect", "--show-keys")
    assert {each["key"] for each in shown["queues"][0]["looked_at"]} == {
        f"images/SMITH^JOHN/{number}.dcm" for number in (1, 2, 3)
    }


def test_everything_goes_home_whole(place: Place, given_up: list[ImageRef]) -> None:
    code, out, _ = place.run("redrive", "--yes")
    assert code == 0
    assert out.splitlines()[-3:] == [
        "Not delivered by the upload rule: 1 message sent back",
        "Given up by detect: 3 messages sent back",
        "cxr status shows whether they come back.",
    ]
    (event,) = place.drain("classify")
    assert parse_message(event["Body"]).image.key == given_up[0].key
    assert event["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert {parse_message(each["Body"]).image for each in place.drain("detect")} == set(
        given_up[1:]
    )
    for whose in ("rule", "detect"):
        assert place.count(place.dead_letters(whose)) == 0
    assert place.run("redrive", "--yes")[:2] == (0, "Nothing was given up.\n")


def test_attributes_of_every_kind_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sqs, queue = place.client("sqs"), letters(place, "detect")
    attributes = {
        "text": {"DataType": "String", "StringValue": "é"},
        "number": {"DataType": "Number", "StringValue": "1"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }
    trace = {
        "AWSTraceHeader": {
            "DataType": "String",
            "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793",
        }
    }
    sqs.send_message(
        QueueUrl=queue.url,
        MessageBody="none of ours",
        MessageAttributes=attributes,
        MessageSystemAttributes=trace,
    )
    sent: list[Any] = []
    send = sqs.send_message_batch
    monkeypatch.setattr(
        sqs, "send_message_batch", lambda **options: sent.append(options) or send(**options)
    )
    assert place.run("redrive", "--yes")[0] == 0
    (message,) = place.drain("detect")
    assert message["Body"] == "none of ours"
    assert message["MessageAttributes"] == attributes
    ((entry,),) = [options["Entries"] for options in sent]
    assert entry["MessageSystemAttributes"] == trace, "moto drops it from a batch"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (("--stage", "detect"), {"rule": 1, "detect": 0}),
        (("--rule",), {"rule": 0, "detect": 3}),
        (("--stage", "report"), {"rule": 1, "detect": 3}),
        (("--limit", "1"), {"rule": 0, "detect": 2}),
        (("--stage", "detect", "--rule", "--limit", "2"), {"rule": 0, "detect": 1}),
    ],
)
def test_what_is_named_is_what_goes(
    place: Place, given_up: Any, arguments: tuple[str, ...], left: dict[str, int]
) -> None:
    assert place.run("redrive", "--yes", *arguments)[0] == 0
    assert {whose: place.count(place.dead_letters(whose)) for whose in left} == left


def test_more_than_a_batch(place: Place) -> None:
    film = place.upload("images/1.dcm")
    for _ in range(23):
        place.give_up("report", film)
    found = place.json("redrive", "--yes")
    assert (found["messages"], found["moved"], found["exit_code"]) == (23, 23, 0)
    assert len(place.drain("report")) == 23


def test_batches_keep_to_the_size_that_sqs_takes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "BATCH_BYTES", 5_000)
    sent: list[int] = []
    sqs, queue = place.client("sqs"), letters(place, "report")
    for number in range(6):
        sqs.send_message(QueueUrl=queue.url, MessageBody=str(number) * 2_000)
    send = sqs.send_message_batch

    def counting(**options: Any) -> Any:
        sent.append(sum(len(entry["MessageBody"]) for entry in options["Entries"]))
        return send(**options)

    monkeypatch.setattr(sqs, "send_message_batch", counting)
    with looked_at(sqs, queue, most=10) as found:
        send_home(sqs, queue, found)
    assert sent == [4_000] * 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "moved", "code"), [("y\n", 3, 0), ("n\n", 0, 1), ("\n", 0, 1), ("", 0, 1)]
)
def test_a_person_is_asked(
    place: Place,
    given_up: Any,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    moved: int,
    code: int,
) -> None:
    monkeypatch.setattr(redrive_command.sys, "stdin", Terminal(answer))
    found, _, err = place.run("redrive", "--stage", "detect")
    assert found == code
    assert "Send 3 messages back? [y/N] " in err
    assert ("Nothing was sent back." in err) is (moved == 0)
    assert place.count(place.queue("detect")) == moved


def test_what_failed_again_meanwhile_does_not_go_round(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that gives up at once, as fast as messages are sent to it."""
    sqs, queue = place.client("sqs"), letters(place, "detect")
    film = place.upload("images/1.dcm")
    place.give_up("detect", film)
    clock = QueueClock(monkeypatch)
    send = sqs.send_message_batch

    def giving_up(**options: Any) -> Any:
        clock.advance(10)
        assert options["QueueUrl"] == queue.home_url
        return send(**{**options, "QueueUrl": queue.url})

    monkeypatch.setattr(sqs, "send_message_batch", giving_up)
    done = move(
        sqs, queue, limit=None, by_service=False, stop=lambda: False, tell=lambda count: None
    )
    assert (done.count, done.problem) == (1, None)
    assert place.count(queue.url) == 1


def test_message_that_sqs_does_not_take_stays(
    place: Place, given_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs, queue = place.client("sqs"), letters(place, "detect")
    send = sqs.send_message_batch

    def half(**options: Any) -> Any:
        options["Entries"] = options["Entries"][1:]
        return send(**options) | {"Failed": [{"Id": "0", "Code": "InternalError"}]}

    monkeypatch.setattr(sqs, "send_message_batch", half)
    done = move(
        sqs, queue, limit=None, by_service=False, stop=lambda: False, tell=lambda count: None
    )
    assert (done.count, done.problem) == (2, "SQS did not take 1 of 3 messages")
    assert place.count(queue.url) == 1
    found = sqs.receive_message(QueueUrl=queue.url)["Messages"]
    assert len(found) == 1, "handed back, so that the same command finds it at once"


def test_messages_that_sqs_does_not_hand_out_are_told(
    place: Place, given_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = place.client("sqs")
    receive, answers = sqs.receive_message, iter((True, True, False))

    def sparing(**options: Any) -> Any:  # one at a time, and then none though there is one
        return receive(**options | {"MaxNumberOfMessages": 1}) if next(answers) else {}

    queue = letters(place, "detect")
    monkeypatch.setattr(sqs, "receive_message", sparing)
    done = move(
        sqs, queue, limit=None, by_service=False, stop=lambda: False, tell=lambda count: None
    )
    assert (done.count, done.problem) == (2, "SQS handed out 2 of 3 messages")


def test_message_that_cannot_be_deleted_is_told(
    place: Place, given_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs, queue = place.client("sqs"), letters(place, "detect")

    def refusing(**options: Any) -> Any:
        return {"Failed": [{"Id": each["Id"], "Code": "Internal"} for each in options["Entries"]]}

    monkeypatch.setattr(sqs, "delete_message_batch", refusing)
    done = move(
        sqs, queue, limit=None, by_service=False, stop=lambda: False, tell=lambda count: None
    )
    assert (done.count, done.twice) == (3, 3)
    assert place.count(queue.url) == place.count(queue.home_url) == 3


KILLED = """
import os, signal, sys
from cxr import aws
from cxr.cli import main

point = sys.argv.pop(1)
client = aws.Cloud.client

def deadly(cloud, service, **options):
    made = client(cloud, service, **options)
    def call(name, real):
        def inner(**arguments):
            if point == "before " + name:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = real(**arguments)
            if point == "after " + name:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        return inner
    if service == "sqs":
        for name in ("send_message_batch", "delete_message_batch"):
            setattr(made, name, call(name, getattr(made, name)))
    return made

aws.Cloud.client = deadly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "in_home"),
    [
        ("before send_message_batch", 0),
        ("after send_message_batch", 3),
        ("before delete_message_batch", 3),
        ("after delete_message_batch", 3),
    ],
)
def test_killed_anywhere_it_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, point: str, in_home: int
) -> None:
    bodies = {place.give_up("detect", place.upload(f"images/{number}")) for number in range(3)}
    arguments = ["redrive", "--yes", "--endpoint-url", place.endpoint]
    process = subprocess.run(
        [sys.executable, "-c", KILLED, point, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert place.count(place.queue("detect")) == in_home
    left = place.count(place.dead_letters("detect"))
    assert left == (0 if point == "after delete_message_batch" else 3)
    QueueClock(monkeypatch).advance(dead_letters.HIDDEN_S + 1)
    assert place.run("redrive", "--yes")[0] == 0
    assert place.count(place.dead_letters("detect")) == 0
    arrived = [message["Body"] for message in place.drain("detect")]
    assert set(arrived) == bodies, "none is lost"
    assert len(arrived) <= 6, "and each comes twice at most"


@pytest.mark.slow
def test_ctrl_c_finishes_the_batch_in_hand(place: Place) -> None:
    film = place.upload("images/1")
    for _ in range(30):
        place.give_up("detect", film)
    script = KILLED.replace("SIGKILL", "SIGINT")
    arguments = ["redrive", "--yes", "--json", "--endpoint-url", place.endpoint]
    process = subprocess.run(
        [sys.executable, "-c", script, "after send_message_batch", *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 130, process.stderr
    found = json.loads(process.stdout)
    assert (found["moved"], found["exit_code"]) == (10, 130)
    assert place.count(place.dead_letters("detect")) == 20
    assert len(place.drain("detect")) == 10
