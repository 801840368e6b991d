"""Functions from container images: what each of them has, and a stage's with its queue."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.acknowledge import acknowledge, acknowledge_wildcards
from infra.config import Settings
from infra.log_groups import encrypted_log_group
from infra.network import Network
from infra.permissions import (
    Reach,
    anywhere_reason,
    running_statements,
    stage_statements,
    stage_wildcards,
)
from infra.pipeline import Resources, StageSpec

PLATFORMS: Final = {
    "x86_64": (lambda_.Architecture.X86_64, assets.Platform.LINUX_AMD64),
    "arm64": (lambda_.Architecture.ARM_64, assets.Platform.LINUX_ARM64),
}


class ImageFunction(Construct):
    """A container image that Lambda runs, with a role and a log group of its own.

    Attributes:
        function: The Lambda function.
        log_group: Its logs; they hold image_ids, never keys.

    Args:
        scope: Parent.
        name: Of the construct.
        what: It does, in a few words.
        context: Build context of the image (`infra.images`).
        handler: Dotted name.
        memory_mb: Of the function.
        timeout_seconds: Of one invocation.
        environment: Variables.
        statements: What it may do, beyond running.
        wildcards: Why resources of `statements` hold a wildcard, by resource.
        settings: Of the environment.
        key: Of its logs.
        network: To place it in; None for none.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        what: str,
        context: Path,
        handler: str,
        memory_mb: int,
        timeout_seconds: int,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        wildcards: Mapping[str, str],
        settings: Settings,
        key: kms.IKey,
        network: Network | None,
    ) -> None:
        super().__init__(scope, name)
        self.log_group = encrypted_log_group(self, "Logs", settings=settings, key=key)
        architecture, platform = PLATFORMS[settings.architecture]
        in_vpc = network is not None
        policy = iam.ManagedPolicy(
            self,
            "Policy",
            description=f"What the function may do: {what}",
            statements=[
                *running_statements(self.log_group.log_group_arn, in_vpc=in_vpc),
                *statements,
            ],
        )
        acknowledge_wildcards(policy, {"*": anywhere_reason(in_vpc=in_vpc), **wildcards})
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[policy],
        )
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            description=f"{settings.stack_name}: {what}",
            code=lambda_.DockerImageCode.from_image_asset(
                str(context), platform=platform, cmd=[handler]
            ),
            architecture=architecture,
            memory_size=memory_mb,
            timeout=Duration.seconds(timeout_seconds),
            environment=dict(environment),
            # what the function may do is what the policy above says: CDK adds nothing to it
            role=role.without_policy_updates(),
            log_group=self.log_group,
            tracing=lambda_.Tracing.ACTIVE,
            **(network.placement if network else {}),
        )
        if not in_vpc:
            acknowledge(
                self.function,
                {
                    "HIPAA.Security-LambdaInsideVPC": (
                        "An environment may do without a VPC (vpc_cidr in cdk.json): the function "
                        "calls AWS services alone, by TLS and IAM, and endpoints cost more than "
                        "all else that such an environment has"
                    )
                },
            )


class StageFunction(ImageFunction):
    """A stage: run for every batch of its queue's messages."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: StageSpec,
        settings: Settings,
        context: Path,
        resources: Resources,
        reach: Reach,
        key: kms.IKey,
        network: Network | None,
    ) -> None:
        super().__init__(
            scope,
            name,
            what=f"{stage.name} images",
            context=context,
            handler=stage.handler,
            memory_mb=stage.memory_mb,
            timeout_seconds=stage.timeout_seconds,
            environment=settings.environment_of(stage, resources),
            statements=stage_statements(stage.name, reach),
            wildcards=stage_wildcards(reach),
            settings=settings,
            key=key,
            network=network,
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=self.function,
            event_source_arn=reach.queues[stage.name].queue_arn,
            batch_size=stage.batch_size,
            max_concurrency=stage.max_concurrency,
            report_batch_item_failures=True,
        )
        acknowledge(
            self.function,
            {
                "HIPAA.Security-LambdaConcurrency": (
                    "The queue's MaximumConcurrency is the cap; the poller does not see reserved "
                    "concurrency, and what it throttles would use up a message's receives"
                ),
                "HIPAA.Security-LambdaDLQ": (
                    "Run from a queue, which has a dead letter queue; a function's own is for "
                    "asynchronous invocations"
                ),
            },
        )
