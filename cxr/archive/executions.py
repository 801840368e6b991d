"""Archive jobs on AWS: executions of the state machine, named `<job>_<number of the start>`.

The number makes two starts at once one: Step Functions takes a name only once.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from cxr.aws import error_code, translated
from lambdas.shared.errors import InvalidRequestError

NEEDS: Final = (
    "states:StartExecution, states:ListExecutions, states:DescribeExecution, "
    "states:StopExecution, states:ListMapRuns and states:DescribeMapRun"
)


@dataclass(frozen=True, slots=True)
class MapRun:
    """A wave as Step Functions counts it; children, not images.

    Attributes:
        pending: Not begun.
        running: In hand.
        succeeded: Ended.
        failed: Ended without an answer, aborted and timed out ones too.
    """

    pending: int
    running: int
    succeeded: int
    failed: int


class StateMachine:
    """The deployed state machine.

    Args:
        client: Of Step Functions.
        arn: Of the machine.
    """

    def __init__(self, client: Any, arn: str) -> None:
        self._client, self._arn = client, arn

    def start(self, job: str, *, number: int, wave: int) -> str:
        """Start a job, or go on with it after a wave; the execution's ARN.

        Raises:
            InvalidRequestError: Somebody else has just started it.
        """
        with translated("starting the job", needs=NEEDS):
            try:
                answer = self._client.start_execution(
                    stateMachineArn=self._arn,
                    name=f"{job}_{number}",
                    input=json.dumps({"job": job, "wave": wave}),
                )
            except Exception as error:
                if error_code(error) != "ExecutionAlreadyExists":
                    raise
                raise InvalidRequestError(
                    f"job {job} has just been started by somebody else; "
                    f"`cxr archive watch {job}` follows it"
                ) from error
        return str(answer["executionArn"])

    def running(self, job: str) -> str | None:
        """ARN of the job's execution that runs; None if none does."""
        with translated("looking for executions", needs=NEEDS):
            pages = self._client.get_paginator("list_executions").paginate(
                stateMachineArn=self._arn, statusFilter="RUNNING"
            )
            for page in pages:
                for entry in page["executions"]:
                    if entry["name"].rpartition("_")[0] == job:
                        return str(entry["executionArn"])
        return None

    def stop(self, execution: str) -> None:
        """End an execution at once; functions that run go on to their ends."""
        with translated("stopping the job", needs=NEEDS):
            self._client.stop_execution(
                executionArn=execution, error="Stopped", cause="cxr archive stop --now"
            )

    def ended_as(self, execution: str) -> str:
        """Status of an execution, such as `ABORTED`; empty where it is not known any more."""
        with translated("looking at the execution", needs=NEEDS):
            try:
                return str(self._client.describe_execution(executionArn=execution)["status"])
            except Exception as error:
                if error_code(error) == "ExecutionDoesNotExist":
                    return ""
                raise

    def map_run(self, execution: str) -> MapRun | None:
        """The wave in hand; None before the first."""
        with translated("looking at the wave", needs=NEEDS):
            runs = self._client.list_map_runs(executionArn=execution, maxResults=10)["mapRuns"]
            if not runs:
                return None
            newest = max(runs, key=lambda run: run["startDate"])
            counts = self._client.describe_map_run(mapRunArn=newest["mapRunArn"])["itemCounts"]
        return MapRun(
            pending=counts["pending"],
            running=counts["running"],
            succeeded=counts["succeeded"],
            failed=counts["failed"] + counts["aborted"] + counts["timedOut"],
        )
