"""The state machine that is deployed, as far as moto does not run it (`test_archive_run.py`)."""

import copy
import json
from typing import Any

import pytest

from infra.archive_definition import definition
from infra.bulk import (
    BATCH_IMAGES,
    BATCH_SIZE,
    LAKE_SIZE,
    MOST_WAVES,
    PLANNER_SIZE,
    RETRIED_ERRORS,
    SERVICE_ERRORS,
    THROTTLED_ERROR,
    WAVE_BATCHES,
    wave_batches,
)
from infra.config import Settings
from lambdas.batch.batching import INPUT_BYTES, split
from lambdas.batch.budget import THROTTLED_RETRIES, worst_batch_usd
from lambdas.batch.job import BatchRequest, to_document
from lambdas.shared.messages import ImageRef
from tests.infra.synthesis import Template, of_type, plain
from tests.lambdas.batch.job_builders import archive_job
from tests.validators import asl_validator

PAYLOAD_BYTES = 256 * 1024
"""Step Functions developer guide, "Quotas"."""


@pytest.fixture
def machine(template: Template) -> dict[str, Any]:
    (made,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    return plain(made)


@pytest.fixture
def deployed(machine: dict[str, Any]) -> dict[str, Any]:
    return json.loads(machine["DefinitionString"])


def concrete() -> dict[str, Any]:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:"
    return definition(
        batch_arn=f"{arn}batch", planner_arn=f"{arn}planner", lake_arn=f"{arn}lake", concurrency=7
    )


def test_the_deployed_definition_is_ours_with_nothing_dropped(
    deployed: dict[str, Any], settings: Settings
) -> None:
    """CDK's way to JSON would drop each null, and with it what throws results away."""
    assert deployed == definition(
        batch_arn="<ArchiveBatchFunction.Arn>",
        planner_arn="<ArchivePlannerFunction.Arn>",
        lake_arn="<LakeFunction.Arn>",
        concurrency=settings.archive_concurrency,
        partition="<AWS::Partition>",
    )
    wave = deployed["States"]["RunWave"]
    assert (wave["ResultPath"], wave["Catch"][0]["ResultPath"]) == (None, None)


@pytest.mark.slow
def test_not_run_by_moto_tolerance_and_result_writer_are_valid_asl() -> None:
    states = concrete()
    assert {"ToleratedFailurePercentage", "ResultWriter"} <= set(states["States"]["RunWave"])
    assert asl_validator(states) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("States", "RunWave", "Next"), "Nowhere"),
        (("States", "RunWave", "ToleratedFailurePercentage"), "half"),
        (("States", "PlanWave", "OutputPath"), "not a path"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_validator_does_look(path: tuple[str, ...], wrong: str) -> None:
    states = copy.deepcopy(concrete())
    place: Any = states
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = wrong
    assert asl_validator(states)


def tasks() -> dict[str, dict[str, Any]]:
    states = concrete()["States"]
    child = states["RunWave"]["ItemProcessor"]["States"]["AnalyseBatch"]
    part = states["CompactLake"]["ItemProcessor"]["States"]["CompactPart"]
    return {"planner": states["PlanWave"], "batch": child, "lake": part}


SIZES = [("planner", PLANNER_SIZE), ("batch", BATCH_SIZE), ("lake", LAKE_SIZE)]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_retries_are_for_what_may_succeed_and_no_more_than_is_budgeted(name, size) -> None:
    billed, throttled = tasks()[name]["Retry"]
    assert set(billed["ErrorEquals"]) == {*RETRIED_ERRORS, *SERVICE_ERRORS}
    assert billed["MaxAttempts"] == size.attempts - 1
    assert throttled["ErrorEquals"] == [THROTTLED_ERROR]
    assert throttled["MaxAttempts"] == THROTTLED_RETRIES
    assert not any(
        "States." in error for each in (billed, throttled) for error in each["ErrorEquals"]
    )


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_state_waits_longer_than_the_function_may_run(name, size) -> None:
    assert size.timeout_seconds < tasks()[name]["TimeoutSeconds"] < size.timeout_seconds + 120


def test_whatever_becomes_of_the_lake_the_job_has_ended() -> None:
    states = concrete()["States"]
    assert states["Answer"]["Default"] == "LakeParts"
    assert states["LakeParts"]["Result"] == list("0123456789abcdef")
    lake = states["CompactLake"]
    assert lake["Next"] == "Ended"
    assert lake["Catch"] == [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Ended"}]


def test_whatever_becomes_of_a_map_run_the_planner_counts() -> None:
    wave = concrete()["States"]["RunWave"]
    assert wave["Next"] == "PlanWave"
    assert wave["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "PlanWave"}
    ]
    assert wave["ItemProcessor"]["ProcessorConfig"] == {
        "Mode": "DISTRIBUTED",
        "ExecutionType": "STANDARD",
    }


@pytest.mark.parametrize(
    "letter", ["a", "ü", "胸", "\x01"], ids=["ascii", "latin", "han", "control"]
)
def test_not_run_by_moto_input_of_a_child_fits_however_long_the_keys_are(letter: str) -> None:
    key = letter * (1024 // len(letter.encode()))
    images = [ImageRef("b" * 63, key, "v" * 32, "e" * 32, 10**9)] * (2 * BATCH_IMAGES)
    groups = split(images, BATCH_IMAGES)
    assert sum(map(len, groups)) == len(images)
    for group in groups:
        request = BatchRequest("n" * 60, "r" * 63, 1, 1, group, "0" * 16, formats="fhir,dicom-sr")
        assert len(json.dumps(to_document(request))) <= PAYLOAD_BYTES
    assert INPUT_BYTES < PAYLOAD_BYTES
    # a batch of usual keys is not cut
    usual = [ImageRef("pacs", "2019/" + "1.2.840." * 12, "v" * 32, None, 1)] * BATCH_IMAGES
    assert len(split(usual, BATCH_IMAGES)) == 1


@pytest.mark.parametrize("images", [1, 10**6, 10**8, 10**9])
def test_waves_fit_the_history_of_one_execution(images: int) -> None:
    assert images / BATCH_IMAGES / wave_batches(images) <= MOST_WAVES
    assert wave_batches(images) >= WAVE_BATCHES


def test_budget_carries_every_retry_that_the_machine_may_make() -> None:
    job = archive_job()
    retried = THROTTLED_RETRIES * job.prices.transition
    assert worst_batch_usd(job, 0) > retried + job.batch.attempts * 3 * job.prices.transition


def test_data_is_encrypted_and_stays_out_of_logs(machine: dict[str, Any]) -> None:
    assert machine["EncryptionConfiguration"] == {
        "Type": "CUSTOMER_MANAGED_KMS_KEY",
        "KmsKeyId": "<DataKey.Arn>",
        "KmsDataKeyReusePeriodSeconds": 900,
    }
    logging = machine["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["StateMachineType"] == "STANDARD"
