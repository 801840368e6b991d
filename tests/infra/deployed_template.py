"""The synthesised template, deployed into moto and run: its own queues, mappings and variables.

moto's event source mappings need docker and know no batch failures, so `infra.event_source` polls
in their place, with what the mapping in the template says. Handlers run in this process.
"""

import copy
import importlib
import io
import json
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import boto3
from moto import mock_aws
from moto.sqs.models import sqs_backends

from infra.event_source import Delivery, EventSource
from infra.function_worker import LambdaContext
from infra.local_template import finish_bucket
from infra.pipeline import STAGES, stage_spec
from infra.runtime_api import FunctionError, Outcome
from lambdas.shared import telemetry
from lambdas.shared.events import EVENT_DETAIL_TYPE
from lambdas.shared.flow import Stage
from tests.infra.synthesis import Template, of_type, plain

REGION = "us-east-1"

NEEDED = {
    "AWS::Events::Rule",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
}
"""Types that the flow is made of. moto skips others, such as policies and alarms, with a warning;
tests/infra/test_stack_*.py assert those on the template."""


@dataclass
class DeployedStack:
    """What a test may do with the deployed stack.

    Attributes:
        models: Stands in for the folder that the images hold: the one variable that differs.
        outputs: Of the stack.
        deliveries: Batches that were handled, by stage.
        logs: What the functions logged.
    """

    models: Path
    outputs: dict[str, str]
    deliveries: dict[Stage, list[Delivery]] = field(
        default_factory=lambda: {stage.name: [] for stage in STAGES}
    )
    logs: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.s3, self.sqs, self.lambda_, self.events = (
            boto3.client(name) for name in ("s3", "sqs", "lambda", "events")
        )
        telemetry.logger.handlers[0].setStream(self.logs)
        self._sources = {stage.name: self._source(stage.name) for stage in STAGES}
        self.told = self._listen()

    def upload(self, key: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.outputs["IntakeBucket"], Key=key, Body=data)

    def run(self) -> None:
        """Let every stage poll until nothing is left to receive."""
        while any(self.poll(stage.name) is not None for stage in STAGES):
            pass

    def poll(self, stage: Stage) -> Delivery | None:
        return self._sources[stage].poll(lambda event: self._invoke(stage, event))

    def function(self, stage: Stage) -> dict[str, Any]:
        """As Lambda has it."""
        name = self.outputs[f"{stage.capitalize()}Function"]
        return dict(self.lambda_.get_function_configuration(FunctionName=name))

    def mapping(self, stage: Stage) -> dict[str, Any]:
        """The stage's event source mapping."""
        name = self.outputs[f"{stage.capitalize()}Function"]
        listed = self.lambda_.list_event_source_mappings()["EventSourceMappings"]
        (mapping,) = (one for one in listed if one["FunctionArn"].endswith(f":{name}"))
        return dict(mapping)

    def queue_url(self, name: str) -> str:
        return self.outputs[name]

    def count(self, name: str) -> int:
        """Messages in a queue, by the name of its output, visible or not."""
        found = self.attributes(name)
        hidden = found["ApproximateNumberOfMessagesNotVisible"]
        return int(found["ApproximateNumberOfMessages"]) + int(hidden)

    def attributes(self, name: str) -> dict[str, str]:
        answer = self.sqs.get_queue_attributes(QueueUrl=self.outputs[name], AttributeNames=["All"])
        return dict(answer["Attributes"])

    def redrive(self, dead_letters: str, queue: str) -> int:
        """Move messages back, as StartMessageMoveTask does; moto has none."""
        moved = 0
        while messages := self._receive(self.outputs[dead_letters]):
            for message in messages:
                self.sqs.send_message(QueueUrl=self.outputs[queue], MessageBody=message["Body"])
                self.sqs.delete_message(
                    QueueUrl=self.outputs[dead_letters], ReceiptHandle=message["ReceiptHandle"]
                )
                moved += 1
        return moved

    def records(self) -> list[dict[str, Any]]:
        """Every version of every record."""
        bucket = self.outputs["ResultsBucket"]
        versions = self.s3.list_object_versions(Bucket=bucket).get("Versions", [])
        return [
            json.loads(
                self.s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])[
                    "Body"
                ].read()
            )
            for entry in versions
            if entry["Key"].endswith("/record.json")
        ]

    def result_files(self) -> set[str]:
        """Keys of the results bucket."""
        listed = self.s3.list_objects_v2(Bucket=self.outputs["ResultsBucket"])
        return {entry["Key"] for entry in listed.get("Contents", [])}

    def tellings(self) -> list[dict[str, Any]]:
        """Details of the events told since the last call."""
        details = []
        while messages := self._receive(self.told):
            for message in messages:
                details.append(json.loads(message["Body"])["detail"])
                self.sqs.delete_message(QueueUrl=self.told, ReceiptHandle=message["ReceiptHandle"])
        return details

    def _receive(self, url: str) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return list(answer.get("Messages", ()))

    def _source(self, stage: Stage) -> EventSource:
        mapping = self.mapping(stage)
        return EventSource(
            self.sqs,
            queue_url=self.outputs[f"{stage.capitalize()}Queue"],
            queue_arn=mapping["EventSourceArn"],
            batch_size=mapping["BatchSize"],
            reports_failures="ReportBatchItemFailures" in mapping["FunctionResponseTypes"],
            watch=self.deliveries[stage].append,
        )

    def _listen(self) -> str:
        """A queue of our own that hears the events; not of the template."""
        url = str(self.sqs.create_queue(QueueName="the-world")["QueueUrl"])
        asked = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        pattern = json.dumps({"detail-type": [EVENT_DETAIL_TYPE]})
        self.events.put_rule(Name="the-world", EventPattern=pattern)
        target = {"Id": "queue", "Arn": asked["Attributes"]["QueueArn"]}
        self.events.put_targets(Rule="the-world", Targets=[target])
        return url

    def _invoke(self, stage: Stage, event: bytes) -> Outcome:
        function = self.function(stage)
        variables = function["Environment"]["Variables"] | {"CXR_MODELS": str(self.models)}
        context = LambdaContext.from_headers(
            {
                "Lambda-Runtime-Aws-Request-Id": "request",
                "Lambda-Runtime-Invoked-Function-Arn": function["FunctionArn"],
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + function["Timeout"]) * 1000)),
            },
            {"AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"]},
        )
        with mock.patch.dict(os.environ, variables):
            try:
                answer = handler_module(stage).handler(json.loads(event), context)
            except Exception as error:  # as Lambda answers; tests look at what it led to
                fault = FunctionError(type(error).__name__, str(error))
                return Outcome("request", fault.to_payload(), fault, 0.0)
        return Outcome("request", json.dumps(answer).encode(), None, 0.0)


def change_variables(stack: DeployedStack, stage: Stage, **variables: str) -> None:
    """Deploy a function again with other variables."""
    function = stack.function(stage)
    stack.lambda_.update_function_configuration(
        FunctionName=function["FunctionName"],
        Environment={"Variables": function["Environment"]["Variables"] | variables},
    )
    restart_functions()


def handler_module(stage: Stage) -> ModuleType:
    return importlib.import_module(stage_spec(stage).handler.rpartition(".")[0])


def restart_functions() -> None:
    """End what the handlers keep between invocations: models, clients, decoders."""
    for stage in STAGES:
        module = handler_module(stage.name)
        if module._stage.cache_info().currsize:
            kept = module._stage()
            (kept[1].keywords["reader"] if isinstance(kept, tuple) else kept.reader).close()
            module._stage.cache_clear()


@contextmanager
def deployed(template: Template, models: Path, config: Any = None) -> Iterator[DeployedStack]:
    """Deploy the template; ends with whatever the handlers have opened."""
    fake = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    with (
        mock.patch.dict(os.environ, fake | {"AWS_DEFAULT_REGION": REGION}),
        mock_aws(config=config),
    ):
        outputs = _deploy(template)
        restart_functions()
        try:
            yield DeployedStack(models, outputs)
        finally:
            restart_functions()


def _deploy(template: Template) -> dict[str, str]:
    boto3.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="21", Type="String"
    )
    cloudformation = boto3.client("cloudformation")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cloudformation.create_stack(
            StackName="deployed",
            TemplateBody=json.dumps(_as_moto_takes_it(template)),
            Capabilities=["CAPABILITY_IAM"],
        )
        _finish_buckets(template)
    skipped = set(re.findall(r"AWS::\w+::\w+", " ".join(str(entry.message) for entry in caught)))
    assert skipped, "moto has not said what it skipped; look whether it still does"
    assert not skipped & NEEDED
    (stack,) = cloudformation.describe_stacks(StackName="deployed")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    for queue in sqs_backends["123456789012"][REGION].queues.values():
        queue.lambda_event_source_mappings.clear()
    return {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}


def _as_moto_takes_it(template: Template) -> Template:
    """Without what moto 5.2 stumbles over, and the flow does not need.

    It reads the tags of KMS keys under other names, and raises at any event where a rule has a
    topic or a function as its target.
    """
    changed = copy.deepcopy(template)
    queues = {f"<{name}.Arn>" for name in of_type(template, "AWS::SQS::Queue")}
    for properties in of_type(changed, "AWS::KMS::Key").values():
        properties.pop("Tags", None)
    for properties in of_type(changed, "AWS::Events::Rule").values():
        targets = properties.get("Targets", [])
        properties["Targets"] = [one for one in targets if plain(one["Arn"]) in queues]
    return changed


def _finish_buckets(template: Template) -> None:
    """moto's CloudFormation leaves versions and events out; this applies the template's."""
    listed = boto3.client("cloudformation").describe_stack_resources(StackName="deployed")
    names = {
        entry["LogicalResourceId"]: entry["PhysicalResourceId"]
        for entry in listed["StackResources"]
        if "PhysicalResourceId" in entry  # what moto skipped has none
    }
    s3 = boto3.client("s3")
    for logical, resource in template["Resources"].items():
        if resource["Type"] == "AWS::S3::Bucket":
            finish_bucket(s3, names[logical], resource["Properties"])
