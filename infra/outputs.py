"""What the stack tells those who work with it: the names that the `cxr` command looks up."""

from typing import Final

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from infra.alarms import Alarms
from infra.bulk import bulk_output_names
from infra.parts import Parts
from infra.pipeline import INTAKE_PREFIX, Resources, output_names
from lambdas.shared.errors import ContractError

SWITCH_ON_EVENTS: Final = "SwitchOnEvents"
"""One output more where the intake bucket was there before: the command that it still needs."""


def add_outputs(
    stack: Stack,
    *,
    parts: Parts,
    alarms: Alarms,
    resources: Resources,
    model_set: str,
) -> None:
    """Write `pipeline.output_names` and `bulk.bulk_output_names`, none as a cross-stack export.

    Raises:
        ContractError: What is written is not what others rely on.
    """
    values = {
        "IntakeBucket": resources.intake_bucket,
        "IntakePrefix": INTAKE_PREFIX,
        "ResultsBucket": resources.results_bucket,
        "EventBus": resources.event_bus,
        "UploadRule": parts.rule.rule.ref,
        "UploadRuleDeadLetterQueue": parts.rule.dead_letters.queue_url,
        "AlarmTopic": alarms.topic.topic_arn,
        "ModelSet": model_set,
        "MetricsNamespace": resources.metrics_namespace,
    }
    for stage, queue in parts.queues.items():
        values |= {
            f"{stage.capitalize()}Queue": queue.queue.queue_url,
            f"{stage.capitalize()}DeadLetterQueue": queue.dead_letters.queue_url,
            f"{stage.capitalize()}Function": parts.functions[stage].function.function_name,
            f"{stage.capitalize()}LogGroup": parts.functions[stage].log_group.log_group_name,
        }
    values |= parts.archive.outputs()
    expected = {*output_names(), *bulk_output_names()}
    if set(values) != expected:
        raise ContractError(
            "infra/outputs.py differs from pipeline.output_names and bulk.bulk_output_names in "
            + ", ".join(sorted(set(values) ^ expected))
        )
    if parts.storage.switch_on_command:
        values[SWITCH_ON_EVENTS] = parts.storage.switch_on_command
    group = Construct(stack, "Outputs")
    for name, value in values.items():
        CfnOutput(group, name, value=value).override_logical_id(name)
