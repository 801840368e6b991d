"""What a person must be told: images that were given up, that wait, and functions that fail."""

from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.archive import Archive
from infra.config import Settings
from infra.parts import Parts
from lambdas.shared.flow import Stage

PERIOD: Final = Duration.minutes(5)

THROTTLED_PERIODS: Final = 3
"""Throttling while Lambda scales up passes by itself; a quarter of an hour of it does not."""


class Alarms(Construct):
    """The topic, and an alarm for each thing that can go wrong.

    Attributes:
        topic: Encrypted; subscribe to it what should hear of trouble.
    """

    def __init__(self, scope: Construct, name: str, *, parts: Parts, key: kms.IKey) -> None:
        super().__init__(scope, name)
        self.topic = self._topic(parts.settings, key)
        for stage, queue in parts.queues.items():
            self._dead_letters(stage, queue.dead_letters)
            self._waiting(stage, queue.queue, parts.settings.alarm_age_minutes)
        self._dead_letters("rule", parts.rule.dead_letters)
        self._alarm(
            "rule-lost-events",
            "Uploads could be put neither into the first queue nor into the rule's dead letter "
            "queue; upload them again once the queues' and the key's policies are right",
            _metric("AWS/Events", "InvocationsFailedToBeSentToDlq", RuleName=parts.rule.rule.ref),
        )
        for stage, function in parts.functions.items():
            self._alarm(
                f"{stage}-errors",
                f"The {stage} function crashed, timed out or ran out of memory; see `cxr logs`. "
                "Its messages are tried again",
                function.function.metric_errors(period=PERIOD),
            )
            self._alarm(
                f"{stage}-throttled",
                f"The {stage} function is kept from running: the account's concurrency is used up. "
                "Raise that quota or lower max_concurrency in cdk.json",
                function.function.metric_throttles(period=PERIOD),
                periods=THROTTLED_PERIODS,
            )

        self._archive(parts.archive)
        self._alarm(
            "notice-dead-letters",
            "Results are in their bucket, but the topic could not be told; subscribers have missed "
            "them. See the messages in the notice's dead letter queue",
            _visible(parts.notice.dead_letters),
        )
        self._alarm(
            "lake-errors",
            "The lake's function crashed, timed out or ran out of memory: the lake lacks the last "
            "records. The next night compacts the last days again; `cxr results --to` does it now",
            parts.lake.function.function.metric_errors(period=PERIOD),
        )

    def _archive(self, archive: Archive) -> None:
        machine = {"StateMachineArn": archive.machine.ref}
        self._alarm(
            "archive-failed",
            "An archive job ended as failed: too many of its images failed, or its planner could "
            "not be run. See `cxr archive report`, mend the cause, then `cxr archive resume`",
            _metric("AWS/States", "ExecutionsFailed", **machine),
        )
        for name, what in (("batch", archive.batch), ("planner", archive.planner)):
            self._alarm(
                f"{name}-errors",
                f"The {name} function of an archive job crashed, timed out or ran out of memory. "
                "What it was at is tried again; see its log group",
                what.function.metric_errors(period=PERIOD),
            )
        self._alarm(
            "batch-throttled",
            "Batches of an archive job are kept from running: the account's concurrency is used "
            "up. Raise that quota or lower archive_concurrency in cdk.json",
            archive.batch.function.metric_throttles(period=PERIOD),
            periods=THROTTLED_PERIODS,
        )

    def _topic(self, settings: Settings, key: kms.IKey) -> sns.Topic:
        """CloudWatch alone may publish, for this stack's alarms."""
        stack = Stack.of(self)
        topic = sns.Topic(
            self, "Topic", display_name=stack.stack_name, master_key=key, enforce_ssl=True
        )
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OwnAlarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{stack.partition}:cloudwatch:{stack.region}:"
                        f"{stack.account}:alarm:{stack.stack_name}-*"
                    },
                },
            )
        )
        if settings.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
        return topic

    def _dead_letters(self, whose: str, queue: sqs.IQueue) -> None:
        self._alarm(
            f"{whose}-dead-letters",
            "Images were given up after several attempts; nothing is lost. See `cxr status` and "
            "`cxr logs`, mend the cause, then `cxr redrive`",
            _visible(queue),
        )

    def _waiting(self, stage: Stage, queue: sqs.IQueue, minutes: int) -> None:
        self._alarm(
            f"{stage}-waiting",
            f"An image has waited for {stage} for {minutes} minutes: many came at once, or the "
            "function fails or is throttled",
            queue.metric_approximate_age_of_oldest_message(
                period=PERIOD, statistic=cloudwatch.Stats.MAXIMUM
            ),
            threshold=minutes * 60,
        )

    def _alarm(
        self,
        name: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float = 1,
        periods: int = 1,
    ) -> None:
        """From the threshold upwards, in each of the periods; no data is no trouble."""
        cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in name.split("-")),
            alarm_name=f"{Stack.of(self).stack_name}-{name}",
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=(cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD),
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        ).add_alarm_action(actions.SnsAction(self.topic))


def _visible(queue: sqs.IQueue) -> cloudwatch.Metric:
    return queue.metric_approximate_number_of_messages_visible(
        period=Duration.minutes(1), statistic=cloudwatch.Stats.MAXIMUM
    )


def _metric(namespace: str, name: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        period=PERIOD,
        statistic=cloudwatch.Stats.SUM,
    )
