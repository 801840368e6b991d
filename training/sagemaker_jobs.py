"""SageMaker training jobs: their settings, and the requests that create them.

Pure functions from settings to the arguments of boto3's calls; nothing here talks to AWS.

Sources: SageMaker API, CreateTrainingJob; sagemaker-training-toolkit README (script mode).
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from training.config import SAGEMAKER_CHECKPOINTS, Settings, setting
from training.data import class_list
from training.journal import slug

CHANNEL: Final = "training"
"""Name of the input channel; the container finds it in SM_CHANNEL_TRAINING."""

NUMBER: Final = r"([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)"
"""What a metric definition captures; a figure that is not a number is no data point."""

LOCAL_STORAGE_FAMILIES: Final = ("g4dn", "g5", "g6", "g6e", "p3dn", "p4d", "p4de", "p5", "m5d")
"""Instances with disks of their own, encrypted in hardware; a volume key is refused there."""

ENTRIES: Final = {
    "classifier": "training/train_classifier.py",
    "detector": "training/train_detector.py",
}
"""Entry script of each model, as a path within the archive of code."""


@dataclass(frozen=True, kw_only=True)
class SageMakerSettings(Settings):
    """Where and how jobs run."""

    role_arn: str = setting("")
    """Role that the jobs assume: reads the data, writes below the prefix."""
    region: str = setting("us-east-1")
    """AWS region of bucket, jobs and registry."""
    bucket: str = setting("")
    """Bucket for code, checkpoints and models."""
    prefix: str = setting("cxr-batch/training")
    """Everything is written below this prefix of the bucket."""
    data: str = setting("")
    """s3://bucket/prefix of the data set: prepared for `train`, as published for `pipeline`."""
    image: str = setting("")
    """Container image with PyTorch and SageMaker's training toolkit, for instance AWS's
    pytorch-training of the region; torch 2.9 or newer."""
    models: tuple[str, ...] = setting(("classifier", "detector"))
    """Which to train, with commas."""
    classifier_hyperparameters: tuple[str, ...] = setting(())
    """Flags of train_classifier as name=value, with commas."""
    detector_hyperparameters: tuple[str, ...] = setting(())
    """Flags of train_detector as name=value, with commas."""
    instance_type: str = setting("ml.g5.xlarge")
    """Of training; one GPU is used."""
    processing_instance_type: str = setting("ml.m5.2xlarge")
    """Of the pipeline's steps that do not train."""
    volume_gb: int = setting(100, low=1, high=16384)
    """Disk of every job."""
    spot: bool = setting(True)
    """Train on spare capacity: cheaper, may be interrupted, resumes from its checkpoints."""
    max_run_hours: int = setting(24, low=1, high=672)
    """A job is stopped after so long."""
    max_wait_hours: int = setting(48, low=1, high=672)
    """With --spot: longest time for waiting and running together."""
    subnets: tuple[str, ...] = setting(())
    """Subnets of the VPC that jobs run in; needs a way to a package index and to S3."""
    security_groups: tuple[str, ...] = setting(())
    """Security groups of the jobs in that VPC."""
    kms_key: str | None = setting(None)
    """Key for disks and for everything written to the bucket; AWS's own unless given."""
    model_package_group: str = setting("cxr-batch")
    """Group of the Model Registry that the pipeline registers bundles in; one for each model, with
    the model's name appended."""
    pipeline_name: str = setting("cxr-batch-training")
    """Name of the pipeline."""

    def contradictions(self) -> list[str]:
        """Sentences about settings that are missing or do not go together."""
        problems = [
            f"--{name.replace('_', '-')} is needed"
            for name in ("role_arn", "bucket", "data", "image")
            if not getattr(self, name)
        ]
        if self.data and not self.data.startswith("s3://"):
            problems.append(f"--data is {self.data}, expected s3://bucket/prefix")
        if bool(self.subnets) != bool(self.security_groups):
            problems.append("--subnets and --security-groups are given together or not at all")
        if self.spot and self.max_wait_hours < self.max_run_hours:
            problems.append("--max-wait-hours is below --max-run-hours")
        unknown = sorted(set(self.models) - set(ENTRIES))
        if unknown or not self.models:
            problems.append(f"--models is {','.join(self.models)}, expected of {list(ENTRIES)}")
        for name in ("classifier_hyperparameters", "detector_hyperparameters"):
            wrong = [text for text in getattr(self, name) if "=" not in text]
            if wrong:
                problems.append(f"--{name.replace('_', '-')}: {wrong[0]!r} is not name=value")
        return problems

    def hyperparameters(self, model: str) -> dict[str, str]:
        """A model's flags by name."""
        pairs = getattr(self, f"{model}_hyperparameters")
        return dict(text.split("=", 1) for text in pairs)

    def uri(self, *parts: str) -> str:
        """An address below the prefix."""
        return "/".join((f"s3://{self.bucket}/{self.prefix}", *parts))


def metric_definitions(model: str) -> list[dict[str, str]]:
    """What SageMaker draws curves of: the lines that `training.journal.metric_line` writes."""
    names = ["train_loss"]
    if model == "classifier":
        names += [f"validation_{name}" for name in ("auroc", "auprc", "ece", "loss")]
    else:
        names += ["validation_ap50", "validation_map", "validation_localisation_auroc"]
        names += [f"validation_ap50_{slug(label)}" for label in class_list(13)]
    return [
        {"Name": name.replace("_", ":", 1), "Regex": f"(?:^|\\s){name}={NUMBER};"} for name in names
    ]


def training_arguments(
    settings: SageMakerSettings,
    model: str,
    *,
    code_uri: Any,
    data_uri: Any,
    checkpoint_uri: Any,
    code_version: str,
) -> dict[str, Any]:
    """Arguments of CreateTrainingJob without the job's name, as jobs and pipeline share them.

    Args:
        settings: Of the account.
        model: `classifier` or `detector`.
        code_uri: Of the archive of code: text, or a pipeline's reference.
        data_uri: Of the prepared data set, likewise.
        checkpoint_uri: Where the state to resume from is kept, likewise.
        code_version: Written into the checkpoints.
    """
    limits = {"MaxRuntimeInSeconds": settings.max_run_hours * 3600}
    if settings.spot:
        limits["MaxWaitTimeInSeconds"] = settings.max_wait_hours * 3600
    # the toolkit reads every hyperparameter as JSON; a pipeline's reference is filled in later
    script_mode = {
        "sagemaker_program": ENTRIES[model],
        "sagemaker_submit_directory": code_uri,
        "sagemaker_region": settings.region,
    }
    told = {
        key: value if isinstance(value, dict) else json.dumps(value)
        for key, value in {**settings.hyperparameters(model), **script_mode}.items()
    }
    arguments: dict[str, Any] = {
        "RoleArn": settings.role_arn,
        "AlgorithmSpecification": {
            "TrainingImage": settings.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(model),
        },
        "HyperParameters": told,
        "InputDataConfig": [
            {
                "ChannelName": CHANNEL,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": data_uri,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": encrypted({"S3OutputPath": settings.uri("models")}, settings),
        "ResourceConfig": resources(settings, settings.instance_type),
        "StoppingCondition": limits,
        "EnableManagedSpotTraining": settings.spot,
        "CheckpointConfig": {"S3Uri": checkpoint_uri, "LocalPath": SAGEMAKER_CHECKPOINTS},
        "Environment": {"CXR_CODE_VERSION": code_version, "PYTHONUNBUFFERED": "1"},
    }
    if settings.subnets:
        arguments["VpcConfig"] = vpc(settings)
    return arguments


def training_job(
    settings: SageMakerSettings, model: str, *, name: str, code_uri: str, code_version: str
) -> dict[str, Any]:
    """Arguments of CreateTrainingJob for a job on prepared data."""
    return {
        "TrainingJobName": name,
        **training_arguments(
            settings,
            model,
            code_uri=code_uri,
            data_uri=settings.data,
            # one folder a job: a new job starts anew, an interrupted one goes on
            checkpoint_uri=settings.uri("checkpoints", name),
            code_version=code_version,
        ),
        "Tags": [{"Key": "project", "Value": "cxr-batch"}],
    }


def resources(settings: SageMakerSettings, instance_type: str) -> dict[str, Any]:
    """One instance, its disk, and the disk's key where the instance takes one."""
    found: dict[str, Any] = {
        "InstanceType": instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": settings.volume_gb,
    }
    family = instance_type.removeprefix("ml.").partition(".")[0]
    if settings.kms_key and family not in LOCAL_STORAGE_FAMILIES:
        found["VolumeKmsKeyId"] = settings.kms_key
    return found


def encrypted(place: dict[str, Any], settings: SageMakerSettings) -> dict[str, Any]:
    """An output's place, with the key where there is one."""
    return {**place, "KmsKeyId": settings.kms_key} if settings.kms_key else place


def vpc(settings: SageMakerSettings) -> dict[str, list[str]]:
    """VpcConfig of the settings."""
    return {
        "SecurityGroupIds": list(settings.security_groups),
        "Subnets": list(settings.subnets),
    }
