"""What the functions and the state machine of archive jobs may do, and nothing else.

Sources: Step Functions developer guide, "IAM policies for using Distributed Map", "Data at rest
encryption", "Logging in CloudWatch Logs".
"""

from collections.abc import Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from infra.archive_definition import MAP_LABEL
from infra.permissions import Reach, allow, keys_of, tell_missing, use_key
from infra.storage import DataBucket
from lambdas.batch.job import JOBS_PREFIX
from lambdas.shared.records import RESULTS_PREFIX

LOG_DELIVERY_ACTIONS = (
    *("logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:GetLogDelivery"),
    *("logs:ListLogDeliveries", "logs:UpdateLogDelivery"),
    *("logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:PutResourcePolicy"),
)
"""How Step Functions is wired to a log group."""

ANYWHERE = (
    "Deliveries of logs have no resource that a policy could name, and neither have traces; the "
    "developer guide's own policies for both name none either"
)


def sources_of(reach: Reach) -> tuple[DataBucket, ...]:
    """Buckets that a job's images may lie in, or the lists of them."""
    return (reach.intake, *reach.archives)


def jobs_arn(reach: Reach) -> str:
    """All files of all jobs."""
    return f"{reach.results.bucket.bucket_arn}/{JOBS_PREFIX}*"


def batch_statements(reach: Reach) -> list[iam.PolicyStatement]:
    """What the function may do that analyses batches."""
    statements = [
        _sources(reach),
        allow("MissingImages", ["s3:ListBucket"], _bucket_arns(sources_of(reach))),
        *_files("Records", reach, reach.records_arn, RESULTS_PREFIX),
        *_files("Jobs", reach, jobs_arn(reach), JOBS_PREFIX),
        allow("Event", ["events:PutEvents"], [reach.event_bus_arn]),
    ]
    return statements + _key_statements(reach)


def planner_statements(reach: Reach) -> list[iam.PolicyStatement]:
    """What the function may do that plans waves; it reads lists of images, but no results."""
    statements = [
        _sources(reach),
        allow(
            "ListImages",
            ["s3:ListBucket", "s3:ListBucketVersions"],
            _bucket_arns(sources_of(reach)),
        ),
        *_files("Jobs", reach, jobs_arn(reach), JOBS_PREFIX),
    ]
    return statements + _key_statements(reach)


def function_wildcards(reach: Reach) -> dict[str, str]:
    """Why resources of the functions' statements hold a wildcard, by resource."""
    archive = "An archive's images lie wherever its owner has put them"
    return {
        **{f"{source.bucket.bucket_arn}/*": archive for source in sources_of(reach)},
        reach.records_arn: f"Every image has a folder of its own below {RESULTS_PREFIX}",
        jobs_arn(reach): f"Every job has a folder of its own below {JOBS_PREFIX}",
    }


def machine_statements(
    reach: Reach, *, name: str, function_arns: Sequence[str], key_arn: str
) -> list[iam.PolicyStatement]:
    """What the state machine may do.

    Args:
        reach: What the functions work on.
        name: Of the state machine, which is not made yet: it needs this first.
        function_arns: Of those that it calls.
        key_arn: That its own data is encrypted with.
    """
    jobs = jobs_arn(reach)
    statements = [
        allow("Functions", ["lambda:InvokeFunction"], list(function_arns)),
        allow("MapRun", ["states:StartExecution"], [machine_arn(name)]),
        allow(
            "Children",
            ["states:DescribeExecution", "states:RedriveExecution", "states:StopExecution"],
            children_arns(name),
        ),
        allow("Wave", ["s3:GetObject"], [jobs]),
        allow(
            "WrittenResults",
            ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"],
            [jobs],
        ),
        allow("Deliveries", list(LOG_DELIVERY_ACTIONS), ["*"]),
        allow(
            "Traces",
            [
                *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
                *("xray:PutTelemetryRecords", "xray:PutTraceSegments"),
            ],
            ["*"],
        ),
        _in_context(
            allow("OwnData", ["kms:Decrypt", "kms:GenerateDataKey"], [key_arn]),
            "aws:states:stateMachineArn",
            machine_arn(name),
        ),
        _in_context(allow("OwnLogs", ["kms:GenerateDataKey"], [key_arn]), "SourceArn", logs_arn()),
    ]
    if keys := keys_of(reach.results):
        statements.append(use_key("BucketKey", "s3", ["kms:Decrypt", "kms:GenerateDataKey"], keys))
    return statements


def machine_wildcards(reach: Reach, name: str) -> dict[str, str]:
    """Why resources of `machine_statements` hold a wildcard, by resource."""
    return {
        "*": ANYWHERE,
        jobs_arn(reach): f"Every job has a folder of its own below {JOBS_PREFIX}",
        **dict.fromkeys(
            children_arns(name), "Every batch is an execution of its own, named when it starts"
        ),
    }


def deliver_logs_statement() -> iam.PolicyStatement:
    """For the key's policy: the log service may read what an encrypted state machine logs."""
    statement = allow("StateMachineLogs", ["kms:Decrypt"], ["*"])
    statement.add_service_principal("delivery.logs.amazonaws.com")
    return _in_context(statement, "SourceArn", logs_arn())


def machine_arn(name: str) -> str:
    """Of a state machine of this stack."""
    return _states("stateMachine", name)


def logs_arn() -> str:
    """Encryption context of logs on their way to CloudWatch; a string, of which `*` is a part."""
    return f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:*"


def children_arns(name: str) -> list[str]:
    """Of executions that a map run begins; in some calls the map's label is part of the name."""
    return [_states("execution", f"{name}:*"), _states("execution", f"{name}/{MAP_LABEL}:*")]


def _states(kind: str, name: str) -> str:
    return f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:{kind}:{name}"


def _sources(reach: Reach) -> iam.PolicyStatement:
    return allow(
        "Images",
        ["s3:GetObject", "s3:GetObjectVersion"],
        [f"{source.bucket.bucket_arn}/*" for source in sources_of(reach)],
    )


def _bucket_arns(buckets: Sequence[DataBucket]) -> list[str]:
    return [bucket.bucket.bucket_arn for bucket in buckets]


def _files(what: str, reach: Reach, arn: str, prefix: str) -> list[iam.PolicyStatement]:
    """Read and write below a prefix of the results bucket."""
    return [
        allow(what, ["s3:GetObject", "s3:PutObject"], [arn]),
        tell_missing(f"Missing{what}", reach.results, prefix),
    ]


def _key_statements(reach: Reach) -> list[iam.PolicyStatement]:
    statements = []
    if readable := keys_of(*sources_of(reach), reach.results):
        statements.append(use_key("ReadKeys", "s3", ["kms:Decrypt"], readable))
    if written := keys_of(reach.results):
        statements.append(use_key("WriteKey", "s3", ["kms:GenerateDataKey"], written))
    return statements


def _in_context(statement: iam.PolicyStatement, name: str, value: str) -> iam.PolicyStatement:
    statement.add_condition("StringEquals", {f"kms:EncryptionContext:{name}": value})
    return statement
