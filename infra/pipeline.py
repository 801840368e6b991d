"""The pipeline as data: what the CDK stack deploys and what `cxr local` runs are built from this.

images/ in the intake bucket → rule → classify queue → classify ─┬─▶ detect queue → detect ─┐
                                                                 └──────────────────────────┴─▶
report queue → report → results/<model_set>/<image_id>/ in the results bucket → event

Imports no aws_cdk: the embedded cloud needs neither node nor CDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lambdas.shared.flow import FIRST_STAGE, Stage
from lambdas.shared.metric_names import NAMESPACE

INTAKE_PREFIX: Final = "images/"
"""Where images are dropped; nothing else in the intake bucket is processed."""

MODELS_FOLDER: Final = "/var/task/models"
"""Where an image holds its bundles."""

VISIBILITY_FACTOR: Final = 6
"""Visibility timeout over function timeout; AWS asks for at least 6, so that throttled invocations
do not use up a message's receives (Lambda developer guide, "Using Lambda with Amazon SQS")."""

BATCH_SECONDS: Final = 10
"""Of each invocation, beside its images' own seconds: unpacking the batch, sending the answer. No
image is begun with less than its own seconds left, so without these a batch of one never would."""

QUEUE_RETENTION_DAYS: Final = 4
DEAD_LETTER_RETENTION_DAYS: Final = 14
"""The most SQS keeps; a message's age counts from its first queue."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage: a queue with its dead letter queue, and the function that reads it.

    Attributes:
        name: As in `lambdas.shared.flow`.
        graphs: Bundles whose graph this stage runs; of every other it knows model.json alone.
        image_seconds: The longest one image may take, from download to sending it on: 60 s for a
            decoder that waits, the rest for transfer and models.
        batch_size: Most images in one invocation. One image that takes all the memory takes its
            neighbours' receives as well, hence 1 where models or pages are drawn; triage decodes
            in a process with a limit of its own.
        memory_mb: Of the function.
        max_concurrency: Most invocations at a time (event source mapping).
        max_receives: Attempts before the dead letter queue.
    """

    name: Stage
    graphs: tuple[str, ...]
    image_seconds: int
    batch_size: int
    memory_mb: int
    max_concurrency: int
    max_receives: int = 5

    @property
    def handler(self) -> str:
        """Dotted name, as the image's command has it."""
        return f"lambdas.{self.name}.handler.handler"

    @property
    def timeout_seconds(self) -> int:
        """Enough for a whole batch of the slowest images."""
        return BATCH_SECONDS + self.batch_size * self.image_seconds

    @property
    def visibility_seconds(self) -> int:
        """How long a message that an invocation holds is hidden from the next."""
        return VISIBILITY_FACTOR * self.timeout_seconds


STAGES: Final[tuple[StageSpec, ...]] = (
    StageSpec(
        "classify",
        graphs=("classifier",),
        image_seconds=75,
        batch_size=4,
        memory_mb=3008,
        max_concurrency=50,
    ),
    StageSpec(
        "detect",
        graphs=("detector",),
        image_seconds=90,
        batch_size=1,
        memory_mb=3008,
        max_concurrency=50,
    ),
    StageSpec(
        "report",
        graphs=(),
        image_seconds=75,
        batch_size=1,
        memory_mb=2048,
        max_concurrency=50,
    ),
)
"""Defaults; cdk.json may set memory and concurrency for each environment."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Names of what a pipeline is made of, real or embedded; in CDK they are tokens.

    Attributes:
        intake_bucket: Name.
        results_bucket: Name.
        queue_urls: By stage.
        event_bus: Name; `default` for the account's own.
        metrics_namespace: Of the metrics; a stack has its own, since dev and prod may share an
            account.
    """

    intake_bucket: str
    results_bucket: str
    queue_urls: Mapping[Stage, str]
    event_bus: str = "default"
    metrics_namespace: str = NAMESPACE


def upload_pattern(intake_bucket: str, prefix: str = INTAKE_PREFIX) -> dict[str, Any]:
    """Event pattern of the rule: objects created under the prefix."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [intake_bucket]}, "object": {"key": [{"prefix": prefix}]}},
    }


def stage_environment(
    stage: StageSpec,
    resources: Resources,
    *,
    models: str = MODELS_FOLDER,
    detect_all: bool = False,
    formats: str = "",
    passthrough: str = "",
) -> dict[str, str]:
    """Environment variables of a stage's function; read by `lambdas.shared.config`.

    Args:
        stage: Of the function.
        resources: What it reads and writes.
        models: Folder of the bundles, as the function sees it.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Further formats of results, comma separated.
        passthrough: DICOM attributes that go into records, comma separated; none by default.
    """
    queues = {f"CXR_{name.upper()}_QUEUE": url for name, url in resources.queue_urls.items()}
    return {
        "CXR_STAGE": stage.name,
        "CXR_MODELS": models,
        "CXR_RESULTS_BUCKET": resources.results_bucket,
        "CXR_EVENT_BUS": resources.event_bus,
        "CXR_IMAGE_SECONDS": str(stage.image_seconds),
        "CXR_DETECT_ALL": "true" if detect_all else "false",
        "CXR_FORMATS": formats,
        "CXR_PASSTHROUGH": passthrough,
        # read by Powertools itself
        "POWERTOOLS_METRICS_NAMESPACE": resources.metrics_namespace,
        "POWERTOOLS_SERVICE_NAME": stage.name,
        **queues,
    }


def output_names() -> tuple[str, ...]:
    """Names of the stack's outputs, which the `cxr` command reads; the embedded cloud has them too.

    Values: names of buckets, bus, functions, log groups, rule and namespace of metrics; URLs of
    queues; ARN of the topic.
    """
    per_stage = (
        f"{stage.name.capitalize()}{kind}"
        for stage in STAGES
        for kind in ("Queue", "DeadLetterQueue", "Function", "LogGroup")
    )
    return (
        "IntakeBucket",
        "IntakePrefix",
        "ResultsBucket",
        "EventBus",
        "UploadRule",
        "UploadRuleDeadLetterQueue",
        "AlarmTopic",
        "ModelSet",
        "MetricsNamespace",
        *per_stage,
    )


def stage_spec(name: Stage) -> StageSpec:
    """The stage of this name."""
    return next(stage for stage in STAGES if stage.name == name)


def first_stage() -> StageSpec:
    """Where new images arrive."""
    return stage_spec(FIRST_STAGE)
