"""The customer key: every image, result, message, log line and alarm is encrypted with it.

Its policy names each AWS service that uses it, and from where. The functions have their leave from
their own roles (`permissions.py`), as has everybody else in the account.

Sources: SQS developer guide, "Key management" (EventBridge gives SQS the rule it acts for); SNS
developer guide, "Key management" (alarms).
"""

from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

ACCOUNT_ACTIONS: Final = tuple(
    f"kms:{action}"
    for action in (
        # use
        *("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo"),
        "GenerateDataKeyWithoutPlaintext",
        *("CreateGrant", "ListGrants", "RetireGrant", "RevokeGrant"),
        # administration; without PutKeyPolicy KMS refuses the policy, lest nobody could change it
        *("GetKeyPolicy", "ListKeyPolicies", "PutKeyPolicy", "UpdateKeyDescription"),
        *("CreateAlias", "DeleteAlias", "UpdateAlias"),
        *("DisableKey", "EnableKey", "CancelKeyDeletion", "ScheduleKeyDeletion"),
        *("DisableKeyRotation", "EnableKeyRotation", "GetKeyRotationStatus"),
        *("ListKeyRotations", "RotateKeyOnDemand"),
        *("ListResourceTags", "TagResource", "UntagResource"),
    )
)
"""What IAM policies of the account may allow; CDK's own default would be `kms:*`."""

SERVICE_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey")
"""What sending to an encrypted queue or topic needs."""

LOG_ACTIONS: Final = (
    *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"),
    *("kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"),
)
"""CloudWatch Logs user guide, "Encrypt log data using AWS KMS", without its wildcards."""


class DataKey(Construct):
    """The key and its policy.

    Attributes:
        key: Of everything that the stack stores or sends.
    """

    def __init__(self, scope: Construct, name: str, *, keep_data: bool) -> None:
        super().__init__(scope, name)
        stack = Stack.of(self)
        self.key = kms.Key(
            self,
            "Key",
            description=f"{stack.stack_name}: images, results, messages, logs, alarms",
            alias=f"alias/{stack.stack_name}",
            enable_key_rotation=True,
            policy=iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="AccountThroughIam",
                        principals=[iam.AccountRootPrincipal()],
                        actions=list(ACCOUNT_ACTIONS),
                        resources=["*"],
                    ),
                    _service(stack, "Rules", "events.amazonaws.com", "events", "rule", "/"),
                    _service(stack, "Alarms", "cloudwatch.amazonaws.com", "cloudwatch", "alarm"),
                    _logs(stack),
                ]
            ),
            removal_policy=RemovalPolicy.RETAIN if keep_data else RemovalPolicy.DESTROY,
            pending_window=None if keep_data else Duration.days(7),
        )


def _service(
    stack: Stack, sid: str, principal: str, service: str, resource: str, separator: str = ":"
) -> iam.PolicyStatement:
    """A service may send to our queues and topics, on behalf of this stack's resources alone.

    Their names begin with the stack's, and are not known yet: they need the key first.
    """
    arn = (
        f"arn:{stack.partition}:{service}:{stack.region}:{stack.account}"
        f":{resource}{separator}{stack.stack_name}-*"
    )
    return iam.PolicyStatement(
        sid=sid,
        principals=[iam.ServicePrincipal(principal)],
        actions=list(SERVICE_ACTIONS),
        resources=["*"],
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": arn},
        },
    )


def _logs(stack: Stack) -> iam.PolicyStatement:
    """CloudWatch Logs sends no source account; the encryption context holds the log group's ARN."""
    arn = (
        f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:{stack.stack_name}-*"
    )
    return iam.PolicyStatement(
        sid="LogGroups",
        principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
        actions=list(LOG_ACTIONS),
        resources=["*"],
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arn}},
    )
