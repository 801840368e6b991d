"""The whole pipeline on images full of identifiers: results, events, logs and metrics.

Queues are left out: they are encrypted, and hold keys by design.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local import EmbeddedCloud, LocalSettings
from infra.local_template import PROCESSED_QUEUE
from lambdas.shared.events import event_validator
from tests.deidentification.allowed import assert_clean, assert_result_is_clean, carries_birth_date
from tests.deidentification.harvest import found_in
from tests.deidentification.planted import ALL, BRIGHT, KEY, planted_dicom, planted_images
from tests.infra.waiting import wait_for

pytestmark = pytest.mark.slow

EVERY_FORMAT = "dicom-sr,dicom-gsps,dicom-pdf,fhir"
PREFIX = f"images/{KEY}^JOHN_1950/"
GONE = f"{PREFIX}gone.dcm"


@dataclass(frozen=True)
class Left:
    """What the pipeline left behind.

    Attributes:
        objects: Of the results bucket, by key.
        events: Bodies.
        logs: Lines.
        metrics: As CloudWatch lists them.
    """

    objects: dict[str, bytes]
    events: list[str]
    logs: list[str]
    metrics: list[dict[str, Any]]


@pytest.fixture(scope="module")
def left(tiny_models_folder: Path) -> Iterator[Left]:
    settings = LocalSettings(models=tiny_models_folder, formats=EVERY_FORMAT, visibility_seconds=5)
    with EmbeddedCloud(settings) as cloud:
        s3, sqs = cloud.client("s3"), cloud.client("sqs")
        images = planted_images()
        for name, content in images.items():
            s3.put_object(Bucket=cloud.intake_bucket, Key=PREFIX + name, Body=content)
        # one image is gone before it can be read, and one message cannot be understood
        put = s3.put_object(Bucket=cloud.intake_bucket, Key=GONE, Body=planted_dicom(BRIGHT))
        s3.delete_object(Bucket=cloud.intake_bucket, Key=GONE, VersionId=put["VersionId"])
        strange = json.dumps({"message_version": 99, "image": {"bucket": "b", "key": PREFIX}})
        sqs.send_message(QueueUrl=cloud.resources.queue_urls["classify"], MessageBody=strange)
        wait_for(lambda: len(records(cloud)) >= len(images), limit_s=240)
        wait_for(lambda: "message_version is 99" in "".join(logs(cloud)), limit_s=60)
        metrics = cloud.client("cloudwatch")
        wait_for(lambda: metrics.list_metrics()["Metrics"], limit_s=60)
        yield Left(
            objects=objects(cloud),
            events=events(cloud, len(images)),
            logs=logs(cloud),
            metrics=metrics.list_metrics()["Metrics"],
        )


def objects(cloud: EmbeddedCloud) -> dict[str, bytes]:
    s3 = cloud.client("s3")
    found = s3.list_objects_v2(Bucket=cloud.results_bucket).get("Contents", ())
    return {
        item["Key"]: s3.get_object(Bucket=cloud.results_bucket, Key=item["Key"])["Body"].read()
        for item in found
    }


def records(cloud: EmbeddedCloud) -> list[str]:
    found = cloud.client("s3").list_objects_v2(Bucket=cloud.results_bucket).get("Contents", ())
    return [item["Key"] for item in found if item["Key"].endswith("/record.json")]


def events(cloud: EmbeddedCloud, least: int) -> list[str]:
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=PROCESSED_QUEUE)["QueueUrl"]
    bodies: list[str] = []

    def received() -> bool:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies.extend(message["Body"] for message in answer.get("Messages", ()))
        return len(bodies) >= least

    wait_for(received, limit_s=60)
    return bodies


def logs(cloud: EmbeddedCloud) -> list[str]:
    client = cloud.client("logs")
    groups = [group["logGroupName"] for group in client.describe_log_groups()["logGroups"]]
    return [
        event["message"]
        for group in groups
        for event in client.filter_log_events(logGroupName=group)["events"]
    ]


def test_results_are_named_by_digests(left) -> None:
    for key in left.objects:
        assert found_in(key, ALL) == set()
        assert key.startswith("results/")


def test_no_file_of_a_result_holds_an_identifier(left) -> None:
    made = {key.rpartition("/")[2] for key in left.objects}
    assert made == {
        *("record.json", "report.pdf", "thumbnail.jpg", "fhir.json"),
        *("sr.dcm", "gsps.dcm", "pdf.dcm"),
    }
    for key, content in left.objects.items():
        assert_result_is_clean(key, content)
    assert carries_birth_date(left.objects)


def test_events_hold_no_identifier(left) -> None:
    assert len(left.events) >= len(planted_images())
    for body in left.events:
        assert_clean("event", body)
        event_validator().validate(json.loads(body)["detail"])


def test_logs_hold_no_identifier_whatever_happened(left) -> None:
    text = "\n".join(left.logs)
    for word in ("image_id", "ImagesGone", "ContractError"):
        assert word in text, "there is nothing to look at"
    for line in left.logs:
        assert_clean("log", line)


def test_metrics_hold_no_identifier(left) -> None:
    assert left.metrics
    assert_clean("metrics", json.dumps(left.metrics, default=str))
