"""The rule that puts each uploaded image into the first queue.

Written as a plain CloudFormation rule: CDK's own target would widen the key's policy to every rule
of every account.
"""

from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.pipeline import upload_pattern
from infra.queues import rule_dead_letters

DELIVERY_HOURS: Final = 24
DELIVERY_ATTEMPTS: Final = 185
"""EventBridge's own limits; after either the event goes to the dead letter queue."""


class IntakeRule(Construct):
    """S3's "Object Created" events of the intake bucket, sent to a queue.

    Attributes:
        rule: On the default bus, the only one that S3 sends to.
        dead_letters: Events that could not be delivered.
    """

    def __init__(
        self, scope: Construct, name: str, *, bucket_name: str, queue: sqs.IQueue, key: kms.IKey
    ) -> None:
        super().__init__(scope, name)
        self.dead_letters = rule_dead_letters(self, "DeadLetters", key)
        self.rule = events.CfnRule(
            self,
            "Uploads",
            description="Images created in the intake bucket go to the first stage's queue",
            event_pattern=upload_pattern(bucket_name),
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id="FirstStage",
                    arn=queue.queue_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=self.dead_letters.queue_arn
                    ),
                    retry_policy=events.CfnRule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=DELIVERY_HOURS * 3600,
                        maximum_retry_attempts=DELIVERY_ATTEMPTS,
                    ),
                )
            ],
        )
        for target in (queue, self.dead_letters):
            target.add_to_resource_policy(self._may_send(target))

    def _may_send(self, queue: sqs.IQueue) -> iam.PolicyStatement:
        return iam.PolicyStatement(
            sid="ThisRule",
            principals=[iam.ServicePrincipal("events.amazonaws.com")],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={
                "ArnEquals": {"aws:SourceArn": self.rule.attr_arn},
                "StringEquals": {"aws:SourceAccount": Stack.of(self).account},
            },
        )
