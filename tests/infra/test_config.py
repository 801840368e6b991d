"""Settings of an environment: checked as a whole, and told apart from what is not one."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import CDK_JSON, Settings, load_settings, read_context
from infra.pipeline import STAGES
from infra.setting_readers import READERS, ExistingBucket
from lambdas.shared.errors import ConfigError

KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

LEAST: dict[str, Any] = {
    "models": "models/demo",
    "architecture": "x86_64",
    "keep_data": True,
    "log_days": 30,
    "superseded_days": 7,
    "access_log_days": 7,
}


def settings(**changes: Any) -> Settings:
    return Settings.from_context({"environments": {"trial": LEAST | changes}}, "trial")


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_shipped_environments_are_complete(environment: str) -> None:
    """Every setting stands there, so that nobody has to look for what can be set."""
    assert set(read_context()["environments"][environment]) == set(READERS)
    assert load_settings(environment).models.is_dir()


def test_production_keeps_its_data_and_development_does_not() -> None:
    assert load_settings("prod").keep_data
    assert not load_settings("dev").keep_data


def test_default_environment_is_the_one_the_file_names() -> None:
    assert load_settings() == load_settings(read_context()["environment"])


def test_stages_are_the_pipelines_with_overrides() -> None:
    classify, detect, report = settings(
        memory_mb={"classify": 4096}, max_concurrency={"report": 7}
    ).stages
    assert (classify.memory_mb, classify.max_concurrency) == (4096, STAGES[0].max_concurrency)
    assert detect == STAGES[1]
    assert (report.memory_mb, report.max_concurrency) == (STAGES[2].memory_mb, 7)


def test_existing_buckets_are_read() -> None:
    read = settings(
        intake_bucket={"name": "films", "key_arn": KEY_ARN},
        results_bucket={"name": "results", "key_arn": None},
        archive_buckets=[{"name": "pacs", "key_arn": None}],
    )
    assert read.intake_bucket == ExistingBucket("films", KEY_ARN)
    assert read.results_bucket == ExistingBucket("results", None)
    assert read.archive_buckets == (ExistingBucket("pacs", None),)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models", ""),
        ("models", 3),
        ("architecture", "arm"),  # Lambda calls it arm64
        ("keep_data", "yes"),
        ("log_days", 31),  # CloudWatch keeps 30 or 60
        ("log_days", True),  # equals 1 in Python
        ("superseded_days", 0),
        ("access_log_days", 1.5),
        ("memory_mb", {"classify": 64}),
        ("memory_mb", {"clasify": 3008}),
        ("memory_mb", 3008),
        ("max_concurrency", {"detect": 1}),  # an event source's least is 2
        ("detect_all", 1),
        ("formats", "dicom-sr,pdf"),
        ("formats", ["fhir"]),
        ("alarm_age_minutes", -1),
        ("alarm_email", "radiology"),
        ("vpc_cidr", "8.8.8.0/24"),  # public
        ("vpc_cidr", "10.0.0.1/24"),  # host bits
        ("vpc_cidr", "10.0.0.0/30"),  # too small for two subnets
        ("intake_bucket", "films"),
        ("intake_bucket", {"name": "films"}),  # its key must be decided on
        ("results_bucket", {"name": "Films", "key_arn": None}),
        ("archive_buckets", {"name": "pacs", "key_arn": None}),  # not a list
        ("archive_buckets", [None]),
        ("archive_buckets", [{"name": "pacs", "key_arn": None}] * 2),  # twice
        ("archive_concurrency", 0),
        ("archive_concurrency", 1_001),
        ("results_bucket", {"name": "films", "key_arn": "alias/films"}),
    ],
)
def test_wrong_value_is_named_with_what_is_expected(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        settings(**{name: value})
    assert f"environment trial: {name} is {json.dumps(value)}, expected " in str(raised.value)


def test_every_problem_is_listed_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        Settings.from_context(
            {"environments": {"trial": {"log_days": 31, "colour": 1, "models": "m"}}}, "trial"
        )
    message = str(raised.value)
    for problem in (
        "architecture is missing",
        "keep_data is missing",
        "superseded_days is missing",
        "access_log_days is missing",
        "log_days is 31",
        "colour is unknown",
    ):
        assert problem in message


@pytest.mark.parametrize(
    ("context", "environment", "says"),
    [
        ({}, "dev", "context.environments is missing"),
        ({"environments": {"dev": LEAST}}, "test", "choose from dev"),
        ({"environments": {"dev": LEAST}}, None, "no environment None"),
        ({"environments": {"Dev_1": LEAST}}, "Dev_1", "the name must match"),
        ({"environments": {"dev": []}}, "dev", "is list, expected an object"),
    ],
)
def test_environment_that_cannot_be_is_refused(
    context: dict[str, Any], environment: str | None, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        Settings.from_context(context, environment)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"context": []}'])
def test_file_that_is_not_cdk_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cdk.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"cdk\.json"):
        read_context(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="FileNotFoundError"):
        load_settings("dev", tmp_path / "cdk.json")


def test_cdk_json_stands_at_the_root() -> None:
    assert (CDK_JSON.parent / "pyproject.toml").is_file()
