"""Functions, logs and outputs of the template."""

import re

import pytest

from infra.bulk import bulk_output_names
from infra.config import Settings
from infra.images import IMAGES
from infra.pipeline import STAGES, Resources, StageSpec, output_names
from lambdas.shared.bundle import load_bundle, model_set
from lambdas.shared.config import StageSettings
from tests.infra.synthesis import Synthesis, Template, of_type, plain

PACKAGES = {
    "ArchiveBatchFunction": "batch",
    "ArchivePlannerFunction": "batch",
    "LakeFunction": "lake",
}
"""Package of a function that is no stage, by its name."""

stages = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


@stages
def test_function_is_as_the_pipeline_says(
    template: Template, settings: Settings, stage: StageSpec
) -> None:
    function = plain(of_type(template, "AWS::Lambda::Function")[_name(stage)])
    configured = next(each for each in settings.stages if each.name == stage.name)
    assert function["PackageType"] == "Image"
    assert function["ImageConfig"] == {"Command": [stage.handler]}
    assert function["Timeout"] == configured.timeout_seconds
    assert function["MemorySize"] == configured.memory_mb
    assert function["Architectures"] == [settings.architecture]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"] == {"LogGroup": f"<{_name(stage)}Logs>"}
    # the mapping's cap is the only backpressure
    assert "ReservedConcurrentExecutions" not in function


@stages
def test_environment_is_the_pipelines_and_is_understood(
    template: Template, settings: Settings, stage: StageSpec
) -> None:
    function = plain(of_type(template, "AWS::Lambda::Function")[_name(stage)])
    variables = function["Environment"]["Variables"]
    resources = Resources(
        intake_bucket="<StorageIntake>",
        results_bucket="<StorageResults>",
        queue_urls={each.name: f"<{each.name.capitalize()}Queue>" for each in STAGES},
        metrics_namespace=settings.metrics_namespace,
    )
    assert variables == settings.environment_of(stage, resources)
    read = StageSettings.from_env(variables)
    assert (read.stage, read.image_seconds) == (stage.name, stage.image_seconds)


def test_every_image_is_built_from_a_context_of_its_own(synthesis: Synthesis) -> None:
    uris = {
        name: plain(function["Code"]["ImageUri"])
        for name, function in of_type(synthesis.template, "AWS::Lambda::Function").items()
    }
    assert len(set(uris.values())) == len(IMAGES)
    assert uris["ArchiveBatchFunction"] == uris["ArchivePlannerFunction"]
    for name, uri in uris.items():
        digest = re.search(r":([0-9a-f]{64})$", uri)
        assert digest, uri
        context = synthesis.folder / f"asset.{digest[1]}"
        package = PACKAGES.get(name) or name.removesuffix("Function").lower()
        assert (context / "Dockerfile").is_file()
        assert (context / "lambdas" / package).is_dir()


def test_images_are_built_for_the_architecture_they_run_on(
    synthesis: Synthesis, settings: Settings
) -> None:
    (assets,) = synthesis.folder.glob("*.assets.json")
    platform = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}[settings.architecture]
    assert assets.read_text().count(f'"platform": "{platform}"') == len(IMAGES)


@stages
def test_logs_are_kept_as_long_as_set(
    template: Template, settings: Settings, stage: StageSpec
) -> None:
    logs = of_type(template, "AWS::Logs::LogGroup")[f"{_name(stage)}Logs"]
    assert logs["RetentionInDays"] == settings.log_days


def test_outputs_are_those_that_the_command_reads(template: Template, settings: Settings) -> None:
    outputs = template["Outputs"]
    assert set(outputs) == {*output_names(), *bulk_output_names()}
    assert not [name for name, output in outputs.items() if "Export" in output]
    values = {name: plain(output["Value"]) for name, output in outputs.items()}
    bundles = [load_bundle(settings.models / name) for name in ("classifier", "detector")]
    expected = {
        "IntakeBucket": "<StorageIntake>",
        "IntakePrefix": "images/",
        "ResultsBucket": "<StorageResults>",
        "EventBus": "default",
        "UploadRule": "<IntakeUploads>",
        "UploadRuleDeadLetterQueue": "<IntakeDeadLetters>",
        "AlarmTopic": "<AlarmsTopic>",
        "ModelSet": model_set(*bundles),
        "MetricsNamespace": settings.metrics_namespace,
        "ArchiveStateMachine": "<ArchiveMachine>",
        "ArchiveArchitecture": settings.architecture,
        "ArchiveConcurrency": str(settings.archive_concurrency),
        "BatchFunction": "<ArchiveBatchFunction>",
        "BatchLogGroup": "<ArchiveBatchLogs>",
        "PlannerFunction": "<ArchivePlannerFunction>",
        "PlannerLogGroup": "<ArchivePlannerLogs>",
    }
    for stage in STAGES:
        title = stage.name.capitalize()
        expected |= {
            f"{title}Queue": f"<{title}Queue>",
            f"{title}DeadLetterQueue": f"<{title}DeadLetters>",
            f"{title}Function": f"<{title}Function>",
            f"{title}LogGroup": f"<{title}FunctionLogs>",
        }
    assert values == expected


def test_whatever_can_be_tagged_says_whose_it_is(template: Template, settings: Settings) -> None:
    tags = [{"Key": "environment", "Value": settings.environment}]
    tags.append({"Key": "project", "Value": "cxr-batch"})
    for kind in ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Lambda::Function", "AWS::KMS::Key"):
        for resource in of_type(template, kind).values():
            assert resource["Tags"] == tags


def _name(stage: StageSpec) -> str:
    return f"{stage.name.capitalize()}Function"
