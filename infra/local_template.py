"""What the embedded cloud consists of, as a CloudFormation template built from `infra.pipeline`.

The same buckets, rule, queues and log groups as the stack has, under names that a person can type;
without what nobody checks on one machine: keys, policies, roles, alarms. tests/infra hold the two
together.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.bulk import MAP_CONCURRENCY, bulk_output_names
from infra.pipeline import (
    DEAD_LETTER_RETENTION_DAYS,
    INTAKE_PREFIX,
    QUEUE_RETENTION_DAYS,
    STAGES,
    StageSpec,
    first_stage,
    output_names,
    upload_pattern,
)
from lambdas.shared.errors import ContractError
from lambdas.shared.events import EVENT_DETAIL_TYPE, EVENT_SOURCE
from lambdas.shared.metric_names import NAMESPACE

STACK_NAME: Final = "cxr-batch-local"
INTAKE_BUCKET: Final = "cxr-intake"
RESULTS_BUCKET: Final = "cxr-results"
EVENT_BUS: Final = "default"
METRICS_NAMESPACE: Final = f"{NAMESPACE}/local"
PROCESSED_QUEUE: Final = f"{STACK_NAME}-processed"
"""Gets the events that images are done: how any other program would learn of it."""

NO_STATE_MACHINE: Final = "none"
"""Archive jobs are run by the command that starts them (`infra.local_archive`)."""

BULK_FUNCTIONS: Final = ("batch", "planner")
"""Of archive jobs (`infra.bulk`)."""

_DAY_S: Final = 24 * 60 * 60


def function_name(of: str) -> str:
    """Of a stage's function, or one of `BULK_FUNCTIONS`."""
    return f"{STACK_NAME}-{of}"


def log_group_name(of: str) -> str:
    """Of the same function."""
    return f"/aws/lambda/{function_name(of)}"


def local_template(*, model_set: str, visibility_seconds: int | None = None) -> dict[str, Any]:
    """The template.

    Args:
        model_set: Of the bundles that the functions run.
        visibility_seconds: Of all queues; None for each stage's own.

    Raises:
        ContractError: Its outputs are not those that others rely on.
    """
    resources = {
        "Intake": _bucket(
            INTAKE_BUCKET,
            NotificationConfiguration={
                "EventBridgeConfiguration": {"EventBridgeEnabled": True},
            },
        ),
        "Results": _bucket(RESULTS_BUCKET),
        "UploadRuleDeadLetterQueue": _queue("uploads-dead-letters", DEAD_LETTER_RETENTION_DAYS),
        "UploadRule": _rule(
            upload_pattern(INTAKE_BUCKET),
            target=f"{first_stage().name.capitalize()}Queue",
            dead_letters="UploadRuleDeadLetterQueue",
        ),
        "ProcessedQueue": _queue("processed", QUEUE_RETENTION_DAYS),
        "ProcessedRule": _rule(
            {"source": [EVENT_SOURCE], "detail-type": [EVENT_DETAIL_TYPE]}, target="ProcessedQueue"
        ),
        "AlarmTopic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": STACK_NAME}},
    }
    outputs: dict[str, Any] = {
        "IntakeBucket": INTAKE_BUCKET,
        "IntakePrefix": INTAKE_PREFIX,
        "ResultsBucket": RESULTS_BUCKET,
        "EventBus": EVENT_BUS,
        "UploadRule": {"Ref": "UploadRule"},
        "UploadRuleDeadLetterQueue": {"Ref": "UploadRuleDeadLetterQueue"},
        "AlarmTopic": {"Ref": "AlarmTopic"},
        "ModelSet": model_set,
        "MetricsNamespace": METRICS_NAMESPACE,
    }
    outputs |= {
        "ArchiveStateMachine": NO_STATE_MACHINE,
        "ArchiveArchitecture": "x86_64",
        "ArchiveConcurrency": str(MAP_CONCURRENCY),
    }
    for bulk in BULK_FUNCTIONS:
        name = bulk.capitalize()
        resources[f"{name}LogGroup"] = _log_group(bulk)
        outputs |= {
            f"{name}Function": function_name(bulk),
            f"{name}LogGroup": {"Ref": f"{name}LogGroup"},
        }
    for stage in STAGES:
        name = stage.name.capitalize()
        resources |= _stage_resources(stage, visibility_seconds)
        outputs |= {
            f"{name}Queue": {"Ref": f"{name}Queue"},
            f"{name}DeadLetterQueue": {"Ref": f"{name}DeadLetterQueue"},
            f"{name}Function": function_name(stage.name),
            f"{name}LogGroup": {"Ref": f"{name}LogGroup"},
        }
    if differing := set(outputs) ^ {*output_names(), *bulk_output_names()}:
        raise ContractError(
            "infra/local_template.py differs from pipeline.output_names and bulk_output_names in "
            + ", ".join(sorted(differing))
        )
    return {
        "Resources": resources,
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


def create_stack(client: Callable[[str], Any], template: Mapping[str, Any]) -> dict[str, str]:
    """Create all that a template says; the stack's outputs.

    Args:
        client: Makes a client of the embedded cloud, by the name of a service.
        template: Of `local_template`.
    """
    cloudformation, s3 = client("cloudformation"), client("s3")
    cloudformation.create_stack(StackName=STACK_NAME, TemplateBody=json.dumps(template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::S3::Bucket":
            finish_bucket(s3, resource["Properties"]["BucketName"], resource["Properties"])
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    return {entry["OutputKey"]: entry["OutputValue"] for entry in stack["Outputs"]}


def finish_bucket(s3: Any, name: str, properties: Mapping[str, Any]) -> None:
    """Do what moto's CloudFormation leaves out of a bucket: versions, and events to EventBridge.

    Args:
        s3: Client of S3.
        name: Of the bucket.
        properties: Of the bucket, in a template.
    """
    if "VersioningConfiguration" in properties:
        s3.put_bucket_versioning(
            Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"]
        )
    events = properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration", {})
    if events.get("EventBridgeEnabled"):
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )


def _stage_resources(stage: StageSpec, visibility_seconds: int | None) -> dict[str, Any]:
    name = stage.name.capitalize()
    return {
        f"{name}DeadLetterQueue": _queue(f"{stage.name}-dead-letters", DEAD_LETTER_RETENTION_DAYS),
        f"{name}Queue": _queue(
            stage.name,
            QUEUE_RETENTION_DAYS,
            VisibilityTimeout=visibility_seconds or stage.visibility_seconds,
            RedrivePolicy={
                "deadLetterTargetArn": _arn(f"{name}DeadLetterQueue"),
                "maxReceiveCount": stage.max_receives,
            },
        ),
        f"{name}LogGroup": _log_group(stage.name),
    }


def _log_group(function: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": log_group_name(function)},
    }


def _bucket(name: str, **properties: Any) -> dict[str, Any]:
    versions = {"BucketName": name, "VersioningConfiguration": {"Status": "Enabled"}}
    return {"Type": "AWS::S3::Bucket", "Properties": versions | properties}


def _queue(name: str, retention_days: int, **properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "QueueName": f"{STACK_NAME}-{name}",
            "MessageRetentionPeriod": retention_days * _DAY_S,
            **properties,
        },
    }


def _rule(
    pattern: dict[str, Any], *, target: str, dead_letters: str | None = None
) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": "Queue", "Arn": _arn(target)}
    if dead_letters:
        entry["DeadLetterConfig"] = {"Arn": _arn(dead_letters)}
    properties = {"EventPattern": pattern, "State": "ENABLED", "Targets": [entry]}
    return {"Type": "AWS::Events::Rule", "Properties": properties}


def _arn(resource: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [resource, "Arn"]}
