"""Answers to cdk-nag: a finding that does not apply is acknowledged where it arises, with a reason.

Synthesis fails on any other finding (`app.py`).
"""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import Construct

from lambdas.shared.errors import ContractError


def acknowledge(scope: Construct, reasons: Mapping[str, str]) -> None:
    """Say why findings on a construct, and on those within it, do not apply.

    Args:
        scope: What was found at fault.
        reasons: By finding, such as `AwsSolutions-SQS3` or `AwsSolutions-IAM5[Resource::*]`.
    """
    Validations.of(scope).acknowledge(
        *(
            Acknowledgment(id=f"{_pack(finding)}::{finding}", reason=reason)
            for finding, reason in reasons.items()
        )
    )


def acknowledge_wildcards(policy: Construct, reasons: Mapping[str, str]) -> None:
    """Say why a policy's resources hold a wildcard.

    Args:
        policy: With statements on these resources.
        reasons: By resource, as the statements have it.
    """
    stack = Stack.of(policy)
    acknowledge(
        policy,
        {
            f"AwsSolutions-IAM5[Resource::{_as_found(stack.resolve(resource))}]": reason
            for resource, reason in reasons.items()
        },
    )


def _as_found(resource: Any) -> str:
    """How cdk-nag writes a resource: `<Bucket.Arn>/images/*` for a bucket of the template."""
    match resource:
        case str():
            return resource
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(_as_found, parts))
    raise ContractError(f"cannot tell how cdk-nag writes {resource}; extend infra/acknowledge.py")


def _pack(finding: str) -> str:
    """The rule pack, which cdk-nag wants before the finding: HIPAA.Security of HIPAA.Security-X."""
    return finding.partition("-")[0]
