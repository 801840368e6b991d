"""The images beside the stream: bulk processing and the lake that its records end in."""

import json
from collections.abc import Callable

import pytest

from infra.bulk import BATCH_SIZE, PLAN_HANDLER, PLANNER_SIZE, bulk_environment
from tests.containers.cloud import INTAKE, RESULTS, Cloud, batch_event
from tests.containers.engine import Engine
from tests.containers.function import FunctionContainer
from tests.containers.images import BuiltImage
from tests.containers.loopback import Loopback
from tests.containers.trial import real_size_film

pytestmark = pytest.mark.slow

BuiltImages = Callable[[str], BuiltImage]

LAKE_MB = 2048


def test_a_batch_becomes_records_and_records_a_lake(
    engine: Engine, image: BuiltImages, cloud: Cloud, loopback: Loopback
) -> None:
    keys = ["archive/a/film.dcm", "archive/b/broken.png"]
    for key, data in zip(keys, (real_size_film(), b"\x89PNG\r\n\x1a\n and no more"), strict=True):
        cloud.s3.put_object(Bucket=INTAKE, Key=key, Body=data)
    with FunctionContainer(
        engine,
        image("batch").name,
        memory_mb=BATCH_SIZE.memory_mb,
        timeout_s=BATCH_SIZE.timeout_seconds,
        environment=cloud.reached() | bulk_environment(cloud.resources),
    ) as batch:
        batch.wait_until_ready()
        outcome = batch.invoke(batch_event(keys))
    assert outcome.ok, outcome.error
    told = json.loads(outcome.payload)
    assert (told["analysed"], told["rejected"], told["failed"]) == (1, 1, 0)
    records = [key for key in cloud.results() if key.endswith("/record.json")]
    assert len(records) == 2

    with FunctionContainer(
        engine,
        image("lake").name,
        memory_mb=LAKE_MB,
        timeout_s=60,
        environment=cloud.reached() | {"CXR_RESULTS_BUCKET": RESULTS},
    ) as lake:
        lake.wait_until_ready()
        compacted = lake.invoke({})
    assert compacted.ok, compacted.error
    assert json.loads(compacted.payload)["records"] == 2
    assert any(key.startswith("lake/") for key in cloud.results())
    assert loopback.tried_to_reach() == set()


def test_the_planner_starts_from_the_bulk_image(
    engine: Engine, image: BuiltImages, cloud: Cloud
) -> None:
    with FunctionContainer(
        engine,
        image("batch").name,
        memory_mb=PLANNER_SIZE.memory_mb,
        timeout_s=PLANNER_SIZE.timeout_seconds,
        environment=cloud.reached() | bulk_environment(cloud.resources),
        command=PLAN_HANDLER,
    ) as planner:
        planner.wait_until_ready()
        outcome = planner.invoke({"job": "night", "ran": 0})
    assert outcome.error is not None
    assert outcome.error.type == "InvalidRequestError"
    assert "there is no job 'night'" in outcome.error.message
