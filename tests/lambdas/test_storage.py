"""Storage against moto, and against clients that fail as AWS fails."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from moto import mock_aws

from lambdas.shared import storage as storage_module
from lambdas.shared.errors import (
    ContractError,
    CxrError,
    ResourceLimitError,
    StorageUnavailableError,
    ThrottledError,
)
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import result_key
from lambdas.shared.storage import EventBus, Queues, Storage

INTAKE, RESULTS = "intake-bucket", "results-bucket"
SECRET = "images/SMITH^JOHN.dcm"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=INTAKE)
        client.create_bucket(Bucket=RESULTS)
        yield client


def versioned(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket=INTAKE, VersioningConfiguration={"Status": "Enabled"})


def put(s3: Any, data: bytes, key: str = SECRET) -> ImageRef:
    answer = s3.put_object(Bucket=INTAKE, Key=key, Body=data)
    return ImageRef(INTAKE, key, answer.get("VersionId"), answer["ETag"].strip('"'), len(data))


def test_exactly_the_version_asked_for_is_read(s3: Any) -> None:
    versioned(s3)
    first, second = put(s3, b"one"), put(s3, b"two")
    s3.delete_object(Bucket=INTAKE, Key=SECRET)
    storage = Storage(RESULTS)
    assert (storage.fetch(first), storage.fetch(second)) == (b"one", b"two")


def test_overwritten_and_deleted_objects_are_gone(s3: Any) -> None:
    storage = Storage(RESULTS)
    first = put(s3, b"one")
    put(s3, b"two")
    assert storage.fetch(first) is None
    s3.delete_object(Bucket=INTAKE, Key=SECRET)
    assert storage.fetch(ImageRef(INTAKE, SECRET, None, None)) is None
    assert storage.current(first) is None


def test_version_that_is_gone_is_gone(s3: Any) -> None:
    versioned(s3)
    image = put(s3, b"one")
    s3.delete_object(Bucket=INTAKE, Key=SECRET, VersionId=image.version_id)
    assert Storage(RESULTS).fetch(image) is None


def test_current_version_is_found(s3: Any) -> None:
    assert Storage(RESULTS).current(put(s3, b"one")) == put(s3, b"one")
    versioned(s3)
    image = put(s3, b"two")
    assert Storage(RESULTS).current(ImageRef(INTAKE, SECRET, None, None)) == image


@pytest.mark.parametrize("key", ["a b+c%20.dcm", "日本/é.dcm", "x" * 1024, "a//b/../c"])
def test_hostile_keys_are_read(s3: Any, key: str) -> None:
    assert Storage(RESULTS).fetch(put(s3, b"one", key)) == b"one"


def test_record_is_written_once(s3: Any) -> None:
    storage = Storage(RESULTS)
    key = result_key("m" * 16, "i" * 32, "record.json")
    assert storage.record("m" * 16, "i" * 32) is None
    assert not storage.has_record("m" * 16, "i" * 32)
    assert storage.put_first(key, b'{"first": true}')
    assert not storage.put_first(key, b'{"first": false}')
    assert storage.record("m" * 16, "i" * 32) == {"first": True}
    assert storage.has_record("m" * 16, "i" * 32)
    assert storage.uri(key) == f"s3://{RESULTS}/{key}"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("report.pdf", "application/pdf"), ("record.json", "application/json"), ("x", "octet-stream")],
)
def test_results_have_their_content_type(s3: Any, name: str, content_type: str) -> None:
    Storage(RESULTS).put(f"results/{name}", b"x")
    head = s3.head_object(Bucket=RESULTS, Key=f"results/{name}")
    assert head["ContentType"].endswith(content_type)


def test_too_large_an_object_is_refused_before_it_is_downloaded(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "MAX_FILE_BYTES", 2)
    with pytest.raises(ResourceLimitError) as caught:
        Storage(RESULTS).fetch(put(s3, b"three"))
    assert caught.value.code == "too_many_bytes"


def test_message_and_event_arrive(s3: Any) -> None:
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    Queues().send(url, '{"a": 1}')
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == '{"a": 1}'
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    events.put_rule(Name="r", EventPattern='{"source": ["cxr-batch"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn}])
    EventBus("default", source="cxr-batch").put("Radiograph Processed", {"image_id": "x"})
    bodies = [
        m["Body"] for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    ]
    assert [json.loads(body)["detail"] for body in bodies if "detail" in body] == [
        {"image_id": "x"}
    ]


class Failing:
    """A client whose every call raises, or answers, the same."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            if isinstance(self._outcome, Exception):
                raise self._outcome
            return self._outcome

        return call


def client_error(code: str, status: int) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": f"at {SECRET}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetObject")


def fault_name(fault: Exception) -> str:
    return (
        fault.response["Error"]["Code"] if isinstance(fault, ClientError) else type(fault).__name__
    )


FAULTS = [
    (client_error("SlowDown", 503), ThrottledError),
    (client_error("ThrottlingException", 400), ThrottledError),
    (client_error("KMS.ThrottlingException", 400), ThrottledError),
    (client_error("TooManyRequestsException", 429), ThrottledError),
    (client_error("InternalError", 500), StorageUnavailableError),
    (client_error("RequestTimeout", 400), StorageUnavailableError),
    (client_error("ConditionalRequestConflict", 409), StorageUnavailableError),
    (client_error("NoSuchBucket", 404), ContractError),
    (client_error("AccessDenied", 403), ClientError),
    (EndpointConnectionError(endpoint_url=f"https://s3/{SECRET}"), StorageUnavailableError),
    (ReadTimeoutError(endpoint_url=f"https://s3/{SECRET}"), StorageUnavailableError),
    (ResponseStreamingError(error="cut"), StorageUnavailableError),
]


@pytest.mark.parametrize(
    ("fault", "expected"),
    FAULTS,
    ids=[fault_name(fault) for fault, _ in FAULTS],
)
def test_faults_become_what_retries_are_decided_by(
    fault: Exception, expected: type[Exception]
) -> None:
    storage = Storage(RESULTS, client=Failing(fault))
    calls = [
        lambda: storage.fetch(ImageRef(INTAKE, SECRET, "v", None)),
        lambda: storage.current(ImageRef(INTAKE, SECRET, "v", None)),
        lambda: storage.put(SECRET, b""),
        lambda: storage.put_first(SECRET, b""),
        lambda: Queues(client=Failing(fault)).send("url", "body"),
        lambda: EventBus("default", source="s", client=Failing(fault)).put("t", {}),
    ]
    for call in calls:
        with pytest.raises(expected) as caught:
            call()
        if isinstance(caught.value, CxrError):
            assert "SMITH" not in str(caught.value)


def test_bus_that_takes_nothing_is_a_fault_though_it_answers_200() -> None:
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    with pytest.raises(StorageUnavailableError, match="InternalFailure"):
        EventBus("default", source="s", client=Failing(answer)).put("t", {})
