"""Waiting for jobs and pipelines: states and log lines as they come, each once."""

import pytest

from tests.training.submission import MOMENT, settings_of
from training.submit import submit


class FakeSageMaker:
    """A training job that is seen three times, then over; a pipeline seen twice."""

    def __init__(self, end):
        self.end = end
        self.looks = 0

    def create_training_job(self, **_):
        self.looks = 0

    def describe_training_job(self, *, TrainingJobName):
        self.looks += 1
        changes = [{"Status": "Starting"}, {"Status": "Training", "StatusMessage": "in progress"}]
        done = self.looks >= 3
        return {
            "TrainingJobStatus": self.end if done else "InProgress",
            "SecondaryStatusTransitions": changes[: self.looks],
            "FailureReason": "AlgorithmError: the loss is nan",
            "BillableTimeInSeconds": 30,
            "TrainingTimeInSeconds": 100,
            "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
        }

    def describe_pipeline_execution(self, *, PipelineExecutionArn):
        self.looks += 1
        return {"PipelineExecutionStatus": self.end if self.looks >= 2 else "Executing"}

    def list_pipeline_execution_steps(self, *, PipelineExecutionArn):
        status = "Succeeded" if self.looks >= 2 else "Executing"
        return {"PipelineExecutionSteps": [{"StepName": "Prepare", "StepStatus": status}]}


class FakeLogs:
    """One stream that grows by a line a look."""

    def __init__(self):
        self.lines = ["validation_auroc=0.5;", "validation_auroc=0.9;", "wrote model"]
        self.shown = 0

    def describe_log_streams(self, *, logGroupName, logStreamNamePrefix):
        assert logGroupName == "/aws/sagemaker/TrainingJobs"
        return {"logStreams": [{"logStreamName": logStreamNamePrefix + "algo-1"}]}

    def get_log_events(self, *, logGroupName, logStreamName, startFromHead, nextToken="0"):
        start = int(nextToken)
        end = min(self.shown + 1, len(self.lines)) if start == self.shown else self.shown
        self.shown = max(self.shown, end)
        events = [{"message": line} for line in self.lines[start:end]]
        return {"events": events, "nextForwardToken": str(max(start, end))}


@pytest.mark.parametrize(("end", "status"), [("Completed", 0), ("Failed", 1), ("Stopped", 1)])
def test_waiting_shows_states_and_each_log_line_once(end, status, capsys):
    class Bucket:
        def put_object(self, **_):
            pass

    pauses = []
    clients = {"s3": Bucket(), "sagemaker": FakeSageMaker(end), "logs": FakeLogs()}
    settings = settings_of(wait=True, models=["classifier"])
    assert status == submit(
        "train", settings, clients=lambda: clients, moment=MOMENT, pause=pauses.append
    )
    shown = capsys.readouterr().out
    for line in ("Starting", "Training in progress", *clients["logs"].lines):
        assert shown.count(line) == 1, line
    assert "100 s of training, 30 s billed" in shown
    assert pauses == [15.0, 15.0]
    if end == "Failed":
        assert "AlgorithmError: the loss is nan" in shown


def test_waiting_for_a_pipeline_shows_each_steps_states(capsys):
    from training.sagemaker_watch import watch_pipeline

    clients = {"sagemaker": FakeSageMaker("Succeeded")}
    assert watch_pipeline("arn", clients, pause=lambda _: None) == "Succeeded"
    assert capsys.readouterr().out.splitlines() == [
        "Prepare: Executing",
        "Prepare: Succeeded",
        "pipeline: Succeeded",
    ]
