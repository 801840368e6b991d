"""What archive jobs may do, in full: a permission more is as much a fault as one too few."""

from pathlib import Path
from typing import Any

import pytest

from infra.config import Settings, load_settings
from infra.setting_readers import ExistingBucket
from tests.infra.synthesis import Template, listed, of_type, plain, statements, synthesise

KEY, INTAKE, RESULTS = "<DataKey.Arn>", "<StorageIntake.Arn>", "<StorageResults.Arn>"
S3 = {"StringEquals": {"kms:ViaService": "s3.<AWS::Region>.amazonaws.com"}}
HERE = "<AWS::Region>:<AWS::AccountId>"
PACS_KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

Allowed = dict[str, tuple[set[str], set[str], Any]]


def allowed(template: Template, policy: str) -> Allowed:
    return {
        statement["Sid"]: (
            set(listed(statement["Action"])),
            set(listed(statement["Resource"])),
            statement.get("Condition"),
        )
        for name, statement in statements(template)
        if name == policy
    }


def below(prefix: str) -> dict[str, Any]:
    return {"StringLikeIfExists": {"s3:prefix": f"{prefix}*"}}


def of_a_function(name: str) -> Allowed:
    return {
        "Logs": (
            {"logs:CreateLogStream", "logs:PutLogEvents"},
            {f"<Archive{name}Logs.Arn>"},
            None,
        ),
        "Traces": ({"xray:PutTelemetryRecords", "xray:PutTraceSegments"}, {"*"}, None),
        "Images": ({"s3:GetObject", "s3:GetObjectVersion"}, {f"{INTAKE}/*"}, None),
        "Jobs": ({"s3:GetObject", "s3:PutObject"}, {f"{RESULTS}/jobs/*"}, None),
        "MissingJobs": ({"s3:ListBucket"}, {RESULTS}, below("jobs/")),
        "ReadKeys": ({"kms:Decrypt"}, {KEY}, S3),
        "WriteKey": ({"kms:GenerateDataKey"}, {KEY}, S3),
    }


def test_batch_function_may_do_this_and_nothing_else(template: Template) -> None:
    bus = f"arn:<AWS::Partition>:events:{HERE}:event-bus/default"
    assert allowed(template, "ArchiveBatchPolicy") == of_a_function("Batch") | {
        "MissingImages": ({"s3:ListBucket"}, {INTAKE}, None),
        "Records": ({"s3:GetObject", "s3:PutObject"}, {f"{RESULTS}/results/*"}, None),
        "MissingRecords": ({"s3:ListBucket"}, {RESULTS}, below("results/")),
        "Event": ({"events:PutEvents"}, {bus}, None),
    }


def test_planner_may_list_images_and_touches_no_result(template: Template) -> None:
    assert allowed(template, "ArchivePlannerPolicy") == of_a_function("Planner") | {
        "ListImages": ({"s3:ListBucket", "s3:ListBucketVersions"}, {INTAKE}, None),
    }


def test_state_machine_may_do_this_and_nothing_else(template: Template, settings: Settings) -> None:
    name = f"{settings.stack_name}-archive"
    states = f"arn:<AWS::Partition>:states:{HERE}"
    jobs = {f"{RESULTS}/jobs/*"}
    machine = f"{states}:stateMachine:{name}"
    found = allowed(template, "ArchiveMachinePolicy")
    for everywhere in ("Deliveries", "Traces"):
        assert found.pop(everywhere)[1] == {"*"}
    assert found == {
        "Functions": (
            {"lambda:InvokeFunction"},
            {"<ArchiveBatchFunction.Arn>", "<ArchivePlannerFunction.Arn>", "<LakeFunction.Arn>"},
            None,
        ),
        "MapRun": ({"states:StartExecution"}, {machine}, None),
        "Children": (
            {"states:DescribeExecution", "states:RedriveExecution", "states:StopExecution"},
            {f"{states}:execution:{name}:*", f"{states}:execution:{name}/Wave:*"},
            None,
        ),
        "Wave": ({"s3:GetObject"}, jobs, None),
        "WrittenResults": (
            {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"},
            jobs,
            None,
        ),
        "OwnData": (
            {"kms:Decrypt", "kms:GenerateDataKey"},
            {KEY},
            {"StringEquals": {"kms:EncryptionContext:aws:states:stateMachineArn": machine}},
        ),
        "OwnLogs": (
            {"kms:GenerateDataKey"},
            {KEY},
            {
                "StringEquals": {
                    "kms:EncryptionContext:SourceArn": f"arn:<AWS::Partition>:logs:{HERE}:*"
                }
            },
        ),
        "BucketKey": ({"kms:Decrypt", "kms:GenerateDataKey"}, {KEY}, S3),
    }


def test_policy_speaks_of_the_state_machine_that_is_made(
    template: Template, settings: Settings
) -> None:
    """Its name is written out in the policy, which must be there first."""
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    assert machine["StateMachineName"] == f"{settings.stack_name}-archive"
    assert plain(machine["RoleArn"]) == "<ArchiveMachineRole.Arn>"


@pytest.mark.slow
def test_archives_elsewhere_may_be_read_with_their_keys_and_not_written(
    tiny_models_folder: Path, tmp_path: Path
) -> None:
    import dataclasses

    settings = dataclasses.replace(
        load_settings("dev"),
        models=tiny_models_folder,
        archive_buckets=(ExistingBucket("pacs", PACS_KEY), ExistingBucket("old", None)),
    )
    template = synthesise(settings, tmp_path).template
    pacs, old = (f"arn:<AWS::Partition>:s3:::{name}" for name in ("pacs", "old"))
    for policy, listing in (
        ("ArchiveBatchPolicy", "MissingImages"),
        ("ArchivePlannerPolicy", "ListImages"),
    ):
        found = allowed(template, policy)
        assert found["Images"][1] == {f"{INTAKE}/*", f"{pacs}/*", f"{old}/*"}
        assert found[listing][1] == {INTAKE, pacs, old}
        assert found["ReadKeys"][1] == {KEY, PACS_KEY}
        assert found["WriteKey"][1] == {KEY}
