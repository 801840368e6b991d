"""The state machine, run by moto with the real planner and batch function.

What moto 5.2.5 leaves out stands in the tests' names; `test_archive_definition.py` has the rest.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdas.batch.budget import worst_batch_usd, worst_planning_usd
from lambdas.batch.job import wave_key
from tests.builders import film, png
from tests.infra.archive_run import JOB, ArchiveRun, archive_run, as_moto_takes_it
from tests.infra.synthesis import Template
from tests.lambdas.lake.cases import ask

pytestmark = pytest.mark.slow

POISON = "2019/5.png"
DIED = "Sandbox.Timedout"


@pytest.fixture
def run(template: Template, tiny_models_folder: Path) -> Iterator[ArchiveRun]:
    with archive_run(template, tiny_models_folder) as deployed:
        yield deployed


def fill(run: ArchiveRun, count: int = 10) -> None:
    for number in range(count):
        run.stack.upload(f"2019/{number}.png", png(film(seed=number)))


def keys(event: dict[str, Any]) -> list[str]:
    return [image["key"] for image in event["request"]["images"]]


def test_run_by_moto_without_result_writer_every_image_has_its_record(run: ArchiveRun) -> None:
    fill(run)
    run.stack.upload("2019/notes.txt", b"not an image")
    run.order()
    assert run.execute()["status"] == "SUCCEEDED"
    state = run.state()
    assert (state.status, state.planned) == ("done", 1)
    assert (state.tally.listed, state.tally.analysed, state.tally.rejected) == (11, 10, 1)
    assert len(run.stack.records()) == 11
    assert sorted(len(keys(event)) for event in run.calls) == [3, 4, 4]


def test_run_by_moto_without_result_writer_the_lake_has_every_record_in_the_end(
    run: ArchiveRun, tmp_path: Path
) -> None:
    fill(run)
    run.order()
    assert run.execute()["status"] == "SUCCEEDED"
    assert sorted(event["part"] for event in run.lake_calls) == list("0123456789abcdef")
    bucket = run.stack.outputs["ResultsBucket"]
    for item in run.stack.s3.list_objects_v2(Bucket=bucket, Prefix="lake/")["Contents"]:
        target = tmp_path / item["Key"]
        target.parent.mkdir(parents=True, exist_ok=True)
        run.stack.s3.download_file(bucket, item["Key"], str(target))
    expected = {record["image_id"] for record in run.stack.records()}
    assert {row[0] for row in ask(tmp_path / "lake", "SELECT image_id FROM records")} == expected


def test_run_by_moto_without_result_writer_a_lake_that_fails_fails_no_job(run: ArchiveRun) -> None:
    fill(run, 2)
    run.lake_fault = lambda event: "Runtime.OutOfMemory" if event["part"] == "7" else None
    run.order()
    assert run.execute()["status"] == "SUCCEEDED"
    assert run.state().status == "done"
    assert len(run.lake_calls) == 16  # the other parts are compacted all the same


def test_run_by_moto_without_result_writer_batch_that_died_comes_back_split(
    run: ArchiveRun,
) -> None:
    """One image kills its function; it alone is lost, with its reason."""
    fill(run)
    run.fault = lambda event: DIED if POISON in keys(event) else None
    run.order()
    assert run.execute()["status"] == "SUCCEEDED"
    state = run.state()
    assert (state.status, state.tally.analysed, state.tally.failed) == ("done", 9, 1)
    together = [keys(event) for event in run.calls if POISON in keys(event)]
    assert [len(batch) for batch in together] == [4, 1]  # died at once: not tried with the same
    place = [r["images"][0]["key"] for r in run.read(wave_key(JOB, 2))].index(POISON)
    (failure,) = run.outcome(2, place).failures
    assert (failure.image.key, failure.reason) == (POISON, "BatchDied")


@pytest.mark.parametrize(
    "error",
    ["StorageUnavailableError", "Lambda.ServiceException", "Lambda.TooManyRequestsException"],
)
def test_run_by_moto_without_result_writer_what_may_work_later_is_tried_again(
    run: ArchiveRun, error: str
) -> None:
    fill(run, 2)
    seen: list[int] = []

    def once(event: dict[str, Any]) -> str | None:
        seen.append(event["retry_count"])
        return error if len(seen) == 1 else None

    run.fault = once
    run.order()
    assert run.execute()["status"] == "SUCCEEDED"
    assert seen == [0, 1]
    assert run.outcome(1, 0).attempt == 2
    assert run.state().tally.analysed == 2


def test_run_by_moto_without_result_writer_batch_is_tried_no_oftener_than_it_is_budgeted(
    run: ArchiveRun,
) -> None:
    fill(run, 2)
    run.fault = lambda event: "StorageUnavailableError"
    job = run.order(batch_images=4)
    run.execute()
    first = [event["retry_count"] for event in run.calls if len(keys(event)) == 2]
    assert first == list(range(job.batch.attempts))


def test_run_by_moto_without_result_writer_budget_stops_before_the_wave_it_cannot_carry(
    run: ArchiveRun,
) -> None:
    fill(run)
    job = run.order()
    enough_for_one = 1.001 * worst_batch_usd(job, 4) + 2 * worst_planning_usd(job, job.wave_batches)
    run.order(max_cost_usd=enough_for_one)
    assert run.execute()["status"] == "SUCCEEDED"
    state = run.state()
    assert state.status == "budget"
    assert 0 < state.tally.analysed < 10
    assert 0 < state.spent_usd <= enough_for_one
    assert len(run.stack.records()) == state.tally.analysed


def test_run_by_moto_without_result_writer_job_of_dying_batches_fails(run: ArchiveRun) -> None:
    fill(run, 5)
    run.fault = lambda event: DIED
    run.order(batch_images=2)
    ended = run.execute()
    assert (ended["status"], ended["error"]) == ("FAILED", "ArchiveJobFailed")
    assert run.state().status == "failed"


def test_not_run_by_moto_map_run_given_up_is_driven_batch_by_batch_and_counted(
    run: ArchiveRun,
) -> None:
    """More children failed than are tolerated, so the rest never ran: their images come back."""
    fill(run)
    run.order()

    def call(function: str, **payload: Any) -> dict[str, Any]:
        answer = run.stack.lambda_.invoke(
            FunctionName=run.stack.outputs[function],
            Payload=json.dumps({**payload, "retry_count": 0}),
        )
        return dict(json.loads(answer["Payload"].read()))

    planned = call("PlannerFunction", job=JOB, ran=0)
    first, *given_up = run.read(planned["items_key"])
    assert call("BatchFunction", request=first)["analysed"] == 4
    assert [len(request["images"]) for request in given_up] == [4, 2]
    planned = call("PlannerFunction", job=JOB, ran=1)
    assert (planned["status"], planned["wave"]) == ("running", 2)
    assert run.state().tally.analysed == 4
    while planned["status"] == "running":
        for request in run.read(planned["items_key"]):
            call("BatchFunction", request=request)
        planned = call("PlannerFunction", job=JOB, ran=planned["wave"])
    assert planned["status"] == "done"
    assert len(run.stack.records()) == run.state().tally.analysed == 10


def test_nothing_but_the_result_writer_is_changed_for_moto() -> None:
    given = {"States": {"RunWave": {"ResultWriter": {"a": 1}, "Next": "b"}, "c": {}}}
    assert as_moto_takes_it(given) == {"States": {"RunWave": {"Next": "b"}, "c": {}}}
