"""Train on SageMaker: single jobs on prepared data, or the whole pipeline.

    python -m training.submit train    --settings settings.json [--dry-run] [--wait]
    python -m training.submit pipeline --settings settings.json [--dry-run] [--start] [--wait]

The settings file holds the flags by name; see --help after either word. --dry-run prints every
request and sends none. --wait follows to the end, with the jobs' logs; interrupting it leaves the
jobs running.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lambdas.shared.errors import ConfigError, CxrError
from training.code_version import code_version
from training.config import parse, setting
from training.sagemaker_code import code_archive, code_key
from training.sagemaker_jobs import SageMakerSettings, training_job
from training.sagemaker_pipeline import STEPS, package_group, pipeline_definition
from training.sagemaker_watch import watch_job, watch_pipeline

COMMANDS: Final = ("train", "pipeline")


@dataclass(frozen=True, kw_only=True)
class SubmitSettings(SageMakerSettings):
    """The account's settings, and what this command is to do."""

    settings: Path | None = setting(None)  # noqa: RUF009
    """JSON file with any of these flags by name; the command line goes before it."""
    dry_run: bool = setting(False)
    """Print every request and send none."""
    start: bool = setting(False)
    """Start the pipeline after creating or updating it."""
    wait: bool = setting(False)
    """Follow jobs or the started pipeline to the end."""


Call = tuple[str, str, dict[str, Any]]
"""Service, operation of its client, arguments."""


def training_calls(
    settings: SageMakerSettings, *, archive: bytes, moment: datetime, version: str
) -> list[Call]:
    """The calls that start one training job a model.

    Args:
        settings: Of the account.
        archive: The code.
        moment: Becomes part of the jobs' names, which must not repeat.
        version: Of the code.
    """
    upload, code_uri = _upload(settings, archive)
    jobs = [
        training_job(
            settings,
            model,
            name=f"cxr-{model}-{moment:%Y%m%d-%H%M%S}",
            code_uri=code_uri,
            code_version=version,
        )
        for model in settings.models
    ]
    return [upload, *(("sagemaker", "create_training_job", job) for job in jobs)]


def pipeline_calls(settings: SageMakerSettings, *, archive: bytes, version: str) -> list[Call]:
    """The calls that create the pipeline and the groups it registers in."""
    upload, code_uri = _upload(settings, archive)
    definition = pipeline_definition(settings, code_uri=code_uri, code_version=version)
    groups: list[Call] = [
        (
            "sagemaker",
            "create_model_package_group",
            {
                "ModelPackageGroupName": package_group(settings, model),
                "ModelPackageGroupDescription": f"Bundles of the {model}",
            },
        )
        for model in STEPS
    ]
    pipeline: Call = (
        "sagemaker",
        "create_pipeline",
        {
            "PipelineName": settings.pipeline_name,
            "PipelineDescription": "Prepare, train, evaluate, export and register both models",
            "PipelineDefinition": json.dumps(definition),
            "RoleArn": settings.role_arn,
            # the same definition asked for twice is one pipeline
            "ClientRequestToken": f"{settings.pipeline_name:-<32}"[:32],
        },
    )
    return [upload, *groups, pipeline]


def describe(calls: Sequence[Call]) -> str:
    """What would be sent, as JSON a person can read; the archive as its size."""
    shown = []
    for service, operation, arguments in calls:
        told = dict(arguments)
        if isinstance(told.get("Body"), bytes):
            told["Body"] = f"<{len(told['Body'])} bytes>"
        if "PipelineDefinition" in told:
            told["PipelineDefinition"] = json.loads(told["PipelineDefinition"])
        shown.append({"call": f"{service}.{operation}", "arguments": told})
    return json.dumps(shown, indent=2) + "\n"


def send(calls: Sequence[Call], clients: Mapping[str, Any]) -> None:
    """Send the calls; what exists already is left or, a pipeline, updated."""
    from botocore.exceptions import ClientError

    for service, operation, arguments in calls:
        client = clients[service]
        try:
            getattr(client, operation)(**arguments)
        except ClientError as error:
            if not _exists_already(error) or operation == "create_training_job":
                raise ConfigError(f"{service}.{operation} was refused: {error}") from error
            if operation == "create_pipeline":
                kept = {k: v for k, v in arguments.items() if k != "ClientRequestToken"}
                client.update_pipeline(**kept)
        sys.stdout.write(f"sent {service}.{operation}\n")


def submit(
    command: str,
    settings: SubmitSettings,
    *,
    clients: Callable[[], Mapping[str, Any]],
    moment: datetime,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Carry out the command.

    Args:
        command: `train` or `pipeline`.
        settings: What to do and where.
        clients: Gives boto3's clients by service; not called in a dry run.
        moment: Of submission.
        pause: Waits for so many seconds between two looks at a job.

    Returns:
        Exit status: 1 where something that was waited for failed.
    """
    archive, version = code_archive(), code_version()
    if command == "train":
        calls = training_calls(settings, archive=archive, moment=moment, version=version)
    else:
        calls = pipeline_calls(settings, archive=archive, version=version)
    if settings.dry_run:
        sys.stdout.write(describe(calls))
        return 0
    services = clients()
    send(calls, services)
    if command == "train":
        names = [a["TrainingJobName"] for _, o, a in calls if o == "create_training_job"]
        for name in names:
            sys.stdout.write(f"job {name}\n")
        ended = [watch_job(name, services, pause=pause) for name in names if settings.wait]
        return int(any(status != "Completed" for status in ended))
    if not settings.start:
        sys.stdout.write(f"pipeline {settings.pipeline_name} is in place; --start starts it\n")
        return 0
    started = services["sagemaker"].start_pipeline_execution(PipelineName=settings.pipeline_name)
    arn = started["PipelineExecutionArn"]
    sys.stdout.write(f"started {arn}\n")
    if not settings.wait:
        return 0
    return int(watch_pipeline(arn, services, pause=pause) != "Succeeded")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command-line entry."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in COMMANDS:
        sys.stderr.write(__doc__ or "")
        return 2
    command, flags = given[0], given[1:]
    try:
        settings = parse(
            SubmitSettings, flags, environment=os.environ, given_by_file=_settings_file(flags)
        )
        return submit(
            command, settings, clients=lambda: _clients(settings.region), moment=datetime.now(UTC)
        )
    except CxrError as error:
        sys.stderr.write(f"submit: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped watching; jobs go on running\n")
        return 130


def _upload(settings: SageMakerSettings, archive: bytes) -> tuple[Call, str]:
    key = code_key(settings.prefix, archive)
    arguments: dict[str, Any] = {"Bucket": settings.bucket, "Key": key, "Body": archive}
    if settings.kms_key:
        arguments |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.kms_key}
    return ("s3", "put_object", arguments), f"s3://{settings.bucket}/{key}"


def _exists_already(error: Any) -> bool:
    told = error.response.get("Error", {})
    text = f"{told.get('Code', '')} {told.get('Message', '')}".lower()
    return "already exist" in text or "resourceinuse" in text or "conflict" in text


def _settings_file(flags: Sequence[str]) -> dict[str, Any]:
    """The settings in the file that `--settings` names; empty without one."""
    for position, text in enumerate(flags):
        name, equals, value = text.partition("=")
        if name != "--settings":
            continue
        path = Path(value if equals else "".join(flags[position + 1 : position + 2]))
        try:
            loaded = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"--settings: {path} is no readable JSON file: {error}") from error
        if not isinstance(loaded, dict):
            raise ConfigError(f"--settings: {path} holds no JSON object")
        return loaded
    return {}


def _clients(region: str) -> dict[str, Any]:
    import boto3  # slow to import, and not needed to print

    return {name: boto3.client(name, region_name=region) for name in ("s3", "sagemaker", "logs")}


if __name__ == "__main__":
    sys.exit(main())
