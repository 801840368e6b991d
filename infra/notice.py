"""The notice: a topic that tells of each image that it has its record, for whoever subscribes.

The event `Radiograph Processed` goes out on the event bus, where a rule of the consumer's own can
take it (lambdas/shared/event.schema.json). This topic is for consumers outside of EventBridge: a
queue, an address of theirs, another account. A message is the event with its envelope.

EventBridge names no rule and no account to SNS and, through it, to KMS: the EventBridge user guide
rules out conditions in a topic's policy. So the topic's policy lets the service publish, and the
key's lets it use the key for this stack's topics, which SNS names in the encryption context
(SNS developer guide, "Key management").
"""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.data_key import SERVICE_ACTIONS
from infra.delivery import rule_to
from infra.queues import rule_dead_letters
from lambdas.shared.events import EVENT_DETAIL_TYPE, EVENT_SOURCE


class Notice(Construct):
    """A topic fed by a rule.

    Attributes:
        topic: To subscribe to; encrypted.
        rule: On the bus that the report stage tells.
        dead_letters: Events that could not be published.

    Args:
        scope: Parent.
        name: Of the construct.
        event_bus: Name of the bus.
        key: Of topic and dead letters; this adds to its policy.
    """

    def __init__(self, scope: Construct, name: str, *, event_bus: str, key: kms.Key) -> None:
        super().__init__(scope, name)
        stack = Stack.of(self)
        self.topic = sns.Topic(
            self,
            "Topic",
            display_name=f"{stack.stack_name} results",
            master_key=key,
            enforce_ssl=True,
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Rules",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
            )
        )
        topics = f"arn:{stack.partition}:sns:{stack.region}:{stack.account}:{stack.stack_name}-*"
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Notices",
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=list(SERVICE_ACTIONS),
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:sns:topicArn": topics}},
            )
        )
        self.dead_letters = rule_dead_letters(self, "DeadLetters", key)
        self.rule = rule_to(
            self,
            "Results",
            description="Tells the topic of each image that it has its record",
            pattern={"source": [EVENT_SOURCE], "detail-type": [EVENT_DETAIL_TYPE]},
            target="Topic",
            target_arn=self.topic.topic_arn,
            dead_letters=self.dead_letters,
            event_bus=event_bus,
        )
