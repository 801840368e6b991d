"""Settings of a deployment: what may differ between environments, read from cdk.json.

Each environment, dev or prod or another, is an object below `context.environments`; what a setting
may be stands in `Settings`. Imports no aws_cdk: the embedded cloud and the `cxr` command read the
same file.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.bulk import MAP_CONCURRENCY
from infra.pipeline import STAGES, Resources, StageSpec, stage_environment
from infra.setting_readers import (
    READERS,
    REPOSITORY,
    Architecture,
    ExistingBucket,
    UnexpectedValueError,
)
from lambdas.shared.errors import ConfigError
from lambdas.shared.flow import Stage
from lambdas.shared.metric_names import NAMESPACE

CDK_JSON: Final = REPOSITORY / "cdk.json"

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One environment.

    Attributes:
        environment: Its name.
        models: Folder with the bundles `classifier` and `detector`, from the repository's root.
        architecture: Of the functions and their images.
        keep_data: Whether buckets, key and logs outlive the stack.
        log_days: How long logs are kept.
        superseded_days: How long replaced and deleted versions of objects are kept.
        access_log_days: How long the buckets' access logs are kept.
        memory_mb: By stage, where it differs from `STAGES`.
        max_concurrency: By stage, where it differs from `STAGES`.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Further formats of results, separated by commas, as `--formats` takes them.
        passthrough: DICOM attributes that go into records, separated by commas.
        alarm_age_minutes: How long a message may wait before an alarm.
        alarm_email: Who gets the alarms; None if nobody.
        vpc_cidr: Addresses of a private network for the functions; None for none.
        intake_bucket: None for a new one.
        results_bucket: None for a new one.
        archive_buckets: Further buckets whose images archive jobs may read.
        archive_concurrency: Most batches of an archive job at a time.
    """

    environment: str
    models: Path
    architecture: Architecture
    keep_data: bool
    log_days: int
    superseded_days: int
    access_log_days: int
    memory_mb: Mapping[Stage, int] = field(default_factory=dict)
    max_concurrency: Mapping[Stage, int] = field(default_factory=dict)
    detect_all: bool = False
    formats: str = ""
    passthrough: str = ""
    alarm_age_minutes: int = 60
    alarm_email: str | None = None
    vpc_cidr: str | None = None
    intake_bucket: ExistingBucket | None = None
    results_bucket: ExistingBucket | None = None
    archive_buckets: tuple[ExistingBucket, ...] = ()
    archive_concurrency: int = MAP_CONCURRENCY

    @property
    def stack_name(self) -> str:
        """Of the CloudFormation stack; also the start of its resources' names."""
        return f"cxr-batch-{self.environment}"

    @property
    def metrics_namespace(self) -> str:
        """Of the functions' own metrics."""
        return f"{NAMESPACE}/{self.environment}"

    @property
    def stages(self) -> tuple[StageSpec, ...]:
        """`STAGES` with this environment's memory and concurrency."""
        return tuple(
            dataclasses.replace(
                stage,
                memory_mb=self.memory_mb.get(stage.name, stage.memory_mb),
                max_concurrency=self.max_concurrency.get(stage.name, stage.max_concurrency),
            )
            for stage in STAGES
        )

    def environment_of(self, stage: StageSpec, resources: Resources) -> dict[str, str]:
        """Environment variables of a stage's function, with what is set here."""
        return stage_environment(
            stage,
            resources,
            detect_all=self.detect_all,
            formats=self.formats,
            passthrough=self.passthrough,
        )

    @classmethod
    def from_context(cls, context: Mapping[str, Any], environment: str | None = None) -> "Settings":
        """Read and check one environment.

        Args:
            context: As cdk.json has it.
            environment: None for the one that `context.environment` names.

        Raises:
            ConfigError: Lists every setting that is unknown, missing or wrong.
        """
        environments = context.get("environments")
        if not isinstance(environments, Mapping) or not environments:
            raise ConfigError("cdk.json: context.environments is missing; it holds the settings")
        name = environment or context.get("environment")
        if not isinstance(name, str) or name not in environments:
            raise ConfigError(
                f"cdk.json: no environment {name!r} among context.environments; "
                f"choose from {', '.join(environments)}, or add it there"
            )
        return cls(environment=name, **_checked(name, environments[name]))


def read_context(path: Path = CDK_JSON) -> dict[str, Any]:
    """The `context` of cdk.json: settings, and CDK's feature flags.

    Raises:
        ConfigError: The file is missing or is not what CDK reads.
    """
    try:
        context = json.loads(path.read_text(encoding="utf-8"))["context"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}: {error}); "
            "it must be JSON with a `context` object"
        ) from error
    if not isinstance(context, dict):
        raise ConfigError(f"{path}: `context` is {type(context).__name__}, expected an object")
    return context


def load_settings(environment: str | None = None, path: Path = CDK_JSON) -> Settings:
    """Settings of an environment, None for the file's default.

    Raises:
        ConfigError: As `read_context` and `Settings.from_context`.
    """
    return Settings.from_context(read_context(path), environment)


def _checked(environment: str, found: Any) -> dict[str, Any]:
    """Values by setting, each of its type."""
    where = f"cdk.json, environment {environment}: "
    if not _NAME.fullmatch(environment):
        raise ConfigError(
            f"{where}the name must match {_NAME.pattern}, since resources are named after it"
        )
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where}is {type(found).__name__}, expected an object of settings")
    problems = [f"{name} is missing" for name in _required() if name not in found]
    values = {}
    for name, value in found.items():
        if name not in READERS:
            problems.append(f"{name} is unknown")
            continue
        try:
            values[name] = READERS[name](value)
        except UnexpectedValueError as wrong:
            problems.append(f"{name} is {json.dumps(value)}, expected {wrong}")
    if problems:
        raise ConfigError(where + "; ".join(problems))
    return values


def _required() -> tuple[str, ...]:
    return tuple(
        field.name
        for field in dataclasses.fields(Settings)
        if field.name in READERS
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    )
