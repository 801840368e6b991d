"""The template that is deployed, run: image in the one bucket, result in the other."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.bulk import bulk_output_names
from infra.pipeline import STAGES, output_names, stage_spec
from lambdas.shared.flow import Stage
from tests.builders import dicom, film, jpeg, png, tiff, to_8_bit
from tests.infra.deployed_template import DeployedStack, change_variables, deployed
from tests.infra.queue_clock import QueueClock
from tests.infra.synthesis import Template

pytestmark = pytest.mark.slow

DARK = film()
BRIGHT = np.where(DARK > 1500, 4000, DARK).astype(np.uint16)
"""The tiny models call bright films abnormal."""

MARGIN_S = 120
"""More than a test takes on the real clock, which runs on beside the queues' own."""

IMAGES = {
    "images/plain.png": png(DARK),
    "images/a folder/with spaces + plus.dcm": dicom(DARK),
    "images/SMITH^JOHN_1950/IM1": dicom(BRIGHT),
    "images/Müller/Röntgen 胸部.tif": tiff(BRIGHT),
    "images/50%25 & more?#.jpg": jpeg(to_8_bit(BRIGHT)),
    f"images/{'n' * (1024 - len('images/.png'))}.png": png(DARK),
    "images/lateral.dcm": dicom(DARK, ViewPosition="LL"),
    "images/notes.txt": b"not an image",
    "images/empty": b"",
}
REJECTED = {"images/lateral.dcm", "images/notes.txt", "images/empty"}
ABNORMAL = {
    "images/SMITH^JOHN_1950/IM1",
    "images/Müller/Röntgen 胸部.tif",
    "images/50%25 & more?#.jpg",
}


@pytest.fixture
def stack(template: Template, tiny_models_folder: Path) -> Iterator[DeployedStack]:
    with deployed(template, tiny_models_folder) as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> QueueClock:
    return QueueClock(monkeypatch)


def test_outputs_are_those_that_others_look_up(stack: DeployedStack) -> None:
    assert set(stack.outputs) == {*output_names(), *bulk_output_names()}


def test_images_flow_through_rule_queues_and_functions_to_results(stack: DeployedStack) -> None:
    for key, data in IMAGES.items():
        stack.upload(key, data)
    stack.upload("elsewhere/plain.png", png(DARK))
    stack.run()
    records = {record["source"]["key"]: record for record in stack.records()}
    assert len(stack.records()) == len(IMAGES)
    assert set(records) == set(IMAGES)
    assert {key for key, record in records.items() if record["status"] == "rejected"} == REJECTED
    assert {key for key, record in records.items() if record["findings"]} == ABNORMAL
    for record in records.values():
        folder = f"results/{record['model_set']}/{record['image_id']}/"
        assert {folder + name for name in record["outputs"].values()} <= stack.result_files()
        assert record["outputs"]["report"] == "report.pdf"
    told = stack.tellings()
    assert {detail["image_id"] for detail in told} == {r["image_id"] for r in records.values()}
    for queue in output_names():
        if queue.endswith("Queue"):
            assert stack.count(queue) == 0, queue


def test_batches_are_as_large_as_the_mappings_say(stack: DeployedStack) -> None:
    for number in range(9):
        stack.upload(f"images/{number}.tif", tiff(BRIGHT))
    stack.run()
    for stage in STAGES:
        sizes = [len(delivery.messages) for delivery in stack.deliveries[stage.name]]
        assert max(sizes) == stack.mapping(stage.name)["BatchSize"] == stage.batch_size
        assert sum(sizes) == 9


def test_logs_name_images_by_their_digest_alone(stack: DeployedStack) -> None:
    stack.upload("images/SMITH^JOHN_1950/IM1", dicom(BRIGHT))
    stack.upload("images/SMITH^JOHN_1950/broken", png(DARK)[:3000])
    stack.sqs.send_message(QueueUrl=stack.outputs["DetectQueue"], MessageBody='{"SMITH": 1}')
    stack.run()
    lines = [json.loads(line) for line in stack.logs.getvalue().splitlines()]
    ids = {record["image_id"] for record in stack.records()}
    assert len(ids) == 2
    assert ids == {line["image_id"] for line in lines if "image_id" in line}
    assert "SMITH" not in stack.logs.getvalue()


def test_same_event_many_times_is_one_result(stack: DeployedStack) -> None:
    stack.upload("images/a.png", png(DARK))
    (event,) = stack._receive(stack.outputs["ClassifyQueue"])
    for _ in range(5):
        stack.sqs.send_message(QueueUrl=stack.outputs["ClassifyQueue"], MessageBody=event["Body"])
    stack.run()
    stack.sqs.send_message(QueueUrl=stack.outputs["ClassifyQueue"], MessageBody=event["Body"])
    stack.run()
    (record,) = stack.records()
    assert {detail["image_id"] for detail in stack.tellings()} == {record["image_id"]}


def test_object_overwritten_before_it_is_read_has_a_result_for_each_version(
    stack: DeployedStack,
) -> None:
    stack.upload("images/a.tif", tiff(DARK))
    stack.upload("images/a.tif", tiff(BRIGHT))
    stack.run()
    found = {record["triage"]["positive"] for record in stack.records()}
    assert (len(stack.records()), found) == (2, {True, False})
    assert len({record["image_id"] for record in stack.records()}) == 2


def test_object_deleted_before_it_is_read_is_dropped(stack: DeployedStack) -> None:
    bucket = stack.outputs["IntakeBucket"]
    version = stack.s3.put_object(Bucket=bucket, Key="images/a", Body=b"x")["VersionId"]
    stack.s3.delete_object(Bucket=bucket, Key="images/a", VersionId=version)
    stack.run()
    assert stack.records() == []
    assert stack.count("ClassifyQueue") == 0


def test_poison_ends_in_the_dead_letter_queue_and_harms_no_neighbour(
    stack: DeployedStack, clock: QueueClock
) -> None:
    queue = stack.attributes("ClassifyQueue")
    visibility_s, receives = int(queue["VisibilityTimeout"]), stage_spec("classify").max_receives
    assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == receives
    stack.sqs.send_message(QueueUrl=stack.outputs["ClassifyQueue"], MessageBody="poison")
    stack.upload("images/a.png", png(DARK))
    stack.upload("images/b.png", png(DARK))
    stack.run()
    assert len(stack.records()) == 2
    for _ in range(receives - 1):
        clock.advance(visibility_s - MARGIN_S)
        assert stack.poll("classify") is None, "hidden until its visibility timeout is over"
        clock.advance(MARGIN_S + 1)
        assert stack.poll("classify") is not None
    clock.advance(visibility_s + 1)
    assert stack.poll("classify") is None, "its receives are used up"
    assert (stack.count("ClassifyQueue"), stack.count("ClassifyDeadLetterQueue")) == (0, 1)
    (dead,) = stack._receive(stack.outputs["ClassifyDeadLetterQueue"])
    assert dead["Body"] == "poison"


@pytest.mark.parametrize(
    ("stage", "variable", "failing"),
    [
        # the first: its messages are S3's events, and both images fail there
        ("classify", "CXR_RESULTS_BUCKET", 2),
        # a later one: its message holds what was found so far; the other image needs it not
        ("detect", "CXR_REPORT_QUEUE", 1),
    ],
)
def test_message_of_a_broken_function_is_finished_by_a_redrive_after_the_fix(
    stack: DeployedStack, clock: QueueClock, stage: Stage, variable: str, failing: int
) -> None:
    queue, dead_letters = f"{stage.capitalize()}Queue", f"{stage.capitalize()}DeadLetterQueue"
    right = stack.function(stage)["Environment"]["Variables"][variable]
    change_variables(stack, stage, **{variable: right[:-1]})
    stack.upload("images/a.tif", tiff(BRIGHT))
    stack.upload("images/notes.txt", b"not an image")
    for _ in range(stage_spec(stage).max_receives + 1):
        stack.run()
        clock.advance(int(stack.attributes(queue)["VisibilityTimeout"]) + 1)
    assert stack.count(dead_letters) == failing
    assert len(stack.records()) == 2 - failing
    change_variables(stack, stage, **{variable: right})
    assert stack.redrive(dead_letters, queue) == failing
    stack.run()
    assert {record["source"]["key"] for record in stack.records()} == {
        "images/a.tif",
        "images/notes.txt",
    }
    assert len(stack.records()) == 2
    assert stack.count(dead_letters) == 0


def test_event_that_the_rule_could_not_deliver_is_finished_by_a_redrive(
    stack: DeployedStack,
) -> None:
    """EventBridge puts the event itself there; moto does not play this part, so the test does."""
    (target,) = stack.events.list_targets_by_rule(Rule=stack.outputs["UploadRule"])["Targets"]
    dead_letters = stack.attributes("UploadRuleDeadLetterQueue")["QueueArn"]
    assert target["DeadLetterConfig"]["Arn"] == dead_letters
    stack.upload("images/a.png", png(DARK))
    assert stack.redrive("ClassifyQueue", "UploadRuleDeadLetterQueue") == 1
    stack.run()
    assert stack.records() == []
    assert stack.redrive("UploadRuleDeadLetterQueue", "ClassifyQueue") == 1
    stack.run()
    assert len(stack.records()) == 1


def test_image_is_begun_by_each_function_within_its_own_timeout(stack: DeployedStack) -> None:
    for stage in STAGES:
        function = stack.function(stage.name)
        seconds = int(function["Environment"]["Variables"]["CXR_IMAGE_SECONDS"])
        assert function["Timeout"] > stage.batch_size * seconds
