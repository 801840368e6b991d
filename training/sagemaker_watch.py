"""Follow a SageMaker job or pipeline to its end: what changed, and the job's own log lines."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

LOG_GROUP: Final = "/aws/sagemaker/TrainingJobs"

INTERVAL_S: Final = 15.0
"""Between two looks: two jobs then stay far below the API's rate limits."""

ENDED: Final = frozenset({"Completed", "Failed", "Stopped", "Succeeded"})
"""Final states of jobs and of pipelines."""


def watch_job(name: str, clients: Mapping[str, Any], *, pause: Callable[[float], None]) -> str:
    """Write a training job's states and log lines until it ends.

    Args:
        name: Of the job.
        clients: boto3's for `sagemaker` and `logs`.
        pause: Waits for so many seconds.

    Returns:
        `Completed`, `Failed` or `Stopped`.
    """
    log, told = _Log(clients["logs"], name), 0
    while True:
        job = clients["sagemaker"].describe_training_job(TrainingJobName=name)
        changes = job.get("SecondaryStatusTransitions", [])
        for change in changes[told:]:
            _say(f"{name}: {change['Status']} {change.get('StatusMessage', '')}".rstrip())
        told = len(changes)
        log.write_new()
        status = str(job["TrainingJobStatus"])
        if status in ENDED:
            _say_end(name, job)
            return status
        pause(INTERVAL_S)


def watch_pipeline(arn: str, clients: Mapping[str, Any], *, pause: Callable[[float], None]) -> str:
    """Write the states of a pipeline's steps until it ends.

    Returns:
        `Succeeded`, `Failed` or `Stopped`.
    """
    known: dict[str, str] = {}
    while True:
        execution = clients["sagemaker"].describe_pipeline_execution(PipelineExecutionArn=arn)
        steps = clients["sagemaker"].list_pipeline_execution_steps(PipelineExecutionArn=arn)
        for step in reversed(steps.get("PipelineExecutionSteps", [])):
            name, status = step["StepName"], step["StepStatus"]
            if known.get(name) != status:
                _say(f"{name}: {status} {step.get('FailureReason', '')}".rstrip())
                known[name] = status
        status = str(execution["PipelineExecutionStatus"])
        if status in ENDED:
            _say(f"pipeline: {status} {execution.get('FailureReason', '')}".rstrip())
            return status
        pause(INTERVAL_S)


class _Log:
    """The lines of a job's log streams, each once."""

    def __init__(self, client: Any, job: str) -> None:
        self._client = client
        self._prefix = f"{job}/"
        self._tokens: dict[str, str] = {}

    def write_new(self) -> None:
        from botocore.exceptions import ClientError

        try:
            streams = self._client.describe_log_streams(
                logGroupName=LOG_GROUP, logStreamNamePrefix=self._prefix
            )["logStreams"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return  # no job of this account has ever logged
            raise
        for stream in streams:
            self._write_stream(stream["logStreamName"])

    def _write_stream(self, name: str) -> None:
        while True:
            place = {"nextToken": self._tokens[name]} if name in self._tokens else {}
            page = self._client.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=name, startFromHead=True, **place
            )
            for event in page["events"]:
                _say(event["message"])
            token = page["nextForwardToken"]
            # CloudWatch hands out the same token again at the end of a stream
            if token == self._tokens.get(name):
                return
            self._tokens[name] = token


def _say_end(name: str, job: Mapping[str, Any]) -> None:
    _say(f"{name}: {job['TrainingJobStatus']} {job.get('FailureReason', '')}".rstrip())
    billed, used = job.get("BillableTimeInSeconds"), job.get("TrainingTimeInSeconds")
    if billed is not None and used:
        _say(f"{name}: {used} s of training, {billed} s billed")
    if job["TrainingJobStatus"] == "Completed" and "ModelArtifacts" in job:
        _say(f"{name}: {job['ModelArtifacts']['S3ModelArtifacts']}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
