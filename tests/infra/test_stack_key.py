"""The key's policy: which services use it, on whose behalf; moto knows nothing of it."""

from typing import Any

import pytest

from infra.data_key import ACCOUNT_ACTIONS
from tests.infra.synthesis import Template, of_type, plain

KMS_FIELD = {
    "AWS::S3::Bucket": None,  # tests of the buckets look at theirs
    "AWS::SQS::Queue": "KmsMasterKeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::Logs::LogGroup": "KmsKeyId",
}


@pytest.fixture
def policy(template: Template) -> dict[str, dict[str, Any]]:
    key = plain(of_type(template, "AWS::KMS::Key")["DataKey"])
    return {statement["Sid"]: statement for statement in key["KeyPolicy"]["Statement"]}


def test_key_is_one_and_rotates(template: Template) -> None:
    keys = of_type(template, "AWS::KMS::Key")
    assert list(keys) == ["DataKey"]
    assert keys["DataKey"]["EnableKeyRotation"] is True


@pytest.mark.parametrize("kind", ["AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::Logs::LogGroup"])
def test_everything_that_holds_data_uses_it(template: Template, kind: str) -> None:
    resources = of_type(template, kind)
    assert resources
    assert {plain(each[KMS_FIELD[kind]]) for each in resources.values()} == {"<DataKey.Arn>"}


def test_policy_speaks_to_the_account_and_the_services_that_use_the_key(
    policy: dict[str, Any],
) -> None:
    assert {sid: statement["Principal"] for sid, statement in policy.items()} == {
        "AccountThroughIam": {"AWS": "arn:<AWS::Partition>:iam::<AWS::AccountId>:root"},
        "Rules": {"Service": "events.amazonaws.com"},
        "Alarms": {"Service": "cloudwatch.amazonaws.com"},
        "LogGroups": {"Service": "logs.<AWS::Region>.amazonaws.com"},
        "Notices": {"Service": "events.amazonaws.com"},
        "StateMachineLogs": {"Service": "delivery.logs.amazonaws.com"},
    }


def test_account_keeps_the_power_to_change_the_policy(policy: dict[str, Any]) -> None:
    """KMS refuses a policy that locks its owner out."""
    actions = set(policy["AccountThroughIam"]["Action"])
    assert actions == set(ACCOUNT_ACTIONS)
    assert {"kms:PutKeyPolicy", "kms:Decrypt", "kms:GenerateDataKey"} <= actions


@pytest.mark.parametrize(
    ("sid", "source"),
    [
        ("Rules", "arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:rule/{stack}-*"),
        (
            "Alarms",
            "arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:{stack}-*",
        ),
    ],
)
def test_services_may_send_for_this_stack_alone(
    policy: dict[str, Any], settings: Any, sid: str, source: str
) -> None:
    assert policy[sid]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert policy[sid]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "<AWS::AccountId>"},
        "ArnLike": {"aws:SourceArn": source.format(stack=settings.stack_name)},
    }


def test_logs_are_those_of_this_stack(policy: dict[str, Any], settings: Any) -> None:
    assert policy["LogGroups"]["Condition"] == {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": "arn:<AWS::Partition>:logs:<AWS::Region>:"
            f"<AWS::AccountId>:log-group:{settings.stack_name}-*"
        }
    }
    assert {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"} <= set(
        policy["LogGroups"]["Action"]
    )


def test_names_that_the_policy_relies_on_are_left_to_cloudformation(template: Template) -> None:
    """It begins them with the stack's name: rules and log groups without a name of their own."""
    for kind, field in (("AWS::Events::Rule", "Name"), ("AWS::Logs::LogGroup", "LogGroupName")):
        assert all(field not in each for each in of_type(template, kind).values())


def test_alarms_are_named_after_the_stack(template: Template, settings: Any) -> None:
    names = [alarm["AlarmName"] for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()]
    assert names
    assert all(name.startswith(f"{settings.stack_name}-") for name in names)
