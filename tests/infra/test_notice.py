"""The topic tells of each result, to whom it may concern, and loses none that it cannot tell."""

import pytest

from tests.infra.alone import synthesise_alone
from tests.infra.synthesis import Template, of_type, plain, require_cdk, statements
from tests.infra.test_stack_checks import lint


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    require_cdk()
    from infra.data_key import DataKey
    from infra.notice import Notice

    def make(stack: object) -> None:
        key = DataKey(stack, "Data", keep_data=False).key
        Notice(stack, "Notice", event_bus="default", key=key)

    made = synthesise_alone(tmp_path_factory.mktemp("notice"), make)
    (path,) = made.folder.glob("*.template.json")
    assert lint(path) == []
    return made.template


def test_the_topic_is_encrypted_with_the_stacks_key_and_reached_by_tls_alone(template):
    (topic,) = of_type(template, "AWS::SNS::Topic").values()
    assert plain(topic["KmsMasterKeyId"]) == "<DataKey.Arn>"
    denied = [each for _, each in statements(template) if each["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [each["Condition"] for each in denied]


def test_rules_alone_may_publish(template):
    """Without a condition: EventBridge would match none (infra/notice.py)."""
    (policy,) = of_type(template, "AWS::SNS::TopicPolicy").values()
    allowed = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    assert plain(allowed) == [
        {
            "Sid": "Rules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": "<NoticeTopic>",
        }
    ]


def test_the_key_may_be_used_for_this_stacks_topics(template):
    (key,) = of_type(template, "AWS::KMS::Key").values()
    (found,) = [each for each in key["KeyPolicy"]["Statement"] if each.get("Sid") == "Notices"]
    condition = plain(found["Condition"])["ArnLike"]["kms:EncryptionContext:aws:sns:topicArn"]
    assert condition.endswith(":trial-*")
    assert found["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_the_rule_matches_our_event_and_sends_it_whole(template):
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert rule["EventPattern"] == {
        "source": ["cxr-batch"],
        "detail-type": ["Radiograph Processed"],
    }
    assert rule["EventBusName"] == "default"
    (target,) = rule["Targets"]
    assert plain(target["Arn"]) == "<NoticeTopic>"
    assert not {"Input", "InputPath", "InputTransformer", "RoleArn"} & set(target)


def test_what_cannot_be_told_is_kept_for_two_weeks(template):
    (queue,) = of_type(template, "AWS::SQS::Queue").values()
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    assert plain(rule["Targets"][0]["DeadLetterConfig"]) == {"Arn": "<NoticeDeadLetters.Arn>"}
    sends = [each for _, each in statements(template) if each["Action"] == "sqs:SendMessage"]
    assert [plain(each["Condition"]["ArnEquals"]) for each in sends] == [
        {"aws:SourceArn": "<NoticeResults.Arn>"}
    ]
