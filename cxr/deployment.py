"""A deployed pipeline, known by its stack's outputs: where its buckets, queues and logs are.

The embedded cloud has a stack with the same outputs, so whoever uses this need not know which.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cxr.aws import Cloud, cloud_of, error_code, translated
from infra.config import load_settings
from infra.local_template import STACK_NAME
from infra.pipeline import STAGES, first_stage, output_names
from lambdas.shared.errors import ContractError, InvalidRequestError
from lambdas.shared.flow import Stage

RULE: Final = "rule"
"""What commands call the rule that puts uploads into the first queue."""


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """Where messages lie that were given up, and where they belong.

    Attributes:
        whose: A stage's name, or `RULE`.
        url: Of the queue.
        home_url: Of the queue that they go back to.
    """

    whose: str
    url: str
    home_url: str


BATCH: Final = "batch"
"""What the function of archive jobs is called where stages are named; it has no queue."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where one function's lines are.

    Attributes:
        name: Of its stage, or `BATCH`.
        log_group: Name.
    """

    name: str
    log_group: str


@dataclass(frozen=True, slots=True)
class StagePlaces:
    """Where one stage is.

    Attributes:
        name: Of the stage.
        queue_url: Of its queue.
        dead_letters_url: Of its dead letter queue.
        function: Name.
        log_group: Name.
    """

    name: Stage
    queue_url: str
    dead_letters_url: str
    function: str
    log_group: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One stack.

    Attributes:
        cloud: Where it stands.
        stack: Its name.
        outputs: Values by the names of `pipeline.output_names`.
    """

    cloud: Cloud
    stack: str
    outputs: Mapping[str, str]

    @property
    def stages(self) -> tuple[StagePlaces, ...]:
        """In the order in which images pass them."""
        return tuple(self._stage(stage.name) for stage in STAGES)

    @property
    def log_places(self) -> tuple[LogPlace, ...]:
        """Every function that analyses images: the stages', then that of archive jobs."""
        return (
            *(LogPlace(stage.name, stage.log_group) for stage in self.stages),
            LogPlace(BATCH, self.outputs["BatchLogGroup"]),
        )

    @property
    def dead_letter_queues(self) -> tuple[DeadLetterQueue, ...]:
        """The rule's, then each stage's."""
        home = self._stage(first_stage().name).queue_url
        return (
            DeadLetterQueue(RULE, self.outputs["UploadRuleDeadLetterQueue"], home),
            *(
                DeadLetterQueue(stage.name, stage.dead_letters_url, stage.queue_url)
                for stage in self.stages
            ),
        )

    @property
    def intake_bucket(self) -> str:
        """Name of the bucket that images are dropped in."""
        return self.outputs["IntakeBucket"]

    @property
    def intake_prefix(self) -> str:
        """Prefix of the keys that are processed."""
        return self.outputs["IntakePrefix"]

    @property
    def results_bucket(self) -> str:
        """Name of the bucket of results."""
        return self.outputs["ResultsBucket"]

    @property
    def model_set(self) -> str:
        """Of the models that are deployed."""
        return self.outputs["ModelSet"]

    @property
    def metrics_namespace(self) -> str:
        """Of the functions' own metrics."""
        return self.outputs["MetricsNamespace"]

    def _stage(self, name: Stage) -> StagePlaces:
        start = name.capitalize()
        return StagePlaces(
            name=name,
            queue_url=self.outputs[f"{start}Queue"],
            dead_letters_url=self.outputs[f"{start}DeadLetterQueue"],
            function=self.outputs[f"{start}Function"],
            log_group=self.outputs[f"{start}LogGroup"],
        )


def deployment_of(options: argparse.Namespace) -> Deployment:
    """The deployment that the arguments of `aws.add_arguments` mean."""
    cloud = cloud_of(options)
    return find_deployment(cloud, stack_name(options, cloud))


def stack_name(options: argparse.Namespace, cloud: Cloud) -> str:
    """The stack that is meant: the embedded cloud has but one."""
    if options.stack:
        return str(options.stack)
    if cloud.embedded and not options.env:
        return STACK_NAME
    return load_settings(options.env).stack_name


def find_deployment(cloud: Cloud, stack: str) -> Deployment:
    """Look up a stack's outputs.

    Raises:
        InvalidRequestError: There is no such stack.
        ContractError: It is none of ours, or of another version.
    """
    cloudformation = cloud.client("cloudformation")
    with translated("looking up the stack", needs="cloudformation:DescribeStacks"):
        try:
            (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        except Exception as error:
            if error_code(error) != "ValidationError":
                raise
            raise InvalidRequestError(
                f"there is no stack {stack} at {cloud.name}; `make deploy` makes it, and --env, "
                "--stack, --region and --profile choose another"
            ) from error
    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in found.get("Outputs", ())}
    if missing := sorted(set(output_names()) - set(outputs)):
        raise ContractError(
            f"the stack {stack} is {found['StackStatus']} and has no output {', '.join(missing)}; "
            "it is another version's, or not deployed to the end: `make deploy`"
        )
    return Deployment(cloud, stack, outputs)
