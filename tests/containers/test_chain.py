"""An image from its bucket to its record through the three images, as Lambda would run them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.event_source import Delivery
from infra.pipeline import stage_spec
from infra.runtime_api import TIMED_OUT
from lambdas.batch.analyse import Models, analyse, load_models
from lambdas.shared.flow import Stage
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Source, result_key
from tests.containers.cloud import INTAKE, Cloud
from tests.containers.engine import Engine
from tests.containers.function import FunctionContainer
from tests.containers.images import DEMO_MODELS, BuiltImage
from tests.containers.loopback import Loopback
from tests.containers.trial import real_size_film

pytestmark = pytest.mark.slow

FILM = "images/SMITH^JOHN_1950/IM 1+2 é.dcm"
NO_IMAGE = "images/SMITH^JOHN_1950/broken.png"

Misbehaving = Callable[..., FunctionContainer]


@pytest.fixture
def start(
    engine: Engine, image: Callable[[str], BuiltImage], cloud: Cloud
) -> Callable[[Stage], FunctionContainer]:
    """Starts a stage's image with the settings of the stage."""

    def of(stage: Stage) -> FunctionContainer:
        spec = stage_spec(stage)
        return FunctionContainer(
            engine,
            image(stage).name,
            memory_mb=spec.memory_mb,
            timeout_s=spec.timeout_seconds,
            environment=cloud.environment(spec, detect_all=True),
        )

    return of


def test_a_film_and_a_broken_file_become_records(
    start: Callable[[Stage], FunctionContainer], cloud: Cloud, loopback: Loopback
) -> None:
    film = real_size_film()
    cloud.upload(FILM, film)
    cloud.upload(NO_IMAGE, b"\x89PNG\r\n\x1a\n and no more")
    logs = ""
    invocations: dict[Stage, int] = {"classify": 1, "detect": 1, "report": 2}
    for stage, count in invocations.items():
        with start(stage) as function:
            function.wait_until_ready()
            for _ in range(count):
                delivery = cloud.deliver(stage, function)
                assert delivery.failed == frozenset(), function.log()
            logs += function.log()
            assert cloud.waiting(stage) == 0

    results = cloud.results()
    records = {key: json.loads(data) for key, data in results.items() if key.endswith(".json")}
    by_key = {record["source"]["key"]: record for record in records.values()}
    assert set(by_key) == {FILM, NO_IMAGE}
    assert by_key[NO_IMAGE]["status"] == "rejected"
    assert by_key[NO_IMAGE]["rejection"]["code"] == "broken_file"
    record = by_key[FILM]
    assert record["status"] == "analysed"
    for file, start_of_it in (
        ("record.json", b"{"),
        ("report.pdf", b"%PDF-"),
        ("thumbnail.jpg", b"\xff\xd8"),
    ):
        key = result_key(record["model_set"], record["image_id"], file)
        assert results[key].startswith(start_of_it)
    assert_same_answer(record, local_record(film, record["source"]))

    assert loopback.tried_to_reach() == set(), "no connection but to AWS"
    assert "SMITH" not in logs
    assert record["image_id"] in logs


def local_record(film: bytes, source: dict[str, Any]) -> dict[str, Any]:
    """What `cxr analyze` makes of the same bytes with the same models."""
    models: Models = load_models(DEMO_MODELS, threads=1)
    with IsolatedReader() as reader:
        named = Source(source["bucket"], source["key"], source["version"], source["sha256"])
        done = analyse(film, source=named, models=models, reader=reader, detect_all=True)
    return json.loads(json.dumps(done.record))  # type: ignore[no-any-return]


def assert_same_answer(record: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal but for what may differ; scores within what two versions of a library may differ."""
    for part in ("image_id", "model_set", "image", "models", "source", "status"):
        assert record[part] == expected[part], part
    assert record["triage"]["label"] == expected["triage"]["label"]
    assert record["triage"]["probability"] == pytest.approx(
        expected["triage"]["probability"], abs=1e-3
    )
    assert len(expected["findings"]) > 0
    found, awaited = (
        [(finding["label"], finding["score"]) for finding in one["findings"]]
        for one in (record, expected)
    )
    assert [label for label, _ in found] == [label for label, _ in awaited]
    assert [score for _, score in found] == pytest.approx([score for _, score in awaited], abs=1e-3)


def test_a_message_that_met_a_time_out_is_finished_by_the_next_environment(
    start: Callable[[Stage], FunctionContainer], misbehaving: Misbehaving, cloud: Cloud
) -> None:
    url = cloud.resources.queue_urls["classify"]
    cloud.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "3"})
    cloud.upload("images/film.dcm", real_size_film())
    with misbehaving("faults.hang", timeout_s=1) as stuck:
        stuck.wait_until_ready()
        delivery = cloud.deliver("classify", stuck)
        assert delivery.outcome.error is not None
        assert delivery.outcome.error.type == TIMED_OUT
        assert len(delivery.failed) == 1
    with start("classify") as function:
        function.wait_until_ready()
        deadline = time.monotonic() + 30
        while cloud.waiting("classify") == 0 and time.monotonic() < deadline:
            assert cloud.waiting("detect") == 0
        again: Delivery = cloud.deliver("classify", function)
        assert again.failed == frozenset(), function.log()
    assert again.messages[0]["MessageId"] == delivery.messages[0]["MessageId"]
    assert cloud.waiting("detect") == 1
    listed = cloud.s3.list_objects_v2(Bucket=INTAKE)["Contents"]
    assert [Path(entry["Key"]).name for entry in listed] == ["film.dcm"]
