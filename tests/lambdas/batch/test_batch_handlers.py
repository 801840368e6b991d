"""Planner and batch function against moto: a small archive from order to records."""

import csv
import importlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lambdas.batch.job import (
    BatchOutcome,
    Job,
    Source,
    job_key,
    outcome_key,
    state_key,
    to_document,
    wave_key,
)
from lambdas.batch.state import State
from lambdas.shared.bundle import load_pair
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.messages import ListedObject
from tests.builders import dicom, film, png
from tests.lambdas.batch.job_builders import archive_job

INTAKE, RESULTS = "the-archive", "the-results"


class Context:
    aws_request_id = "request-1"

    def __init__(self, milliseconds: int = 300_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class Archive:
    """An archive in a bucket, and the two functions."""

    def __init__(self, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s3 = boto3.client("s3")
        for bucket in (INTAKE, RESULTS):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_bucket_versioning(Bucket=INTAKE, VersioningConfiguration={"Status": "Enabled"})
        self.model_set = load_pair(models).model_set
        environment = {
            "CXR_MODELS": str(models),
            "CXR_RESULTS_BUCKET": RESULTS,
            "CXR_EVENT_BUS": "default",
            "CXR_IMAGE_SECONDS": "75",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        self.batch: ModuleType = importlib.import_module("lambdas.batch.handler")
        self.planner: ModuleType = importlib.import_module("lambdas.batch.plan_handler")
        self.batch._collaborators.cache_clear()

    def close(self) -> None:
        if self.batch._collaborators.cache_info().currsize:
            for reader in self.batch._collaborators()[2]:
                reader.close()
            self.batch._collaborators.cache_clear()

    def put(self, key: str, data: bytes) -> str:
        return str(self.s3.put_object(Bucket=INTAKE, Key=key, Body=data)["VersionId"])

    def order(self, **changes: Any) -> Job:
        values = {"source": Source("prefix", INTAKE, "2019/"), "batch_images": 3, "wave_batches": 2}
        job = archive_job(model_set=self.model_set, **values | changes)
        self.write(job_key(job.name), to_document(job))
        return job

    def write(self, key: str, document: Any) -> None:
        self.s3.put_object(Bucket=RESULTS, Key=key, Body=json.dumps(document).encode())

    def read(self, key: str) -> Any:
        return json.loads(self.s3.get_object(Bucket=RESULTS, Key=key)["Body"].read())

    def plan(self, ran: int) -> dict[str, Any]:
        return dict(self.planner.handler({"job": "night", "ran": ran}, Context()))

    def run_wave(self, planned: dict[str, Any], *, milliseconds: int = 300_000) -> None:
        for request in self.read(planned["items_key"]):
            self.batch.handler({"request": request, "retry_count": 0}, Context(milliseconds))

    def run(self) -> State:
        planned = self.plan(0)
        while planned["status"] == "running":
            self.run_wave(planned)
            planned = self.plan(planned["wave"])
        return State.from_document(self.read(state_key("night")))

    def records(self) -> list[Any]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=RESULTS, Prefix="results/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [self.read(key) for key in keys if key.endswith("record.json")]


@pytest.fixture
def archive(tiny_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        made = Archive(tiny_models_folder, monkeypatch)
        yield made
        made.close()


def fill(archive: Archive, count: int = 8) -> None:
    for number in range(count):
        archive.put(f"2019/a b+{number}.png", png(film(seed=number)))
    archive.put("2019/bad.dcm", b"\0" * 128 + b"DICM")
    archive.put("2019/", b"")
    archive.put("2020/other.png", png(film()))


def test_every_image_below_the_prefix_has_one_record(archive: Archive) -> None:
    fill(archive)
    archive.order()
    state = archive.run()
    assert (state.status, state.planned) == ("done", 2)
    tally = state.tally
    assert (tally.listed, tally.analysed, tally.rejected, tally.failed) == (9, 8, 1, 0)
    records = archive.records()
    assert len(records) == 9
    assert {record["model_set"] for record in records} == {archive.model_set}
    assert {record["source"]["key"] for record in records if record["status"] == "rejected"} == {
        "2019/bad.dcm"
    }
    assert 0 < state.spent_usd < 0.01
    assert state.billed_ms > 0


def test_second_job_does_nothing_again(archive: Archive) -> None:
    fill(archive, 2)
    archive.order()
    archive.run()
    before = archive.records()
    archive.s3.delete_object(Bucket=RESULTS, Key=state_key("night"))
    for wave in (1, 2):
        archive.s3.delete_object(Bucket=RESULTS, Key=wave_key("night", wave))
    state = archive.run()
    assert (state.tally.already_done, state.tally.analysed) == (3, 0)
    assert archive.records() == before


def test_csv_list_without_versions_gives_the_records_that_events_would(archive: Archive) -> None:
    version = archive.put("2019/é,x.dcm", dicom(film()))
    text = io.StringIO()
    csv.writer(text).writerows([["bucket", "key"], [INTAKE, "2019/é,x.dcm"], [INTAKE, "gone.dcm"]])
    archive.s3.put_object(Bucket=INTAKE, Key="list.csv", Body=text.getvalue().encode())
    archive.order(source=Source("csv", INTAKE, "list.csv"))
    state = archive.run()
    assert (state.tally.analysed, state.tally.gone) == (1, 1)
    (record,) = archive.records()
    assert record["source"]["version"] == version


def test_images_that_time_did_not_allow_are_planned_again(archive: Archive) -> None:
    fill(archive, 3)
    archive.order()
    planned = archive.plan(0)
    archive.run_wave(planned, milliseconds=20_000)
    assert archive.records() == []
    again = archive.plan(planned["wave"])
    assert again["status"] == "running"
    archive.run_wave(again)
    assert archive.plan(again["wave"])["status"] == "done"
    assert len(archive.records()) == 4


def test_other_models_fail_the_images_not_the_function(archive: Archive) -> None:
    fill(archive, 3)
    job = archive.order()
    archive.write(job_key("night"), {**to_document(job), "model_set": "f" * 16})
    state = archive.run()
    assert state.status == "failed"
    outcome = BatchOutcome.from_document(archive.read(outcome_key("night", 1, 0)))
    assert {failure.reason for failure in outcome.failures} == {"ModelMismatchError"}
    assert archive.records() == []


def test_unknown_job_is_a_clear_error(archive: Archive) -> None:
    with pytest.raises(InvalidRequestError, match="cxr archive start"):
        archive.plan(0)


def test_events_are_told_only_where_the_job_asks(archive: Archive) -> None:
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(Name="r", EventPattern='{"source": ["cxr-batch"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": attributes["QueueArn"]}])
    archive.put("2019/a.png", png(film()))
    archive.order(events=True)
    archive.run()
    (message,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["detail"]["image_id"] == archive.records()[0]["image_id"]


def test_versions_are_listed_page_by_page(archive: Archive) -> None:
    from lambdas.shared.listing import ObjectLister

    for number in range(7):
        archive.put(f"2019/{number}", b"old")
        archive.put(f"2019/{number}", b"newer")
    archive.s3.delete_object(Bucket=INTAKE, Key="2019/3")

    class SmallPages:
        def list_object_versions(self, **arguments: Any) -> Any:
            return archive.s3.list_object_versions(MaxKeys=3, **arguments)

    found = list(ObjectLister(client=SmallPages()).current_objects(INTAKE, "2019/", after_key=None))
    assert [entry.key for entry in found] == [f"2019/{n}" for n in (0, 1, 2, 4, 5, 6)]
    assert {entry.size_bytes for entry in found} == {5}
    after = ObjectLister(client=SmallPages()).current_objects(INTAKE, "2019/", after_key="2019/4")
    assert all(isinstance(entry, ListedObject) for entry in after)
