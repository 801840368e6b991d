"""What the functions may do, in full: a permission more is as much a fault as one too few."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.permissions import SENDS_TO
from infra.pipeline import STAGES
from lambdas.shared.flow import FIRST_STAGE, Stage, next_stage
from tests.infra.synthesis import Template, listed, of_type, plain, statements

S3 = {"StringEquals": {"kms:ViaService": "s3.<AWS::Region>.amazonaws.com"}}
SQS = {"StringEquals": {"kms:ViaService": "sqs.<AWS::Region>.amazonaws.com"}}
BUS = "arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:event-bus/default"

EVERY_STAGE: dict[str, tuple[set[str], set[str], Any]] = {
    "Traces": ({"xray:PutTelemetryRecords", "xray:PutTraceSegments"}, {"*"}, None),
    "QueueKey": ({"kms:Decrypt", "kms:GenerateDataKey"}, {"<DataKey.Arn>"}, SQS),
    "Images": ({"s3:GetObject", "s3:GetObjectVersion"}, {"<StorageIntake.Arn>/images/*"}, None),
    "Records": ({"s3:GetObject"}, {"<StorageResults.Arn>/results/*"}, None),
    "ReadKeys": ({"kms:Decrypt"}, {"<DataKey.Arn>"}, S3),
    "MissingImages": (
        {"s3:ListBucket"},
        {"<StorageIntake.Arn>"},
        {"StringLikeIfExists": {"s3:prefix": "images/*"}},
    ),
    "MissingRecords": (
        {"s3:ListBucket"},
        {"<StorageResults.Arn>"},
        {"StringLikeIfExists": {"s3:prefix": "results/*"}},
    ),
}

REPORT_ONLY: dict[str, tuple[set[str], set[str], Any]] = {
    "Results": ({"s3:PutObject"}, {"<StorageResults.Arn>/results/*"}, None),
    "Event": ({"events:PutEvents"}, {BUS}, None),
    "WriteKey": ({"kms:GenerateDataKey"}, {"<DataKey.Arn>"}, S3),
}

stages = pytest.mark.parametrize("stage", [stage.name for stage in STAGES])


def role_statements(template: Template, stage: Stage) -> dict[str, tuple[set[str], set[str], Any]]:
    """Actions, resources and condition of what a stage's role allows, by sid."""
    role = plain(of_type(template, "AWS::IAM::Role")[f"{stage.capitalize()}FunctionRole"])
    assert "Policies" not in role
    (policy,) = role["ManagedPolicyArns"]
    return {
        statement["Sid"]: (
            set(listed(statement["Action"])),
            set(listed(statement["Resource"])),
            statement.get("Condition"),
        )
        for name, statement in statements(template)
        if f"<{name}>" == policy
    }


def allowing(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, statement in statements(template):
        if statement["Effect"] == "Allow":
            yield name, statement


@stages
def test_stage_may_do_this_and_nothing_else(template: Template, stage: Stage) -> None:
    title = stage.capitalize()
    own = {
        "Logs": (
            {"logs:CreateLogStream", "logs:PutLogEvents"},
            {f"<{title}FunctionLogs.Arn>"},
            None,
        ),
        "OwnQueue": (
            {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"},
            {f"<{title}Queue.Arn>"},
            None,
        ),
        "NextQueues": (
            {"sqs:SendMessage"},
            {f"<{receiver.capitalize()}Queue.Arn>" for receiver in SENDS_TO[stage]},
            None,
        ),
    }
    more = REPORT_ONLY if stage == "report" else {}
    assert role_statements(template, stage) == EVERY_STAGE | own | more


@stages
def test_stage_may_send_wherever_an_image_can_go_next(stage: Stage) -> None:
    outcomes = ({}, {"rejected": True}, {"positive": True}, {"detect_all": True})
    following = {next_stage(stage, **outcome) for outcome in outcomes} - {None}
    assert set(SENDS_TO[stage]) == following | {FIRST_STAGE}


@stages
def test_role_is_the_functions_own(template: Template, stage: Stage) -> None:
    title = stage.capitalize()
    functions = plain(of_type(template, "AWS::Lambda::Function"))
    assert functions[f"{title}Function"]["Role"] == f"<{title}FunctionRole.Arn>"
    role = plain(of_type(template, "AWS::IAM::Role")[f"{title}FunctionRole"])
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]


def test_nothing_widens_a_role_behind_our_back(template: Template) -> None:
    """CDK writes what it grants by itself into AWS::IAM::Policy."""
    assert of_type(template, "AWS::IAM::Policy") == {}


def test_no_action_holds_a_wildcard(template: Template) -> None:
    """Denials may: they are the wider the better."""
    found = [
        (name, action)
        for name, statement in allowing(template)
        for action in listed(statement["Action"])
        if "*" in action
    ]
    assert found == []


def test_nothing_allows_everything_but(template: Template) -> None:
    for _, statement in allowing(template):
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)


MACHINE_ON_ANYTHING = {
    ("ArchiveMachinePolicy", action)
    for action in (
        # neither deliveries of logs nor traces have a resource that a policy could name
        *("logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:GetLogDelivery"),
        *("logs:ListLogDeliveries", "logs:UpdateLogDelivery"),
        *("logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:PutResourcePolicy"),
        *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
        *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
    )
}

ANY_RESOURCE = (
    {
        (f"{stage.name.capitalize()}FunctionPolicy", action)
        for stage in STAGES
        # X-Ray has no resource for traces that a policy could name
        for action in ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
    }
    | {
        (policy, action)
        for policy in ("ArchiveBatchPolicy", "ArchivePlannerPolicy", "LakeFunctionPolicy")
        for action in ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
    }
    | MACHINE_ON_ANYTHING
)
"""Every action on `*`, with the reason."""


def test_every_resource_that_is_anything_is_known(template: Template) -> None:
    """In a key's own policy `*` means that key."""
    found = {
        (name, action)
        for name, statement in allowing(template)
        if "*" in listed(statement.get("Resource", []))
        for action in listed(statement["Action"])
        if name != "DataKey"
    }
    assert found == ANY_RESOURCE
