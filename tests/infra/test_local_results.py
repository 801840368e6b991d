"""From events to results: each image once, copied whole, again if that failed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.local_results import ResultWatcher
from tests.infra.queue_clock import QueueClock

FOLDER = "results/" + "0" * 16 + "/" + "1" * 32 + "/"
ENDPOINT = "http://127.0.0.1:5055"


class World:
    """A results bucket and a queue of events, in moto."""

    def __init__(self) -> None:
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        self.s3.create_bucket(Bucket="results")
        self.url = self.sqs.create_queue(QueueName="processed")["QueueUrl"]
        self.put("report.pdf", b"%PDF")
        record = {"source": {"key": "images/a b.png"}, "outputs": {"report": "report.pdf"}}
        self.put("record.json", json.dumps(record).encode())

    def put(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket="results", Key=FOLDER + name, Body=data)

    def tell(self, times: int = 1) -> None:
        event = {"detail": {"record": f"s3://results/{FOLDER}record.json"}}
        for _ in range(times):
            self.sqs.send_message(QueueUrl=self.url, MessageBody=json.dumps(event))

    def watcher(self, keep: Path | None = None) -> ResultWatcher:
        return ResultWatcher(
            sqs=self.sqs, s3=self.s3, queue_url=self.url, endpoint=ENDPOINT, keep=keep
        )

    @property
    def left(self) -> int:
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        counts: dict[str, Any] = found["Attributes"]
        return int(counts["ApproximateNumberOfMessages"]) + int(
            counts["ApproximateNumberOfMessagesNotVisible"]
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield World()


def test_image_is_given_once_however_often_it_is_told_of(world: World) -> None:
    watcher = world.watcher()
    world.tell(13)
    (finished,) = watcher.read()
    assert finished.key == "images/a b.png"
    assert finished.report_url == f"{ENDPOINT}/results/{FOLDER}report.pdf"
    world.tell()
    assert list(watcher.read()) == []
    assert list(watcher.told.values()) == [14]
    assert world.left == 0


def test_result_is_kept_whole(world: World, tmp_path: Path) -> None:
    world.tell()
    (finished,) = world.watcher(tmp_path).read()
    kept = tmp_path / FOLDER
    assert sorted(path.name for path in kept.iterdir()) == ["record.json", "report.pdf"]
    assert json.loads((kept / "record.json").read_text()) == finished.record


def test_result_that_cannot_be_kept_is_tried_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = QueueClock(monkeypatch)
    (tmp_path / "results").write_text("a file is in the way")
    watcher = world.watcher(tmp_path)
    world.tell()
    with pytest.raises(OSError, match="results"):
        list(watcher.read())
    (tmp_path / "results").unlink()
    clock.advance(31)
    assert len(list(watcher.read())) == 1
    assert (tmp_path / FOLDER / "record.json").is_file()


def test_result_that_somebody_deleted_is_passed_over(world: World) -> None:
    world.s3.delete_object(Bucket="results", Key=FOLDER + "record.json")
    world.tell()
    assert list(world.watcher().read()) == []
    assert world.left == 0
