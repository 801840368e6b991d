"""`cxr status` as a stranger reads it."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cxr import status_command
from cxr.cli import main
from cxr.stage_metrics import Figures
from cxr.status_table import age_text
from lambdas.shared.errors import StorageUnavailableError
from tests.cxr.cloud.conftest import Place

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def emit(place: Place, namespace: str, name: str, value: float, **dimensions: str) -> None:
    """One data point, a minute ago."""
    data = {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
        "Timestamp": datetime.now(UTC) - timedelta(seconds=70),
        "Value": value,
    }
    place.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[data])


def send(place: Place, url: str, count: int = 1, **options: Any) -> None:
    for _ in range(count):
        place.client("sqs").send_message(QueueUrl=url, MessageBody="x", **options)


def test_empty_deployment_says_what_is_not_known(place: Place) -> None:
    code, out, err = place.run("status")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(
        r"cxr-batch-local at http://127.0.0.1:\d+, 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[0]
    )
    rows = {line.split()[0]: line.split()[1:] for line in lines[5:] if line.strip()}
    for stage in ("classify", "detect", "report"):
        assert rows[stage] == ["0", "0", "0", "n/a", "n/a", "n/a", "0"]
    assert rows["total"] == ["0", "0", "0", "0"]
    assert lines[-1] == "Records in the last hour: n/a"
    assert max(map(len, lines)) <= 80


def test_what_waits_flows_and_was_given_up(place: Place) -> None:
    places = place.deployment.stages
    send(place, place.queue("classify"), 3)
    place.client("sqs").receive_message(QueueUrl=place.queue("classify"))
    send(place, place.queue("detect"), DelaySeconds=60)
    send(place, place.dead_letters("detect"), 2)
    send(place, place.dead_letters("rule"))
    for _ in range(10):
        emit(place, "CxrBatch/local", "ImageMilliseconds", 900, service="classify")
    emit(place, "CxrBatch/local", "ImagesAnalysed", 7, service="report")
    emit(place, "AWS/Lambda", "Errors", 4, FunctionName=places[1].function)
    emit(place, "AWS/Lambda", "Throttles", 2, FunctionName=places[0].function)
    queue = place.queue("classify").rpartition("/")[2]
    emit(place, "AWS/SQS", "ApproximateAgeOfOldestMessage", 754, QueueName=queue)
    dead = place.dead_letters("detect").rpartition("/")[2]
    emit(place, "AWS/SQS", "ApproximateAgeOfOldestMessage", 9 * 86_400 + 5, QueueName=dead)

    code, out, _ = place.run("status")
    assert code == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["upload"] == ["rule", "1"]
    assert rows["classify"] == ["2", "1", "0", "13", "min", "2.0", "n/a", "0"]
    assert rows["detect"] == ["0", "0", "1", "n/a", "n/a", "4", "2"]
    assert rows["report"] == ["0", "0", "0", "n/a", "n/a", "n/a", "0"]
    assert rows["total"] == ["2", "1", "1", "3"]
    assert out.splitlines()[-5:] == [
        "Records in the last hour: 7 analysed, 0 rejected",
        "Throttled in the last hour: classify 2",
        "3 messages were given up; nothing is lost. Why: cxr redrive --dry-run",
        "The oldest was given up 9 days ago; SQS deletes a message 14 days after it was ",
        "first sent.",
    ]

    document = place.json("status")
    assert document["exit_code"] == 1
    assert document["rule"] == {"dead": 1, "dead_oldest_s": None}
    assert (document["moving"], document["dead"]) == (4, 3)
    classify = document["stages"][0]
    assert classify == {
        "stage": "classify",
        "waiting": 2,
        "in_flight": 1,
        "delayed": 0,
        "oldest_s": 754,
        "images_per_minute": 2.0,
        "errors_last_hour": None,
        "throttles_last_hour": 2,
        "dead": 0,
        "dead_oldest_s": None,
    }


def test_figures_of_long_ago_are_not_taken_for_now() -> None:
    minutes = [timedelta(minutes=each) for each in (55, 20, 3)]
    points = tuple((NOW - ago, 10.0) for ago in minutes)
    figures = Figures({("classify", "images"): points, ("detect", "images"): points[:2]}, NOW)
    assert figures.per_minute("classify", "images") == 2.0
    assert figures.per_minute("detect", "images") is None
    assert figures.latest("detect", "images") is None
    assert figures.total("classify", "images") == 30
    assert figures.total("report", "images") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "n/a"), (0, "0 s"), (90, "90 s"), (754, "13 min"), (9000, "2.5 h"), (777_605, "9.0 d")],
)
def test_ages_read_well(seconds: float | None, text: str) -> None:
    assert age_text(seconds) == text


def test_watching_goes_on_through_a_fault_and_ends_with_ctrl_c(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxr.status import StatusReader

    read, calls = StatusReader.read, iter(("good", "bad", "good"))

    def unsteady(self: StatusReader, now: float) -> Any:
        if next(calls) == "bad":
            raise StorageUnavailableError("reading the queues: AWS answers InternalError")
        return read(self, now)

    naps = iter((None, None, KeyboardInterrupt()))

    def nap(seconds: float) -> None:
        assert seconds == 7
        if (nap := next(naps)) is not None:
            raise nap

    monkeypatch.setattr(StatusReader, "read", unsteady)
    monkeypatch.setattr(status_command.time, "sleep", nap)
    send(place, place.dead_letters("report"))
    code, out, err = place.run("status", "--watch", "7", "--json")
    assert code == 1, "that of the last look"
    assert [json.loads(line)["dead"] for line in out.splitlines()] == [1, 1]
    assert err == "cxr status: reading the queues: AWS answers InternalError\n"


def test_watching_asks_cloudwatch_no_oftener_than_its_figures_change(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxr import status

    asked: list[float] = []
    ask = status.read_figures

    def counting(*arguments: Any) -> Figures:
        asked.append(1)
        return ask(*arguments)

    monkeypatch.setattr(status, "read_figures", counting)
    reader = status.StatusReader(place.deployment, metrics_s=30)
    for now in (0, 10, 29, 30, 45, 61):
        reader.read(now)
    assert len(asked) == 3


def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    for command in ("status", "redrive", "logs", "upload"):
        assert main([command, "--help"]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 90
