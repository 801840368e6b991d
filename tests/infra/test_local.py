"""The embedded cloud with tiny models: image in, result out, and the same settings as the stack."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.config import Settings
from infra.local import EmbeddedCloud, LocalSettings
from infra.local_results import Finished, ResultWatcher
from infra.local_template import local_template
from infra.pipeline import STAGES, output_names
from lambdas.shared.errors import ContractError
from tests.builders import dicom, film, jpeg, png, tiff, to_8_bit
from tests.infra.synthesis import Template, of_type, plain
from tests.infra.waiting import wait_for

pytestmark = pytest.mark.slow

DARK = film()
BRIGHT = np.where(DARK > 1500, 4000, DARK).astype(np.uint16)
VISIBILITY_S = 5


@pytest.fixture(scope="module")
def cloud(tiny_models_folder: Path) -> Iterator[EmbeddedCloud]:
    """As `cxr local` starts it, with the pace of retries that a test can wait for."""
    trouble: list[Exception] = []
    settings = LocalSettings(
        models=tiny_models_folder, visibility_seconds=VISIBILITY_S, trouble=trouble.append
    )
    with EmbeddedCloud(settings) as running:
        yield running
        assert trouble == []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def watcher(cloud: EmbeddedCloud, kept: Path) -> ResultWatcher:
    return cloud.watcher(kept)


def upload(cloud: EmbeddedCloud, key: str, data: bytes) -> str:
    answer = cloud.client("s3").put_object(Bucket=cloud.intake_bucket, Key=key, Body=data)
    return str(answer["VersionId"])


def finished(watcher: ResultWatcher, count: int, limit_s: float = 60) -> dict[str, Finished]:
    """The next so many results, by key."""
    found: dict[str, Finished] = {}
    deadline = time.monotonic() + limit_s
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} within {limit_s:g} s"
        found |= {result.key: result for result in watcher.read(wait_s=1)}
    return found


def test_images_become_results_that_a_browser_can_open(
    cloud: EmbeddedCloud, watcher: ResultWatcher, kept: Path
) -> None:
    images = {
        "images/plain.png": png(DARK),
        "images/SMITH^JOHN_1950/IM 1+é": dicom(BRIGHT),
        "images/colour.jpg": jpeg(to_8_bit(DARK)),
        "images/notes.txt": b"not an image",
    }
    for key, data in images.items():
        upload(cloud, key, data)
    upload(cloud, "elsewhere/plain.png", png(DARK))
    results = finished(watcher, len(images))
    assert set(results) == set(images)
    assert len(results["images/SMITH^JOHN_1950/IM 1+é"].record["findings"]) == 2
    assert results["images/notes.txt"].record["status"] == "rejected"
    for result in results.values():
        with urllib.request.urlopen(result.report_url) as answer:
            assert answer.read(5) == b"%PDF-"
        with urllib.request.urlopen(result.record_url) as answer:
            assert json.load(answer) == result.record
        assert "SMITH" not in result.report_url
        folder = kept / "results" / cloud.model_set / result.record["image_id"]
        names = {path.name for path in folder.iterdir()}
        assert names == {"record.json", *result.record["outputs"].values()}
    assert list(watcher.read()) == []
    wait_for(lambda: all(vars_of(count) == (0, 0, 0, 0) for count in cloud.counts().values()))


def vars_of(count: Any) -> tuple[int, ...]:
    return (count.waiting, count.in_work, count.set_aside, count.dead)


def test_logs_and_metrics_are_where_cloudwatch_has_them_and_hold_no_key(
    cloud: EmbeddedCloud, watcher: ResultWatcher
) -> None:
    upload(cloud, "images/JONES^MARY/IM1", dicom(BRIGHT))
    (result,) = finished(watcher, 1).values()
    logs, metrics = cloud.client("logs"), cloud.client("cloudwatch")

    def lines(stage: str) -> list[str]:
        group = cloud.outputs[f"{stage.capitalize()}LogGroup"]
        return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]

    image_id = result.record["image_id"]
    for stage in STAGES:
        wait_for(lambda name=stage.name: any(image_id in line for line in lines(name)))
        assert not any("JONES" in line for line in lines(stage.name))
        assert any(line.startswith("REPORT RequestId") for line in lines(stage.name))
    wait_for(lambda: metrics.list_metrics(Namespace="CxrBatch/local")["Metrics"])


def test_upload_in_parts_tells_twice_and_is_one_result(
    cloud: EmbeddedCloud, watcher: ResultWatcher
) -> None:
    s3 = cloud.client("s3")
    named = {"Bucket": cloud.intake_bucket, "Key": "images/in parts"}
    upload_id = s3.create_multipart_upload(**named)["UploadId"]
    part = s3.upload_part(**named, UploadId=upload_id, PartNumber=1, Body=tiff(DARK))
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**named, UploadId=upload_id, MultipartUpload=parts)
    assert set(finished(watcher, 1)) == {"images/in parts"}
    wait_for(lambda: cloud.counts()["classify"].waiting == 0)
    records = s3.list_object_versions(Bucket=cloud.results_bucket)["Versions"]
    keys = [entry["Key"] for entry in records if entry["Key"].endswith("record.json")]
    assert len(keys) == len(set(keys))


def test_killed_function_is_replaced_and_its_image_finished(
    cloud: EmbeddedCloud, watcher: ResultWatcher
) -> None:
    (host,) = (host for host in cloud.hosts() if "classify" in host.function.name)
    starts = host.starts
    with Frozen(host):  # so that it dies with the image in hand
        upload(cloud, "images/unlucky.png", png(DARK))
        wait_for(lambda: cloud.counts()["classify"].in_work == 1)
        assert host.kill()
    assert set(finished(watcher, 1, limit_s=VISIBILITY_S + 30)) == {"images/unlucky.png"}
    assert host.starts == starts + 1


class Frozen:
    """The function's process is stopped, as under a heavy load."""

    def __init__(self, host: Any) -> None:
        self._pid = host._sandbox._process.pid

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        pass  # it is killed within


def test_outputs_lead_the_other_commands_to_everything(cloud: EmbeddedCloud) -> None:
    (stack,) = cloud.client("cloudformation").describe_stacks()["Stacks"]
    found = {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}
    assert set(found) >= set(output_names())
    sqs = cloud.client("sqs")
    for name, value in found.items():
        if name.endswith("Queue"):
            assert sqs.get_queue_attributes(QueueUrl=value, AttributeNames=["QueueArn"])


# what the stack has, the embedded cloud has too


def queue_settings(cloud: EmbeddedCloud, name: str) -> dict[str, Any]:
    answer = cloud.client("sqs").get_queue_attributes(
        QueueUrl=cloud.outputs[name], AttributeNames=["All"]
    )
    return dict(answer["Attributes"])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_queues_agree_with_the_template(
    cloud: EmbeddedCloud, template: Template, stage: Any
) -> None:
    name = stage.name.capitalize()
    queues = of_type(template, "AWS::SQS::Queue")
    theirs, dead = queues[f"{name}Queue"], queues[f"{name}DeadLetters"]
    ours = queue_settings(cloud, f"{name}Queue")
    assert int(ours["MessageRetentionPeriod"]) == theirs["MessageRetentionPeriod"]
    our_redrive = json.loads(ours["RedrivePolicy"])
    assert our_redrive["maxReceiveCount"] == theirs["RedrivePolicy"]["maxReceiveCount"]
    our_dead = queue_settings(cloud, f"{name}DeadLetterQueue")
    assert our_redrive["deadLetterTargetArn"] == our_dead["QueueArn"]
    assert int(our_dead["MessageRetentionPeriod"]) == dead["MessageRetentionPeriod"]
    assert int(ours["VisibilityTimeout"]) == VISIBILITY_S, "asked for, see below"


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_functions_agree_with_the_template(
    cloud: EmbeddedCloud, template: Template, settings: Settings, stage: Any
) -> None:
    name = stage.name.capitalize()
    theirs = of_type(template, "AWS::Lambda::Function")[f"{name}Function"]
    ours = cloud.function(stage)
    assert ours.timeout_s == theirs["Timeout"]
    assert [ours.handler] == theirs["ImageConfig"]["Command"]
    (specified,) = (entry for entry in settings.stages if entry.name == stage.name)
    assert specified.memory_mb == theirs["MemorySize"]
    mapping = of_type(template, "AWS::Lambda::EventSourceMapping")[f"{name}FunctionMapping"]
    assert cloud.source(stage.name).batch_size == mapping["BatchSize"]
    assert cloud.source(stage.name).reports_failures == (
        "ReportBatchItemFailures" in mapping["FunctionResponseTypes"]
    )


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_variables_agree_with_the_template(
    cloud: EmbeddedCloud, template: Template, tiny_models_folder: Path, stage: Any
) -> None:
    name = stage.name.capitalize()
    theirs = of_type(template, "AWS::Lambda::Function")[f"{name}Function"]["Environment"]
    ours = dict(cloud.function(stage).environment)
    of_aws = {variable for variable in ours if variable.startswith("AWS_")}
    assert of_aws & set(theirs["Variables"]) == set(), "Lambda itself sets these"
    same_names = {
        "<StorageResults>": cloud.results_bucket,
        "<ClassifyQueue>": cloud.outputs["ClassifyQueue"],
        "<DetectQueue>": cloud.outputs["DetectQueue"],
        "<ReportQueue>": cloud.outputs["ReportQueue"],
        "/var/task/models": str(tiny_models_folder),
        "CxrBatch/dev": "CxrBatch/local",
    }
    wanted = {
        variable: same_names.get(plain(value), plain(value))
        for variable, value in theirs["Variables"].items()
    }
    assert {variable: ours[variable] for variable in set(ours) - of_aws} == wanted


def test_rule_agrees_with_the_template(cloud: EmbeddedCloud, template: Template) -> None:
    (theirs,) = (
        rule
        for rule in of_type(template, "AWS::Events::Rule").values()
        if rule.get("EventPattern", {}).get("source") == ["aws.s3"]
    )
    events = cloud.client("events")
    ours = events.describe_rule(Name=cloud.outputs["UploadRule"])
    wanted = json.dumps(plain(theirs["EventPattern"])).replace(
        "<StorageIntake>", cloud.intake_bucket
    )
    assert json.loads(ours["EventPattern"]) == json.loads(wanted)
    assert ours["State"] == theirs["State"]
    (our_target,) = events.list_targets_by_rule(Rule=ours["Name"])["Targets"]
    (their_target,) = theirs["Targets"]
    assert plain(their_target["Arn"]) == "<ClassifyQueue.Arn>"
    assert our_target["Arn"] == queue_settings(cloud, "ClassifyQueue")["QueueArn"]
    dead_letters = queue_settings(cloud, "UploadRuleDeadLetterQueue")
    assert our_target["DeadLetterConfig"]["Arn"] == dead_letters["QueueArn"]
    assert plain(their_target["DeadLetterConfig"]["Arn"]) == "<IntakeDeadLetters.Arn>"
    theirs_dead = of_type(template, "AWS::SQS::Queue")["IntakeDeadLetters"]
    assert int(dead_letters["MessageRetentionPeriod"]) == theirs_dead["MessageRetentionPeriod"]


@pytest.mark.parametrize("bucket", ["Intake", "Results"])
def test_buckets_agree_with_the_template(
    cloud: EmbeddedCloud, template: Template, bucket: str
) -> None:
    theirs = of_type(template, "AWS::S3::Bucket")[f"Storage{bucket}"]
    s3, name = cloud.client("s3"), cloud.outputs[f"{bucket}Bucket"]
    versions = s3.get_bucket_versioning(Bucket=name)["Status"]
    assert versions == theirs["VersioningConfiguration"]["Status"]
    # moto does not say what a bucket tells EventBridge; that images flow at all shows that it does
    ours = local_template(model_set="none")["Resources"][bucket]["Properties"]
    assert ours.get("NotificationConfiguration") == theirs.get("NotificationConfiguration")


def test_visibility_agrees_with_the_template_unless_another_is_asked_for(
    template: Template,
) -> None:
    ours = local_template(model_set="none")["Resources"]
    theirs = of_type(template, "AWS::SQS::Queue")
    for stage in STAGES:
        name = f"{stage.name.capitalize()}Queue"
        assert ours[name]["Properties"]["VisibilityTimeout"] == theirs[name]["VisibilityTimeout"]


# starting and ending


def test_models_that_cannot_be_used_are_an_error_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=str(tmp_path)):
        EmbeddedCloud(LocalSettings(models=tmp_path))
