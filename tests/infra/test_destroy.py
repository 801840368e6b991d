"""`make destroy`: what the deployed template lets go of goes, all else stays."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import WaiterError
from moto import mock_aws

from infra.destroy import ATTEMPTS, Plan, destroy, empty, main, plan
from lambdas.shared.errors import InvalidRequestError, StorageUnavailableError

STACK = "cxr-batch-dev"

TEMPLATE = {
    "Resources": {
        "Gone": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "gone"}},
        "Kept": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "Properties": {"BucketName": "kept"},
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "queue"}},
    }
}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture
def s3() -> Any:
    return boto3.client("s3")


@pytest.fixture
def cloudformation(s3: Any) -> Any:
    """With the stack deployed, and objects in its buckets and in one that it never made."""
    client = boto3.client("cloudformation")
    client.create_stack(StackName=STACK, TemplateBody=json.dumps(TEMPLATE))
    s3.create_bucket(Bucket="foreign")
    for bucket in ("gone", "kept", "foreign"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for body in (b"first", b"second"):
            s3.put_object(Bucket=bucket, Key="images/a b+ü.png", Body=body)
        s3.put_object(Bucket=bucket, Key="deleted", Body=b"x")
        s3.delete_object(Bucket=bucket, Key="deleted")
    return client


def versions(s3: Any, bucket: str) -> int:
    answer = s3.list_object_versions(Bucket=bucket)
    return len(answer.get("Versions", [])) + len(answer.get("DeleteMarkers", []))


def buckets(s3: Any) -> set[str]:
    return {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def test_plan_is_read_from_the_deployed_template(cloudformation: Any) -> None:
    assert plan(cloudformation, STACK) == Plan(STACK, ("gone",), (("AWS::S3::Bucket", "kept"),))


def test_stack_that_is_not_there_is_named(cloudformation: Any) -> None:
    with pytest.raises(InvalidRequestError, match="no stack cxr-batch-prod"):
        plan(cloudformation, "cxr-batch-prod")


def test_every_version_and_marker_is_deleted(cloudformation: Any, s3: Any) -> None:
    assert versions(s3, "gone") == 4
    assert empty(s3, "gone") == 4
    assert versions(s3, "gone") == 0


def test_more_objects_than_one_request_deletes(cloudformation: Any, s3: Any) -> None:
    for number in range(1005):
        s3.put_object(Bucket="gone", Key=f"results/{number}", Body=b"")
    assert empty(s3, "gone") == 1009
    assert versions(s3, "gone") == 0


def test_bucket_that_is_gone_already_is_no_fault(s3: Any) -> None:
    assert empty(s3, "never-was") == 0


def test_object_that_cannot_be_deleted_stops_it(s3: Any) -> None:
    class Refusing:
        def list_object_versions(self, **request: Any) -> Any:
            return s3.list_object_versions(**request)

        def delete_objects(self, **request: Any) -> Any:
            return {"Errors": [{"Code": "AccessDenied", "Key": "SMITH^JOHN/IM1"}]}

    s3.create_bucket(Bucket="films")
    s3.put_object(Bucket="films", Key="SMITH^JOHN/IM1", Body=b"")
    with pytest.raises(StorageUnavailableError) as raised:
        empty(Refusing(), "films")
    assert "AccessDenied" in str(raised.value)
    assert "SMITH" not in str(raised.value)


def test_command_deletes_what_goes_and_nothing_else(
    cloudformation: Any, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dev", "--yes"]) == 0
    assert buckets(s3) == {"kept", "foreign"}
    assert versions(s3, "kept") == 4
    assert versions(s3, "foreign") == 4
    assert cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"] == []
    printed = capsys.readouterr().out
    assert "with everything in  s3://gone" in printed
    assert "but keeps           AWS::S3::Bucket kept" in printed


def test_command_asks_and_takes_no_for_an_answer(
    cloudformation: Any, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")
    assert main(["dev"]) == 1
    assert versions(s3, "gone") == 4


def test_command_goes_on_once_the_environment_is_typed(
    cloudformation: Any, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "dev")
    assert main(["dev"]) == 0
    assert "gone" not in buckets(s3)


def test_command_names_a_missing_stack_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prod", "--yes"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no stack cxr-batch-prod" in line


class Slow:
    """CloudFormation that fails to delete the stack some times, as a bucket that fills again."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.deleted = 0

    def delete_stack(self, **request: Any) -> None:
        self.deleted += 1

    def get_waiter(self, name: str) -> "Slow":
        return self

    def wait(self, **request: Any) -> None:
        if self.deleted <= self.failures:
            raise WaiterError(
                name="stack_delete_complete", reason="DELETE_FAILED", last_response={}
            )


def test_bucket_that_fills_again_is_emptied_again(s3: Any) -> None:
    s3.create_bucket(Bucket="accesses")
    said: list[str] = []
    client = Slow(failures=1)
    destroy(Plan(STACK, ("accesses",), ()), cloudformation=client, s3=s3, say=said.append)
    assert client.deleted == 2
    assert len([line for line in said if line.startswith("accesses:")]) == 2
    assert said[-1] == f"Deleted {STACK}"


def test_stack_that_cannot_be_deleted_is_said_to_stand(s3: Any) -> None:
    client = Slow(failures=ATTEMPTS)
    with pytest.raises(StorageUnavailableError, match="still stands"):
        destroy(Plan(STACK, (), ()), cloudformation=client, s3=s3, say=lambda text: None)
    assert client.deleted == ATTEMPTS
