"""The lake in the stack: the tables of `lambdas.lake`, filled every night by leave of few."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import load_settings
from lambdas.lake.queries import queries
from lambdas.lake.step import LakeSettings, parse_request
from lambdas.lake.tables import FINDINGS, RECORDS
from tests.infra.alone import synthesise_alone
from tests.infra.synthesis import Template, listed, of_type, plain, require_cdk, statements

DATABASE = "cxr_batch_dev"


def with_keys(folder: Path, models: Path) -> Template:
    """The construct alone, where keys are asked for."""
    require_cdk()
    from infra.data_key import DataKey
    from infra.images import stage_context
    from infra.lake import Lake
    from infra.storage import Storage

    settings = load_settings("dev")

    def make(stack: Any) -> None:
        key = DataKey(stack, "Data", keep_data=False).key
        Lake(
            stack,
            "Lake",
            settings=settings,
            results=Storage(stack, "Storage", settings=settings, key=key).results,
            context=stage_context("lake", models=models, out=folder / "contexts"),
            key=key,
            with_keys=True,
        )

    return synthesise_alone(folder / "cdk.out", make).template


def tables(template: Template) -> dict[str, dict]:
    found = of_type(template, "AWS::Glue::Table").values()
    return {table["TableInput"]["Name"]: table["TableInput"] for table in found}


@pytest.mark.parametrize(("table", "expected"), [("records", RECORDS), ("findings", FINDINGS)])
def test_tables_have_the_columns_of_the_files_each_with_its_meaning(template, table, expected):
    declared = tables(template)[table]
    found = [(each["Name"], each["Comment"]) for each in declared["StorageDescriptor"]["Columns"]]
    assert found == [(each.name, each.meaning) for each in expected if not each.key]
    assert [(each["Name"], each["Type"]) for each in declared["PartitionKeys"]] == [
        ("model_set", "string"),
        ("date", "date"),
    ]
    assert (
        plain(declared["StorageDescriptor"]["Location"]) == f"s3://<StorageResults>/lake/{table}/"
    )


@pytest.mark.slow
def test_columns_that_may_identify_are_declared_only_if_asked_for(tmp_path, tiny_models_folder):
    asked = tables(with_keys(tmp_path, tiny_models_folder))["records"]
    names = {each["Name"] for each in asked["StorageDescriptor"]["Columns"]}
    assert {"source_key", "source_tags"} <= names


def test_every_query_is_at_hand_in_athena(template):
    found = of_type(template, "AWS::Athena::NamedQuery").values()
    assert {(each["Name"], each["QueryString"], each["Database"]) for each in found} == {
        (query.name, query.sql, DATABASE) for query in queries()
    }
    assert {each["WorkGroup"] for each in found} == {"cxr-batch-dev"}


def test_answers_are_encrypted_and_a_query_cannot_read_without_end(template):
    (workgroup,) = of_type(template, "AWS::Athena::WorkGroup").values()
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 100 * 1024**3
    answers = plain(configuration["ResultConfiguration"])
    assert answers["OutputLocation"] == "s3://<StorageResults>/athena/"
    assert answers["EncryptionConfiguration"] == {
        "EncryptionOption": "SSE_KMS",
        "KmsKey": "<DataKey.Arn>",
    }


def test_the_function_may_do_what_it_does_and_nothing_else(template):
    allowed = {
        statement["Sid"]: (set(listed(statement["Action"])), listed(statement["Resource"]))
        for name, statement in statements(template)
        if name == "LakeFunctionPolicy"
    }
    bucket = "<StorageResults.Arn>"
    assert allowed["Records"] == ({"s3:GetObject"}, [f"{bucket}/results/*"])
    assert allowed["Lake"] == (
        {"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"},
        [f"{bucket}/lake/*"],
    )
    actions, resources = allowed["Partitions"]
    assert actions == {"glue:BatchCreatePartition"}
    assert {each.rpartition(":")[2] for each in resources} == {
        "catalog",
        f"database/{DATABASE}",
        f"table/{DATABASE}/records",
        f"table/{DATABASE}/findings",
    }
    assert set(allowed) == {
        "Logs",
        "Traces",
        "ListRecords",
        "ListLake",
        "Records",
        "Lake",
        "BucketKey",
        "Partitions",
    }


def test_the_functions_settings_are_those_it_reads(template):
    function = of_type(template, "AWS::Lambda::Function")["LakeFunction"]
    environment = plain(function["Environment"]["Variables"])
    assert LakeSettings.from_env(environment) == LakeSettings(
        "<StorageResults>", DATABASE, with_keys=False
    )


def test_the_last_days_are_compacted_every_night(template):
    from datetime import date

    rule = of_type(template, "AWS::Events::Rule")["LakeNightly"]
    assert rule["ScheduleExpression"].startswith("cron(")
    (target,) = rule["Targets"]
    scope = parse_request(json.loads(target["Input"]), today=date(2026, 2, 10))
    assert (scope.part, scope.since) == (None, date(2026, 2, 8))
    permission = of_type(template, "AWS::Lambda::Permission")["LakeNightlyMayCall"]
    assert plain(permission["SourceArn"]) == "<LakeNightly.Arn>"
    assert permission["Principal"] == "events.amazonaws.com"
