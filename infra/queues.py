"""A queue with its dead letter queue, and the dead letter queue of the rule."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.pipeline import DEAD_LETTER_RETENTION_DAYS, QUEUE_RETENTION_DAYS, StageSpec

KEY_REUSE_MINUTES: Final = 5
"""How long SQS uses one data key before it asks KMS for another: its own default."""


class StageQueue(Construct):
    """Where a stage's messages wait, and where those go that never succeed.

    Attributes:
        queue: Read by the stage's function.
        dead_letters: Read by people (`cxr status`, `cxr redrive`).
    """

    def __init__(self, scope: Construct, name: str, *, stage: StageSpec, key: kms.IKey) -> None:
        super().__init__(scope, name)
        self.dead_letters = encrypted_queue(self, "DeadLetters", key, DEAD_LETTER_RETENTION_DAYS)
        self.queue = encrypted_queue(
            self,
            "Queue",
            key,
            QUEUE_RETENTION_DAYS,
            visibility_timeout=Duration.seconds(stage.visibility_seconds),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letters, max_receive_count=stage.max_receives
            ),
        )


def encrypted_queue(
    scope: Construct,
    name: str,
    key: kms.IKey,
    retention_days: int,
    *,
    visibility_timeout: Duration | None = None,
    dead_letter_queue: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    """A queue that only TLS reaches, encrypted with our key: messages hold keys of objects."""
    return sqs.Queue(
        scope,
        name,
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        data_key_reuse=Duration.minutes(KEY_REUSE_MINUTES),
        enforce_ssl=True,
        retention_period=Duration.days(retention_days),
        visibility_timeout=visibility_timeout,
        dead_letter_queue=dead_letter_queue,
    )


def rule_dead_letters(scope: Construct, name: str, key: kms.IKey) -> sqs.Queue:
    """Where EventBridge puts events that it cannot deliver; no queue's dead letter queue itself."""
    queue = encrypted_queue(scope, name, key, DEAD_LETTER_RETENTION_DAYS)
    acknowledge(
        queue,
        {
            "AwsSolutions-SQS3": (
                "This is the dead letter queue of an EventBridge target, which the rule cannot see"
            )
        },
    )
    return queue
