import json
from dataclasses import replace
from typing import Any

import pytest

from lambdas.batch.analyse import Models
from lambdas.shared import metric_names
from lambdas.shared.errors import (
    ContractError,
    ResourceLimitError,
    StorageUnavailableError,
)
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageMessage, parse_message
from lambdas.shared.radiograph import Radiograph
from tests.builders import film, png
from tests.lambdas.streaming.world import MAX_RECEIVES, Cloud, Pipeline, results_of, upload

FILM = png(film())


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def pipeline(cloud: Cloud, models: Models, reader: IsolatedReader) -> Pipeline:
    return Pipeline(cloud, models, reader, detect_all=True)


def only_record(cloud: Cloud) -> dict[str, Any]:
    (record,) = results_of(cloud).values()
    return dict(record)


def test_negative_image_skips_detection(
    cloud: Cloud, models: Models, reader: IsolatedReader
) -> None:
    upload(cloud, "images/dark.png", FILM)
    Pipeline(cloud, models, reader).drain()
    positive = only_record(cloud)["triage"]["positive"]
    assert ("send detect" in cloud.calls) == positive
    assert only_record(cloud)["detection"]["performed"] == positive


def test_bad_image_becomes_a_rejected_record_and_is_not_retried(
    cloud: Cloud, pipeline: Pipeline
) -> None:
    upload(cloud, "images/notes.txt", b"hello")
    pipeline.drain()
    record = only_record(cloud)
    assert (record["status"], record["rejection"]["code"]) == ("rejected", "not_an_image")
    assert cloud.calls.count("fetch") == 1
    assert cloud.told[0]["status"] == "rejected"


def test_object_too_large_to_read_is_rejected_without_a_digest(
    cloud: Cloud, pipeline: Pipeline
) -> None:
    upload(cloud, "images/huge.dcm", b"")
    cloud.faults["fetch"] = [ResourceLimitError("300 MiB", code="too_many_bytes")]
    pipeline.drain()
    record = only_record(cloud)
    assert record["rejection"]["code"] == "too_many_bytes"
    assert record["source"]["sha256"] is None


@pytest.mark.parametrize("before", ["classify", "detect", "report"])
def test_object_deleted_on_the_way_ends_quietly(
    cloud: Cloud, pipeline: Pipeline, before: str
) -> None:
    upload(cloud, "images/a.png", FILM)
    for stage in ("classify", "detect", "report"):
        if stage == before:
            cloud.objects.clear()
            pipeline.deliver(stage)
            break
        pipeline.deliver(stage)
    assert not any(cloud.queues.values())
    assert cloud.counted[metric_names.IMAGES_GONE] == 1
    assert cloud.results == {}


def test_overwritten_object_is_read_as_the_version_of_its_event(
    cloud: Cloud, pipeline: Pipeline
) -> None:
    upload(cloud, "images/a.png", FILM, version="v1")
    upload(cloud, "images/a.png", b"something else", version="v2")
    pipeline.drain()
    statuses = {
        record["source"]["version"]: record["status"] for record in results_of(cloud).values()
    }
    assert statuses == {"v1": "analysed", "v2": "rejected"}


def test_without_versions_the_etag_tells_an_overwritten_object(
    cloud: Cloud, pipeline: Pipeline
) -> None:
    upload(cloud, "images/a.png", FILM, version=None)
    cloud.objects.clear()
    upload(cloud, "images/a.png", png(film(seed=5)), version=None)
    pipeline.drain()
    assert len(results_of(cloud)) == 1
    assert cloud.counted[metric_names.IMAGES_GONE] == 1


def test_folder_marker_is_no_image(cloud: Cloud, pipeline: Pipeline) -> None:
    upload(cloud, "images/2019/", b"")
    pipeline.drain()
    assert cloud.results == {}
    assert "fetch" not in cloud.calls


def test_image_is_not_begun_that_cannot_be_finished(cloud: Cloud, pipeline: Pipeline) -> None:
    upload(cloud, "images/a.png", FILM)
    assert not pipeline.deliver("classify", milliseconds=74_000)
    assert "fetch" not in cloud.calls
    pipeline.drain()
    assert only_record(cloud)["status"] == "analysed"


def test_duplicate_of_a_finished_image_is_not_done_again(cloud: Cloud, pipeline: Pipeline) -> None:
    body = upload(cloud, "images/a.png", FILM)
    pipeline.drain()
    reads = cloud.calls.count("fetch")
    cloud.queues["classify"].append((body, 0))
    pipeline.drain()
    assert cloud.calls.count("fetch") == reads
    assert cloud.counted[metric_names.DUPLICATES] == 1


def test_message_of_other_models_starts_again(cloud: Cloud, pipeline: Pipeline) -> None:
    upload(cloud, "images/a.png", FILM)
    pipeline.deliver("classify")
    body, _ = cloud.queues["detect"].popleft()
    stale = replace(parse_message(body), model_set="f" * 16)
    cloud.queues["detect"].append((stale.to_body(), 0))
    pipeline.drain()
    assert cloud.counted[metric_names.RESTARTED] == 1
    assert len(results_of(cloud)) == 1
    restarted = [call for call in cloud.calls if call == "send classify"]
    assert len(restarted) == 1


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("fetch", StorageUnavailableError("503")),
        ("put report.pdf", StorageUnavailableError("503")),
        ("send report", StorageUnavailableError("503")),
        ("event", StorageUnavailableError("503")),
        # what nobody foresaw is no fault of the image
        ("fetch", ContractError("no bucket")),
        ("fetch", RuntimeError("a bug")),
    ],
)
def test_fault_that_stays_ends_in_the_dead_letter_queue_and_a_redrive_finishes(
    cloud: Cloud, pipeline: Pipeline, call: str, error: Exception
) -> None:
    upload(cloud, "images/a.png", FILM)
    upload(cloud, "images/neighbour.png", png(film(seed=3)))
    cloud.faults[call] = [error] * 2 * MAX_RECEIVES
    pipeline.drain()
    dead = [(stage, body) for stage, bodies in cloud.dead.items() for body in bodies]
    assert len(dead) == 2
    for record in results_of(cloud).values():
        assert record["status"] == "analysed", "a fault of ours is never a rejection"
    cloud.faults.clear()
    for stage, body in dead:
        assert parse_message(body).image.key.startswith("images/"), "the message is whole"
        cloud.queues[stage].append((body, 0))
    pipeline.drain()
    assert len(results_of(cloud)) == 2
    assert len({detail["image_id"] for detail in cloud.told}) == 2


@pytest.mark.parametrize("stage", ["detect", "report"])
def test_image_that_a_later_stage_cannot_read_is_not_rejected(
    cloud: Cloud, pipeline: Pipeline, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(data: bytes) -> Radiograph:
        raise ResourceLimitError("decoding took more than 60 s", code="decode_time")

    upload(cloud, "images/a.png", FILM)
    pipeline.deliver("classify")
    if stage == "report":
        pipeline.deliver("detect")
    with monkeypatch.context() as slow:
        slow.setattr(pipeline.reader, "read", read)
        assert not pipeline.deliver(stage)
    assert cloud.said[-1].startswith("ContractError: an earlier stage has read this image")
    assert "decode_time" in cloud.said[-1]
    pipeline.drain()
    assert only_record(cloud)["status"] == "analysed"


@pytest.mark.parametrize("place", ["before put report.pdf", "before put_first record.json"])
def test_event_tells_what_the_record_that_stands_says(
    cloud: Cloud, pipeline: Pipeline, place: str
) -> None:
    """Two functions have one image; only one of them could read it, and is the first to end."""
    upload(cloud, "images/a.png", FILM)
    pipeline.deliver("classify")
    pipeline.deliver("detect")
    ((body, _),) = cloud.queues["report"]
    rejected = replace(
        parse_message(body), triage=None, findings=None, rejection=("decode_time", "too long")
    )

    def overtake(number: int, name: str) -> None:
        if name == place:
            cloud.kill = lambda number, name: None
            cloud.queues["report"].appendleft((rejected.to_body(), 0))
            assert pipeline.deliver("report")

    cloud.kill = overtake
    pipeline.drain()
    assert only_record(cloud)["status"] == "rejected"
    assert [detail["status"] for detail in cloud.told] == ["rejected"] * 2
    assert cloud.counted[metric_names.IMAGES_REJECTED] == 1
    assert cloud.counted[metric_names.IMAGES_ANALYSED] == 0
    assert cloud.counted[metric_names.DUPLICATES] == 1


def test_image_overwritten_while_versioning_is_suspended_is_a_new_image(
    cloud: Cloud, pipeline: Pipeline
) -> None:
    """Each of its uploads has version "null"; only the ETag tells them apart."""
    for seed in (1, 2):
        body = json.loads(upload(cloud, "images/a.png", png(film(seed=seed)), version=None))
        body["detail"]["object"]["version-id"] = "null"
        cloud.queues["classify"][-1] = (json.dumps(body), 0)
        pipeline.drain()
    assert len(results_of(cloud)) == 2


def test_message_that_is_not_ours_is_a_contract_error_without_its_content(
    cloud: Cloud, pipeline: Pipeline
) -> None:
    for body in ('{"key": "SMITH^JOHN"}', "SMITH^JOHN", '{"detail-type": "Object Created"}', "[]"):
        cloud.queues["classify"].append((body, 0))
        assert not pipeline.deliver("classify")
    assert all(line.startswith("ContractError") for line in cloud.said)
    assert "SMITH" not in " ".join(cloud.said)


@pytest.mark.parametrize(
    "key",
    [
        "images/a b+c%20d.png",
        "images/é/日本/SMITH^JOHN.dcm",
        "images/\x01\x7f\n.png",
        "images/" + "ü" * 508,
        "images//../x",
    ],
    ids=["spaces and plus", "unicode", "control characters", "1,024 bytes", "dots"],
)
def test_any_key_goes_through_and_stands_in_the_record_alone(
    cloud: Cloud, pipeline: Pipeline, key: str
) -> None:
    upload(cloud, key, FILM)
    pipeline.drain()
    record = only_record(cloud)
    assert record["source"]["key"] == key
    assert all(key not in name for name in cloud.results)
    assert key not in json.dumps(cloud.told, ensure_ascii=False)
    assert not any(key in line for line in cloud.said)


def test_restarted_message_holds_nothing_but_the_image() -> None:
    message = parse_message(
        json.dumps(
            {
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "b"}, "object": {"key": "k", "version-id": "1"}},
            }
        )
    )
    assert message == ImageMessage(message.image)
