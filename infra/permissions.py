"""What each stage's function may do: every action by name, on what it needs and nothing else.

Sources: Lambda developer guide, "Lambda execution role", "Using Lambda with Amazon SQS"; SQS
developer guide, "Key management".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs

from infra.pipeline import INTAKE_PREFIX
from infra.storage import DataBucket
from lambdas.shared.flow import Stage
from lambdas.shared.records import RESULTS_PREFIX

SENDS_TO: Final[Mapping[Stage, tuple[Stage, ...]]] = {
    "classify": ("classify", "detect", "report"),
    "detect": ("classify", "report"),
    "report": ("classify",),
}
"""The stages after, and the first, where an image starts again once the models have changed."""

XRAY_ACTIONS: Final = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")

NETWORK_ACTIONS: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda needs to place a function in a VPC."""

TRACES_ANYWHERE: Final = "Traces have no resource that a policy could name"

INTERFACES_ANYWHERE: Final = (
    "Lambda asks for these before the function's network interfaces exist; AWS's own "
    "AWSLambdaVPCAccessExecutionRole names no resource either"
)


@dataclass(frozen=True, slots=True)
class Reach:
    """What the stages work on.

    Attributes:
        intake: Bucket of the images.
        results: Bucket of records and reports.
        queues: By stage.
        queue_key_arn: Of the key of all queues.
        event_bus_arn: Where the report stage tells that an image is done.
        archives: Buckets that archive jobs may read as well.
    """

    intake: DataBucket
    results: DataBucket
    queues: Mapping[Stage, sqs.IQueue]
    queue_key_arn: str
    event_bus_arn: str
    archives: tuple[DataBucket, ...] = ()

    @property
    def images_arn(self) -> str:
        """All that is dropped where images are dropped."""
        return f"{self.intake.bucket.bucket_arn}/{INTAKE_PREFIX}*"

    @property
    def records_arn(self) -> str:
        """All results."""
        return f"{self.results.bucket.bucket_arn}/{RESULTS_PREFIX}*"


def running_statements(log_group_arn: str, *, in_vpc: bool) -> list[iam.PolicyStatement]:
    """What every function needs to run at all: to log, to trace, to be placed in a VPC."""
    statements = [
        allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [log_group_arn]),
        allow("Traces", list(XRAY_ACTIONS), ["*"]),
    ]
    if in_vpc:
        statements.append(allow("NetworkInterfaces", list(NETWORK_ACTIONS), ["*"]))
    return statements


def anywhere_reason(*, in_vpc: bool) -> str:
    """Why `running_statements` allow something on `*`; nothing else does."""
    return f"{TRACES_ANYWHERE}. {INTERFACES_ANYWHERE}" if in_vpc else TRACES_ANYWHERE


def stage_statements(stage: Stage, reach: Reach) -> list[iam.PolicyStatement]:
    """What a stage's function may do besides running."""
    statements = [
        allow(
            "OwnQueue",
            ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
            [reach.queues[stage].queue_arn],
        ),
        allow(
            "NextQueues",
            ["sqs:SendMessage"],
            [reach.queues[receiver].queue_arn for receiver in SENDS_TO[stage]],
        ),
        use_key("QueueKey", "sqs", ["kms:Decrypt", "kms:GenerateDataKey"], [reach.queue_key_arn]),
        allow("Images", ["s3:GetObject", "s3:GetObjectVersion"], [reach.images_arn]),
        allow("Records", ["s3:GetObject"], [reach.records_arn]),
        tell_missing("MissingImages", reach.intake, INTAKE_PREFIX),
        tell_missing("MissingRecords", reach.results, RESULTS_PREFIX),
    ]
    if readable := keys_of(reach.intake, reach.results):
        statements.append(use_key("ReadKeys", "s3", ["kms:Decrypt"], readable))
    if stage == "report":
        statements += _report_statements(reach)
    return statements


def stage_wildcards(reach: Reach) -> dict[str, str]:
    """Why resources of `stage_statements` hold a wildcard, by resource."""
    return {
        reach.images_arn: f"Images have any name below {INTAKE_PREFIX}",
        reach.records_arn: f"Every image has a folder of its own below {RESULTS_PREFIX}",
    }


def _report_statements(reach: Reach) -> list[iam.PolicyStatement]:
    statements = [
        allow("Results", ["s3:PutObject"], [reach.records_arn]),
        allow("Event", ["events:PutEvents"], [reach.event_bus_arn]),
    ]
    if written := keys_of(reach.results):
        statements.append(use_key("WriteKey", "s3", ["kms:GenerateDataKey"], written))
    return statements


def tell_missing(sid: str, bucket: DataBucket, prefix: str) -> iam.PolicyStatement:
    """Without leave to list, S3 answers 403 for a missing object, where the functions wait for 404.

    IfExists: a request for one object names no prefix to list.
    """
    statement = allow(sid, ["s3:ListBucket"], [bucket.bucket.bucket_arn])
    statement.add_condition("StringLikeIfExists", {"s3:prefix": f"{prefix}*"})
    return statement


def use_key(sid: str, service: str, actions: list[str], key_arns: list[str]) -> iam.PolicyStatement:
    """A key may be used through one service alone, never by the function itself."""
    statement = allow(sid, actions, key_arns)
    statement.add_condition(
        "StringEquals", {"kms:ViaService": f"{service}.{Aws.REGION}.amazonaws.com"}
    )
    return statement


def keys_of(*buckets: DataBucket) -> list[str]:
    """ARNs of the keys that these buckets encrypt with; none for S3's own."""
    return list(dict.fromkeys(bucket.key_arn for bucket in buckets if bucket.key_arn is not None))


def allow(sid: str, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    """One thing that is allowed, with a name."""
    return iam.PolicyStatement(sid=sid, actions=actions, resources=resources)
