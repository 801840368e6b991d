"""The synthesised state machine of archive jobs, run by moto with the real handlers.

moto 5.2.5 takes the whole definition but for what `as_moto_takes_it` changes. It runs children
in threads, reads the wave's file and waits between retries as the definition says.
"""

import copy
import importlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from moto.awslambda.models import LambdaFunction
from moto.stepfunctions.models import stepfunctions_backends

from infra.bulk import BATCH_HANDLER, PLAN_HANDLER
from infra.function_worker import LambdaContext
from infra.images import image_spec
from lambdas.batch.job import (
    BatchOutcome,
    Job,
    Source,
    job_key,
    outcome_key,
    state_key,
    to_document,
)
from lambdas.batch.state import State
from lambdas.shared.bundle import load_pair
from tests.infra.deployed_template import REGION, DeployedStack, deployed
from tests.infra.synthesis import Template, of_type
from tests.lambdas.batch.job_builders import archive_job

LAKE_HANDLER = image_spec("lake").handler

ACCOUNT = "123456789012"
JOB = "night"
DEADLINE_S = 120

Fault = Callable[[dict[str, Any]], str | None]
"""Of a batch function's event: the type of the error that Lambda reports, None to run it."""


@dataclass
class ArchiveRun:
    """One archive, one job.

    Attributes:
        stack: Deployed.
        model_set: Of the functions.
        fault: What goes wrong.
        calls: Events of the batch function.
        lake_fault: What goes wrong with the lake.
        lake_calls: Events of the lake's function.
    """

    stack: DeployedStack
    model_set: str
    fault: Fault = lambda event: None
    calls: list[dict[str, Any]] = field(default_factory=list)
    lake_fault: Fault = lambda event: None
    lake_calls: list[dict[str, Any]] = field(default_factory=list)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def order(self, **changes: Any) -> Job:
        """Write job.json for all that lies below 2019/ in the intake bucket."""
        values = {
            "source": Source("prefix", self.stack.outputs["IntakeBucket"], "2019/"),
            "batch_images": 4,
            "wave_batches": 3,
        }
        job = archive_job(model_set=self.model_set, name=JOB, **values | changes)
        self.stack.s3.put_object(
            Bucket=self.stack.outputs["ResultsBucket"],
            Key=job_key(JOB),
            Body=json.dumps(to_document(job)).encode(),
        )
        return job

    def execute(self) -> dict[str, Any]:
        """Start the state machine and wait for its end."""
        machines = boto3.client("stepfunctions")
        started = machines.start_execution(
            stateMachineArn=self.stack.outputs["ArchiveStateMachine"],
            input=json.dumps({"job": JOB, "wave": 0}),
        )
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = machines.describe_execution(executionArn=started["executionArn"])
            if found["status"] != "RUNNING":
                return dict(found)
            threading.Event().wait(0.05)
        raise AssertionError(f"still running after {DEADLINE_S} s")

    def state(self) -> State:
        return State.from_document(self.read(state_key(JOB)))

    def outcome(self, wave: int, number: int) -> BatchOutcome:
        return BatchOutcome.from_document(self.read(outcome_key(JOB, wave, number)))

    def read(self, key: str) -> Any:
        bucket = self.stack.outputs["ResultsBucket"]
        return json.loads(self.stack.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def invoke(self, function: LambdaFunction, event: dict[str, Any]) -> tuple[str, bool, str]:
        """In place of moto's container: the handler, with the deployed variables."""
        handlers = {
            self.stack.outputs["PlannerFunction"]: PLAN_HANDLER,
            self.stack.outputs["BatchFunction"]: BATCH_HANDLER,
        }
        dotted = handlers.get(function.function_name, LAKE_HANDLER)
        payload = dict(event)
        with self._one:
            calls = self.lake_calls if dotted == LAKE_HANDLER else self.calls
            if dotted != PLAN_HANDLER:
                calls.append(payload)
                fault = self.lake_fault if dotted == LAKE_HANDLER else self.fault
                if (error := fault(payload)) is not None:
                    return json.dumps({"errorType": error, "errorMessage": "x"}), True, ""
            module, _, name = dotted.rpartition(".")
            variables = function.environment_vars | {"CXR_MODELS": str(self.stack.models)}
            with mock.patch.dict(os.environ, variables):
                handler = getattr(importlib.import_module(module), name)
                try:
                    return json.dumps(handler(payload, _context(function))), False, ""
                except Exception as error:  # as Lambda answers
                    told = {"errorType": type(error).__name__, "errorMessage": str(error)}
                    return json.dumps(told), True, ""


def as_moto_takes_it(definition: dict[str, Any]) -> dict[str, Any]:
    """Without the results' place, whose path moto 5.2.5 looks up in the results themselves."""
    changed = copy.deepcopy(definition)
    del changed["States"]["RunWave"]["ResultWriter"]
    return changed


def _hand_over(arn: str) -> None:
    """moto's CloudFormation makes a machine that only its other, answerless backend knows."""
    (made,) = (
        each for each in stepfunctions_backends[ACCOUNT][REGION].state_machines if each.arn == arn
    )
    definition = as_moto_takes_it(json.loads(made.definition))
    created = boto3.client("stepfunctions").create_state_machine(
        name=made.name, definition=json.dumps(definition), roleArn=made.roleArn
    )
    assert created["stateMachineArn"] == arn


def _make_tables(template: Template) -> None:
    """The lake's, as far as partitions need them: moto's CloudFormation knows none of Glue."""
    glue = boto3.client("glue")
    for database in of_type(template, "AWS::Glue::Database").values():
        glue.create_database(DatabaseInput={"Name": database["DatabaseInput"]["Name"]})
    for table in of_type(template, "AWS::Glue::Table").values():
        declared = table["TableInput"]
        glue.create_table(
            DatabaseName=table["DatabaseName"],
            TableInput={
                "Name": declared["Name"],
                "PartitionKeys": [
                    {"Name": key["Name"], "Type": key["Type"]} for key in declared["PartitionKeys"]
                ],
            },
        )


def _invoke_by(run: ArchiveRun) -> Callable[..., tuple[str, bool, str]]:
    def invoke(self: LambdaFunction, event: dict[str, Any]) -> tuple[str, bool, str]:
        return run.invoke(self, event)

    return invoke


def _context(function: LambdaFunction) -> LambdaContext:
    return LambdaContext.from_headers(
        {
            "Lambda-Runtime-Aws-Request-Id": "request",
            "Lambda-Runtime-Invoked-Function-Arn": function.function_arn,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + function.timeout) * 1000)),
        },
        {"AWS_LAMBDA_FUNCTION_NAME": function.function_name},
    )


@contextmanager
def archive_run(template: Template, models: Path) -> Iterator[ArchiveRun]:
    """Deploy the template with an interpreter of state machines."""
    interpreter = {"stepfunctions": {"execute_state_machine": True}}
    with deployed(template, models, config=interpreter) as stack:
        _make_tables(template)
        _hand_over(stack.outputs["ArchiveStateMachine"])
        run = ArchiveRun(stack, load_pair(models).model_set)
        batch = importlib.import_module(BATCH_HANDLER.rpartition(".")[0])
        lake = importlib.import_module(LAKE_HANDLER.rpartition(".")[0])
        for module in (batch, lake):
            module._collaborators.cache_clear()
        with mock.patch.object(LambdaFunction, "_invoke_lambda", _invoke_by(run)):
            try:
                yield run
            finally:
                if batch._collaborators.cache_info().currsize:
                    for reader in batch._collaborators()[2]:
                        reader.close()
                for module in (batch, lake):
                    module._collaborators.cache_clear()
