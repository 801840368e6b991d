"""The rule that puts each uploaded image into the first queue."""

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.delivery import allow_rule, rule_to
from infra.pipeline import upload_pattern
from infra.queues import rule_dead_letters


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
        self.rule = rule_to(
            self,
            "Uploads",
            description="Images created in the intake bucket go to the first stage's queue",
            pattern=upload_pattern(bucket_name),
            target="FirstStage",
            target_arn=queue.queue_arn,
            dead_letters=self.dead_letters,
        )
        allow_rule(queue, self.rule)
