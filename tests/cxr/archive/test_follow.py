"""How a job is, within a wave as well."""

from typing import Any

import pytest

from cxr.archive.begin import ask_to_stop, note_run
from cxr.archive.files import JobFiles, plan_key
from cxr.archive.follow import Follower, as_json
from cxr.archive.text import status_line
from lambdas.batch.budget import metered_usd
from lambdas.batch.state import Tally
from tests.cxr.archive.jobs import JOB, failure, write_job, write_outcome, write_state


class Machine:
    """Runs one execution, or none."""

    def __init__(self, execution: str | None) -> None:
        self.execution = execution

    def running(self, job: str) -> str | None:
        return self.execution

    def map_run(self, execution: str) -> None:
        return None

    def ended_as(self, execution: str) -> str:
        return "ABORTED"


def follower(files: JobFiles, **changes: Any) -> Follower:
    return Follower(files, write_job(files), machine=None, **changes)


def test_counts_move_within_a_wave(files: JobFiles) -> None:
    files.write_json(plan_key(JOB), {"images": 100})
    write_state(
        files,
        planned=2,
        folded=1,
        batches=(20, 20),
        tally=Tally(listed=60, analysed=18, rejected=2, positive=3),
        spent_usd=1.0,
    )
    reader = follower(files, held=lambda: True)
    assert reader.read().settled == 20
    told = write_outcome(
        files, 2, 1, analysed=15, rejected=4, failures=(failure(7),), billed_ms=4000
    )
    snapshot = reader.read()
    assert (snapshot.settled, snapshot.tally.failed, snapshot.total) == (40, 1, 100)
    assert (snapshot.wave, snapshot.batches_done, snapshot.batches) == (2, 1, 2)
    assert snapshot.spent_usd == pytest.approx(1.0 + metered_usd(snapshot.job, told, 20))
    assert reader.read().settled == 40  # an outcome is counted once


@pytest.mark.parametrize(
    ("state", "works", "expected"),
    [
        (None, True, "starting"),
        (None, False, "interrupted"),  # the order was written, and nothing since
        ({"planned": 1}, True, "running"),
        ({"planned": 1}, False, "interrupted"),
        ({"planned": 1, "status": "done"}, False, "done"),
        ({"planned": 1, "status": "budget"}, True, "budget"),  # the execution is about to end
    ],
)
def test_status_tells_a_job_that_nobody_runs(
    files: JobFiles, state: dict[str, Any] | None, works: bool, expected: str
) -> None:
    if state is not None:
        write_state(files, **state)
    assert follower(files, held=lambda: works).read().status == expected


def test_a_job_that_was_asked_to_stop_is_stopping(files: JobFiles) -> None:
    write_state(files, planned=1)
    ask_to_stop(files, JOB, now=False)
    assert follower(files, held=lambda: True).read().status == "stopping"


@pytest.mark.parametrize(("execution", "expected"), [("arn", "running"), (None, "interrupted")])
def test_on_aws_the_execution_decides(
    files: JobFiles, execution: str | None, expected: str
) -> None:
    write_state(files, planned=1)
    machine: Any = Machine(execution)
    assert Follower(files, write_job(files), machine=machine).read().status == expected


def test_an_aborted_execution_is_named_with_what_goes_on(files: JobFiles) -> None:
    write_state(files, planned=1)
    note_run(files, JOB, where="aws", execution="arn")
    machine: Any = Machine(None)
    problem = Follower(files, write_job(files), machine=machine).read().problem
    assert problem == "its execution ended as ABORTED; `cxr archive resume night` goes on with it"


def test_what_is_shown_names_no_image(files: JobFiles) -> None:
    write_state(files, planned=1, folded=0, batches=(1,))
    write_outcome(files, 1, 0, failures=(failure(7),))
    snapshot = follower(files, held=lambda: True).read()
    assert failure(7).image.key not in status_line(snapshot) + str(as_json(snapshot))
    assert "1 failed" in status_line(snapshot)
