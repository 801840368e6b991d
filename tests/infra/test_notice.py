"""The topic tells of each result, to whom it may concern, and loses none that it cannot tell."""

from tests.infra.synthesis import of_type, plain, statements


def test_the_topic_is_encrypted_with_the_stacks_key_and_reached_by_tls_alone(template):
    topic = of_type(template, "AWS::SNS::Topic")["NoticeTopic"]
    assert plain(topic["KmsMasterKeyId"]) == "<DataKey.Arn>"
    policy = [each for name, each in statements(template) if name == "NoticeTopicPolicy"]
    denied = [each for each in policy if each["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [each["Condition"] for each in denied]


def test_rules_alone_may_publish(template):
    """Without a condition: EventBridge would match none (infra/notice.py)."""
    policy = of_type(template, "AWS::SNS::TopicPolicy")["NoticeTopicPolicy"]
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
    assert condition.endswith(":cxr-batch-dev-*")
    assert found["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_the_rule_matches_our_event_and_sends_it_whole(template):
    rule = of_type(template, "AWS::Events::Rule")["NoticeResults"]
    assert rule["EventPattern"] == {
        "source": ["cxr-batch"],
        "detail-type": ["Radiograph Processed"],
    }
    assert rule["EventBusName"] == "default"
    (target,) = rule["Targets"]
    assert plain(target["Arn"]) == "<NoticeTopic>"
    assert not {"Input", "InputPath", "InputTransformer", "RoleArn"} & set(target)


def test_what_cannot_be_told_is_kept_for_two_weeks(template):
    queue = of_type(template, "AWS::SQS::Queue")["NoticeDeadLetters"]
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    rule = of_type(template, "AWS::Events::Rule")["NoticeResults"]
    assert plain(rule["Targets"][0]["DeadLetterConfig"]) == {"Arn": "<NoticeDeadLetters.Arn>"}
    policy = [each for name, each in statements(template) if name == "NoticeDeadLettersPolicy"]
    sends = [each for each in policy if each["Action"] == "sqs:SendMessage"]
    assert [plain(each["Condition"]["ArnEquals"]) for each in sends] == [
        {"aws:SourceArn": "<NoticeResults.Arn>"}
    ]
