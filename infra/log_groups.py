"""Log groups as this stack has them: encrypted, and kept for as long as cdk.json says."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.config import Settings


def encrypted_log_group(
    scope: Construct, name: str, *, settings: Settings, key: kms.IKey
) -> logs.LogGroup:
    """A log group; CloudFormation names it after the stack, on which the key's policy relies."""
    group = logs.LogGroup(
        scope,
        name,
        encryption_key=key,
        removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
    )
    # CDK has a name for each number of days, and no way from the one to the other
    group.node.default_child.retention_in_days = settings.log_days
    return group
