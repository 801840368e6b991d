"""The SageMaker Pipeline: prepare, train both models, evaluate, export, register.

Pure functions from settings to the pipeline's definition; nothing here talks to AWS. Values that
are known only when it runs (another step's output, the execution's id) are references in the
definition's own language.

Sources: SageMaker pipeline definition JSON schema 2020-12-01; SageMaker API, CreateProcessingJob.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from training.sagemaker_jobs import (
    SageMakerSettings,
    encrypted,
    resources,
    training_arguments,
    vpc,
)

VERSION: Final = "2020-12-01"

INPUT: Final = "/opt/ml/processing/input"
OUTPUT: Final = "/opt/ml/processing/output"

RUN_MODULE: Final = (
    "set -e; "
    f"for archive in {INPUT}/*/*.tar.gz; do "
    'tar -xzf "$archive" -C "$(dirname "$archive")"; done; '
    f"cd {INPUT}/code; python -m pip install --quiet -r requirements.txt; "
    'python -m "$@"'
)
"""Unpacks code and models that came in as archives, then runs the module named by the arguments."""

JUDGE_AND_PACK: Final = (
    f"; python -m training.evaluate --data {INPUT}/prepared --models {OUTPUT}/bundles "
    f"--out {OUTPUT}/report --write-operating-point"
    f"; for bundle in {OUTPUT}/bundles/*/; do "
    'tar -czf "${bundle%/}.tar.gz" -C "$bundle" .; done'
)
"""After export: thresholds and figures of the very bundles that ship go into their model.json; then
each is packed, since the Model Registry takes a model as an archive."""

STEPS: Final = {"classifier": "TrainClassifier", "detector": "TrainDetector"}

CHECKPOINTS: Final = {"classifier": "efficientnet_b4_best.pth", "detector": "final_model.pth"}
"""As the trainers name them in SM_MODEL_DIR."""

Reference = dict[str, Any]


def pipeline_definition(
    settings: SageMakerSettings, *, code_uri: str, code_version: str
) -> dict[str, Any]:
    """The whole definition, ready for JSON.

    Args:
        settings: Of the account.
        code_uri: Of the archive of code.
        code_version: Written into the checkpoints.
    """
    data = {"Get": "Parameters.Data"}
    prepared = _output_of("Prepare", "prepared")
    prepare = _processing(
        settings,
        "Prepare",
        code_uri=code_uri,
        arguments=["training.prepare", "--data", data, "--out", f"{OUTPUT}/prepared"],
        outputs=["prepared"],
    )
    trained = [
        _training(settings, model, code_uri=code_uri, code_version=code_version, prepared=prepared)
        for model in STEPS
    ]
    models = {
        model: {"Get": f"Steps.{step}.ModelArtifacts.S3ModelArtifacts"}
        for model, step in STEPS.items()
    }
    files = [f"{INPUT}/{model}/{CHECKPOINTS[model]}" for model in STEPS]
    evaluate = _processing(
        settings,
        "Evaluate",
        code_uri=code_uri,
        inputs={**models, "prepared": prepared},
        arguments=[
            "training.evaluate",
            *("--data", f"{INPUT}/prepared"),
            # both models' folders lie in it: a pair, of which the cascade is judged too
            *("--models", INPUT),
            *("--out", f"{OUTPUT}/report"),
        ],
        outputs=["report"],
    )
    export = _processing(
        settings,
        "Export",
        code_uri=code_uri,
        inputs={**models, "prepared": prepared},
        arguments=["export", *files, "--out", f"{OUTPUT}/bundles"],
        outputs=["bundles", "report"],
        afterwards=JUDGE_AND_PACK,
    )
    # a figure nobody has seen ships nothing: the report comes before the bundles
    export["DependsOn"] = ["Evaluate"]
    return {
        "Version": VERSION,
        "Parameters": [
            {"Name": "Data", "Type": "String", "DefaultValue": settings.data},
            {"Name": "ApprovalStatus", "Type": "String", "DefaultValue": "PendingManualApproval"},
        ],
        "Steps": [
            prepare,
            *trained,
            evaluate,
            export,
            *(_registration(settings, model) for model in STEPS),
        ],
    }


def package_group(settings: SageMakerSettings, model: str) -> str:
    """Name of a model's group in the Model Registry."""
    return f"{settings.model_package_group}-{model}"


def _training(
    settings: SageMakerSettings,
    model: str,
    *,
    code_uri: str,
    code_version: str,
    prepared: Reference,
) -> dict[str, Any]:
    return {
        "Name": STEPS[model],
        "Type": "Training",
        "Arguments": training_arguments(
            settings,
            model,
            code_uri=code_uri,
            data_uri=prepared,
            checkpoint_uri=_below(settings.uri("checkpoints", model)),
            code_version=code_version,
        ),
        # spare capacity may be short for an hour or two
        "RetryPolicies": [
            {
                "ExceptionType": ["SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"],
                "IntervalSeconds": 300,
                "BackoffRate": 2.0,
                "MaxAttempts": 5,
            }
        ],
    }


def _processing(
    settings: SageMakerSettings,
    name: str,
    *,
    code_uri: str,
    arguments: Sequence[str | Reference],
    outputs: Sequence[str],
    inputs: Mapping[str, Reference] | None = None,
    afterwards: str = "",
) -> dict[str, Any]:
    """A step that runs one of the project's modules in the training image."""
    step: dict[str, Any] = {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "RoleArn": settings.role_arn,
            "ProcessingResources": {
                "ClusterConfig": resources(settings, settings.processing_instance_type)
            },
            "AppSpecification": {
                "ImageUri": settings.image,
                "ContainerEntrypoint": ["bash", "-c", RUN_MODULE + afterwards, "run"],
                "ContainerArguments": list(arguments),
            },
            "ProcessingInputs": [
                _input(channel, uri)
                for channel, uri in {"code": code_uri, **(inputs or {})}.items()
            ],
            "ProcessingOutputConfig": encrypted(
                {"Outputs": [_output(settings, name, folder) for folder in outputs]}, settings
            ),
            "StoppingCondition": {"MaxRuntimeInSeconds": min(settings.max_run_hours, 120) * 3600},
            "Environment": {"PYTHONUNBUFFERED": "1", "AWS_DEFAULT_REGION": settings.region},
        },
    }
    if settings.subnets:
        step["Arguments"]["NetworkConfig"] = {"VpcConfig": vpc(settings)}
    return step


def _input(name: str, uri: Any) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{INPUT}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


def _output(settings: SageMakerSettings, step: str, folder: str) -> dict[str, Any]:
    return {
        "OutputName": folder,
        "S3Output": {
            "S3Uri": _below(settings.uri("pipeline"), step.lower(), folder),
            "LocalPath": f"{OUTPUT}/{folder}",
            "S3UploadMode": "EndOfJob",
        },
    }


def _registration(settings: SageMakerSettings, model: str) -> dict[str, Any]:
    """One bundle as a version in the Model Registry, its evaluation beside it."""
    return {
        "Name": f"Register{model.title()}",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": package_group(settings, model),
            "ModelPackageDescription": f"{model} bundle: model.onnx and model.json",
            "ModelApprovalStatus": {"Get": "Parameters.ApprovalStatus"},
            "InferenceSpecification": {
                "Containers": [
                    {
                        "Image": settings.image,
                        "ModelDataUrl": _join(_output_of("Export", "bundles"), f"{model}.tar.gz"),
                    }
                ],
                "SupportedContentTypes": ["application/dicom", "image/png", "image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {
                        "ContentType": "application/json",
                        "S3Uri": _join(_output_of("Export", "report"), "evaluation.json"),
                    }
                }
            },
        },
    }


def _output_of(step: str, output: str) -> Reference:
    place = f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri"
    return {"Get": place}


def _below(uri: str, *parts: str) -> Reference:
    """A folder of this execution alone."""
    return _join(uri, {"Get": "Execution.PipelineExecutionId"}, *parts)


def _join(*parts: str | Reference) -> Reference:
    return {"Std:Join": {"On": "/", "Values": list(parts)}}
