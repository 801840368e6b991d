"""A rule that loses nothing: what its target does not take goes to a dead letter queue.

Written as a plain CloudFormation rule: CDK's own targets would widen the key's policy to every rule
of every account.
"""

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

DELIVERY_HOURS: Final = 24
DELIVERY_ATTEMPTS: Final = 185
"""EventBridge's own limits; after either the event goes to the dead letter queue."""


def rule_to(
    scope: Construct,
    name: str,
    *,
    description: str,
    pattern: Mapping[str, Any],
    target: str,
    target_arn: str,
    dead_letters: sqs.IQueue,
    event_bus: str | None = None,
) -> events.CfnRule:
    """A rule with one target; the dead letter queue lets it send.

    Args:
        scope: Parent.
        name: Of the construct.
        description: As the console shows it.
        pattern: Of the events.
        target: What to call the target.
        target_arn: Where the events go; its own policy must let the rule send.
        dead_letters: Where they go otherwise.
        event_bus: Name; None for the default bus.
    """
    rule = events.CfnRule(
        scope,
        name,
        description=description,
        event_bus_name=event_bus,
        event_pattern=dict(pattern),
        state="ENABLED",
        targets=[
            events.CfnRule.TargetProperty(
                id=target,
                arn=target_arn,
                dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                    arn=dead_letters.queue_arn
                ),
                retry_policy=events.CfnRule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=DELIVERY_HOURS * 3600,
                    maximum_retry_attempts=DELIVERY_ATTEMPTS,
                ),
            )
        ],
    )
    allow_rule(dead_letters, rule)
    return rule


def allow_rule(queue: sqs.IQueue, rule: events.CfnRule) -> None:
    """Let this rule, and no other, send to a queue."""
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="ThisRule",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={
                "ArnEquals": {"aws:SourceArn": rule.attr_arn},
                "StringEquals": {"aws:SourceAccount": Stack.of(rule).account},
            },
        )
    )
