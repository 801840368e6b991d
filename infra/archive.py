"""Archive jobs in the stack: two functions of one image, and the state machine that calls them.

The streaming queues have no part in it. Inputs of children hold keys of images, so the state
machine's data is encrypted with the customer key, and its logs leave data out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.acknowledge import acknowledge, acknowledge_wildcards
from infra.archive_definition import definition
from infra.archive_permissions import (
    batch_statements,
    deliver_logs_statement,
    function_wildcards,
    machine_statements,
    machine_wildcards,
    planner_statements,
)
from infra.bulk import (
    BATCH_HANDLER,
    BATCH_SIZE,
    PLAN_HANDLER,
    PLANNER_SIZE,
    bulk_environment,
    bulk_output_names,
)
from infra.config import Settings
from infra.functions import ImageFunction
from infra.log_groups import encrypted_log_group
from infra.network import Network
from infra.permissions import Reach
from infra.pipeline import Resources
from lambdas.batch.job import FunctionSize
from lambdas.shared.errors import ContractError

DATA_KEY_SECONDS = 900
"""How long Step Functions uses one data key: the most it takes, for the fewest calls to KMS."""


@dataclass(frozen=True, slots=True)
class ArchiveGiven:
    """What both functions are made with.

    Attributes:
        settings: Of the environment.
        context: Build context of the image (`infra.images`, function `batch`).
        resources: Names of buckets and bus.
        reach: The same, to give leave on.
        key: Of logs and of the state machine's data; its policy is added to.
        network: To place the functions in; None for none.
    """

    settings: Settings
    context: Path
    resources: Resources
    reach: Reach
    key: kms.Key
    network: Network | None
    lake_arn: str


class Archive(Construct):
    """Functions and state machine.

    Attributes:
        batch: Analyses a batch.
        planner: Counts a wave and plans the next.
        machine: Its input is `{"job": NAME, "wave": N}` (`infra.archive_definition`).

    Args:
        scope: Parent.
        name: Of the construct.
        given: What it is made with.
    """

    def __init__(self, scope: Construct, name: str, *, given: ArchiveGiven) -> None:
        super().__init__(scope, name)
        self._given = given
        self.batch = self._function(
            "Batch",
            what="analyse batches of an archive",
            handler=BATCH_HANDLER,
            size=BATCH_SIZE,
            statements=batch_statements(given.reach),
        )
        self.planner = self._function(
            "Planner",
            what="plan waves of an archive job",
            handler=PLAN_HANDLER,
            size=PLANNER_SIZE,
            statements=planner_statements(given.reach),
        )
        self.machine = self._machine()

    def outputs(self) -> dict[str, str]:
        """What `cxr archive` reads, by the output's name.

        Raises:
            ContractError: It is not what `bulk_output_names` says.
        """
        settings = self._given.settings
        values = {
            "ArchiveStateMachine": self.machine.ref,
            "ArchiveArchitecture": settings.architecture,
            "ArchiveConcurrency": str(settings.archive_concurrency),
            "BatchFunction": self.batch.function.function_name,
            "BatchLogGroup": self.batch.log_group.log_group_name,
            "PlannerFunction": self.planner.function.function_name,
            "PlannerLogGroup": self.planner.log_group.log_group_name,
        }
        if differing := set(values) ^ set(bulk_output_names()):
            raise ContractError(
                "infra/archive.py and bulk.bulk_output_names differ in "
                + ", ".join(sorted(differing))
            )
        return values

    def _function(
        self,
        name: str,
        *,
        what: str,
        handler: str,
        size: FunctionSize,
        statements: list[iam.PolicyStatement],
    ) -> ImageFunction:
        given = self._given
        made = ImageFunction(
            self,
            name,
            what=what,
            context=given.context,
            handler=handler,
            memory_mb=size.memory_mb,
            timeout_seconds=size.timeout_seconds,
            environment=bulk_environment(given.resources, passthrough=given.settings.passthrough),
            statements=statements,
            wildcards=_only_on(statements, function_wildcards(given.reach)),
            settings=given.settings,
            key=given.key,
            network=given.network,
        )
        acknowledge(
            made.function,
            {
                "HIPAA.Security-LambdaConcurrency": (
                    "The map run's concurrency is the cap (archive_concurrency in cdk.json); what "
                    "reserved concurrency throttles would use up a batch's retries"
                ),
                "HIPAA.Security-LambdaDLQ": (
                    "Called by the state machine, which waits for the answer; what died is "
                    "counted by the planner and comes back in smaller batches"
                ),
            },
        )
        return made

    def _machine(self) -> sfn.CfnStateMachine:
        given, stack = self._given, Stack.of(self)
        name = f"{stack.stack_name}-archive"
        functions = [made.function.function_arn for made in (self.batch, self.planner)]
        functions.append(given.lake_arn)
        logs = encrypted_log_group(self, "Logs", settings=given.settings, key=given.key)
        policy = iam.ManagedPolicy(
            self,
            "MachinePolicy",
            description="What the state machine of archive jobs may do",
            statements=machine_statements(
                given.reach, name=name, function_arns=functions, key_arn=given.key.key_arn
            ),
        )
        acknowledge_wildcards(policy, machine_wildcards(given.reach, name))
        role = iam.Role(
            self,
            "MachineRole",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            ),
            managed_policies=[policy],
        )
        given.key.add_to_resource_policy(deliver_logs_statement())
        machine = sfn.CfnStateMachine(
            self,
            "Machine",
            state_machine_name=name,
            state_machine_type="STANDARD",
            role_arn=role.role_arn,
            definition_string=json.dumps(  # CDK's own would drop each null
                definition(
                    batch_arn=self.batch.function.function_arn,
                    planner_arn=self.planner.function.function_arn,
                    lake_arn=given.lake_arn,
                    concurrency=given.settings.archive_concurrency,
                    partition=stack.partition,
                )
            ),
            encryption_configuration=sfn.CfnStateMachine.EncryptionConfigurationProperty(
                type="CUSTOMER_MANAGED_KMS_KEY",
                kms_key_id=given.key.key_arn,
                kms_data_key_reuse_period_seconds=DATA_KEY_SECONDS,
            ),
            logging_configuration=sfn.CfnStateMachine.LoggingConfigurationProperty(
                level="ALL",
                include_execution_data=False,
                destinations=[
                    sfn.CfnStateMachine.LogDestinationProperty(
                        cloud_watch_logs_log_group=sfn.CfnStateMachine.CloudWatchLogsLogGroupProperty(
                            log_group_arn=logs.log_group_arn
                        )
                    )
                ],
            ),
            tracing_configuration=sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True),
        )
        machine.apply_removal_policy(RemovalPolicy.DESTROY)
        return machine


def _only_on(statements: list[iam.PolicyStatement], reasons: Mapping[str, str]) -> dict[str, str]:
    """Reasons for the resources that these statements have; one for another would be idle."""
    resources = {resource for statement in statements for resource in statement.resources}
    return {resource: reason for resource, reason in reasons.items() if resource in resources}
