"""Archive jobs as executions of a state machine."""

from typing import Any

import boto3
import pytest

from cxr.archive.executions import MapRun, StateMachine
from lambdas.shared.errors import InvalidRequestError

ROLE = "arn:aws:iam::123456789012:role/any"
WAITS = '{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": true}}}'


@pytest.fixture
def machine(s3: Any) -> StateMachine:
    client = boto3.client("stepfunctions", region_name="us-east-1")
    made = client.create_state_machine(name="archive", definition=WAITS, roleArn=ROLE)
    return StateMachine(client, made["stateMachineArn"])


def test_a_started_job_runs_until_it_is_stopped(machine: StateMachine) -> None:
    execution = machine.start("night", number=1, wave=0)
    assert machine.running("night") == execution
    machine.stop(execution)
    assert machine.running("night") is None
    assert machine.ended_as(execution) == "ABORTED"


def test_a_job_whose_name_begins_alike_is_another_job(machine: StateMachine) -> None:
    machine.start("night-2", number=1, wave=0)
    assert machine.running("night") is None
    assert machine.running("night-2") is not None


def test_an_execution_of_another_time_is_not_known(machine: StateMachine) -> None:
    arn = machine.start("night", number=1, wave=0)
    assert machine.ended_as(arn.replace("night", "day")) == ""


def test_two_starts_at_once_are_one(machine: StateMachine) -> None:
    machine.start("night", number=2, wave=3)
    with pytest.raises(InvalidRequestError, match="just been started"):
        machine.start("night", number=2, wave=4)


class MapRuns:
    """Step Functions with map runs, which moto does not list."""

    def __init__(self, *dates: int) -> None:
        self.dates = dates

    def list_map_runs(self, **_: Any) -> dict[str, Any]:
        return {"mapRuns": [{"mapRunArn": f"run-{d}", "startDate": d} for d in self.dates]}

    def describe_map_run(self, *, mapRunArn: str) -> dict[str, Any]:
        assert mapRunArn == f"run-{max(self.dates)}"
        counts = {"pending": 1, "running": 2, "succeeded": 3, "failed": 4}
        return {"itemCounts": counts | {"aborted": 5, "timedOut": 6, "resultsWritten": 3}}


def test_the_newest_map_run_is_the_wave_in_hand() -> None:
    machine = StateMachine(MapRuns(3, 9, 5), "arn")
    assert machine.map_run("execution") == MapRun(pending=1, running=2, succeeded=3, failed=15)


def test_before_the_first_wave_there_is_no_map_run() -> None:
    assert StateMachine(MapRuns(), "arn").map_run("execution") is None
