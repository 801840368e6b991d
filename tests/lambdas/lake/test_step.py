"""One step of compaction, as the lake's function takes it: request in, files and partitions out."""

import importlib
import io
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lambdas.lake.bucket import PARTS
from lambdas.lake.catalog import PartitionsRefusedError, register_partitions
from lambdas.lake.layout import Scope
from lambdas.lake.step import LakeSettings, compact_results, parse_request
from lambdas.shared import telemetry
from lambdas.shared.errors import ConfigError, InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import to_json
from tests.cxr.fakes import MODEL_SET
from tests.lambdas.lake.cases import KEY, OTHER_MODEL_SET, record

BUCKET = "the-results"
DATABASE = "trial"
IMAGES = 12
TODAY = date(2026, 2, 10)


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """One for all: compacting again changes nothing, which is the point."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws():
            yield


@pytest.fixture(scope="module")
def s3(aws: None) -> Any:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    for made in (*map(record, range(IMAGES)), record(0, model_set=OTHER_MODEL_SET)):
        key = f"results/{made['model_set']}/{made['image_id']}/record.json"
        client.put_object(Bucket=BUCKET, Key=key, Body=to_json(made))
    return client


@pytest.fixture(scope="module")
def glue(aws: None) -> Any:
    client = boto3.client("glue")
    client.create_database(DatabaseInput={"Name": DATABASE})
    keys = [{"Name": "model_set", "Type": "string"}, {"Name": "date", "Type": "date"}]
    for table in ("records", "findings", "many"):
        client.create_table(
            DatabaseName=DATABASE, TableInput={"Name": table, "PartitionKeys": keys}
        )
    return client


def partitions(glue: Any, table: str) -> set[tuple[str, ...]]:
    found = glue.get_partitions(DatabaseName=DATABASE, TableName=table)["Partitions"]
    return {(*each["Values"], each["StorageDescriptor"]["Location"]) for each in found}


def compact_every_part(s3: Any, glue: Any, **settings: Any) -> list[dict[str, int]]:
    chosen = LakeSettings(
        **{"results_bucket": BUCKET, "database": DATABASE, "with_keys": False} | settings
    )
    return [compact_results(Scope(part=part), settings=chosen, s3=s3, glue=glue) for part in PARTS]


@pytest.mark.parametrize(
    ("event", "scope"),
    [
        ({}, Scope()),
        ({"part": "a"}, Scope(part="a")),
        ({"part": "0", "model_set": MODEL_SET}, Scope(MODEL_SET, "0")),
        ({"part": "0", "since": "2026-01-31"}, Scope(part="0", since=date(2026, 1, 31))),
        ({"part": "0", "days": 1}, Scope(part="0", since=TODAY)),
        ({"part": "0", "retry_count": 2}, Scope(part="0")),
        ({"part": "0", "days": 2}, Scope(part="0", since=date(2026, 2, 9))),
    ],
)
def test_a_request_is_read(event, scope):
    assert parse_request(event, today=TODAY) == scope


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"part": "g"}, "part is 'g'"),
        ({"part": "ab"}, "part is 'ab'"),
        ({"part": "0", "model_set": "../x"}, "expected 16 hex"),
        ({"part": "0", "since": "yesterday"}, "expected YYYY-MM-DD"),
        ({"part": "0", "since": 20260101}, "expected YYYY-MM-DD"),
        ({"part": "0", "days": 0}, "expected a whole number"),
        ({"part": "0", "days": True}, "expected a whole number"),
        ({"part": "0", "days": 1, "since": "2026-01-01"}, "name one of them"),
        ({"part": "0", "until": "2026-01-01"}, r"unknown \['until'\]"),
    ],
)
def test_a_request_that_cannot_be_followed_is_refused(event, message):
    with pytest.raises(InvalidRequestError, match=message):
        parse_request(event, today=TODAY)


def test_settings_are_checked_together():
    with pytest.raises(ConfigError, match=r"CXR_RESULTS_BUCKET is missing; CXR_LAKE_WITH_KEYS"):
        LakeSettings.from_env({"CXR_LAKE_WITH_KEYS": "perhaps"})
    assert LakeSettings.from_env({"CXR_RESULTS_BUCKET": "b"}) == LakeSettings("b", None, False)


def test_all_parts_together_hold_every_record_of_every_model_set(s3, glue):
    counts = compact_every_part(s3, glue)
    assert sum(each["records"] for each in counts) == IMAGES + 1
    assert sum(each["unreadable"] for each in counts) == 0


def test_without_a_part_all_are_compacted_one_after_the_other(s3, glue):
    settings = LakeSettings(BUCKET, DATABASE, with_keys=False)
    counts = compact_results(Scope(), settings=settings, s3=s3, glue=glue)
    assert (counts["records"], counts["findings"]) == (IMAGES + 1, 2 * (IMAGES + 1))
    assert len(partitions(glue, "records")) == 2


def test_partitions_are_known_once_however_often_they_are_told(s3, glue):
    compact_every_part(s3, glue)
    compact_every_part(s3, glue)
    for table in ("records", "findings"):
        place = f"s3://{BUCKET}/lake/{table}/"
        assert partitions(glue, table) == {
            (model_set, "2026-02-03", f"{place}model_set={model_set}/date=2026-02-03/")
            for model_set in (MODEL_SET, OTHER_MODEL_SET)
        }


def test_without_a_catalogue_none_is_told(s3):
    counts = compact_every_part(s3, None, database=None)
    assert sum(each["written"] for each in counts) > 0


def test_more_partitions_than_one_call_takes_are_told_in_several(glue):
    days = [(MODEL_SET, date.fromordinal(TODAY.toordinal() + day)) for day in range(230)]
    register_partitions(
        glue, database=DATABASE, table="many", location="s3://b/lake/many/", partitions=days
    )
    paginator = glue.get_paginator("get_partitions")
    pages = paginator.paginate(DatabaseName=DATABASE, TableName="many")
    assert sum(len(page["Partitions"]) for page in pages) == 230


def test_a_partition_that_is_refused_is_an_error():
    class Glue:
        def batch_create_partition(self, **_: Any) -> dict[str, Any]:
            codes = ("AlreadyExistsException", "InternalServiceException")
            return {"Errors": [{"ErrorDetail": {"ErrorCode": code}} for code in codes]}

    with pytest.raises(PartitionsRefusedError, match=r"records: InternalServiceException$"):
        register_partitions(
            Glue(),
            database=DATABASE,
            table="records",
            location="s3://b/",
            partitions=[(MODEL_SET, TODAY)],
        )


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("CXR_RESULTS_BUCKET", BUCKET)
    monkeypatch.setenv("CXR_LAKE_DATABASE", DATABASE)
    module = importlib.import_module("lambdas.lake.handler")
    module._collaborators.cache_clear()
    yield module.handler
    module._collaborators.cache_clear()


def test_the_function_compacts_and_logs_counts_and_no_key(s3, glue, handler):
    stream = io.StringIO()
    telemetry.logger.handlers[0].setStream(stream)  # it holds the stdout of its import
    answers = [handler({"part": part}, None) for part in PARTS]
    assert sum(answer["records"] for answer in answers) == IMAGES + 1
    logs = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sum(line["records"] for line in logs) == IMAGES + 1
    assert "SMITH" not in json.dumps([answers, logs])
    assert KEY.startswith("images/SMITH")  # so that the line above means something


def test_a_busy_service_is_a_fault_that_the_state_machine_retries(s3, glue, handler, monkeypatch):
    from botocore.exceptions import ClientError

    module = importlib.import_module("lambdas.lake.handler")
    error = ClientError(
        {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}, "List"
    )

    def busy(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(module, "compact_results", busy)
    with pytest.raises(StorageUnavailableError, match="compacting records: AWS answered"):
        handler({"part": "0"}, None)
