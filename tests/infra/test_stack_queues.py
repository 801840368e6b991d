"""Rule, queues and event source mappings: what must hold for no image to be lost."""

import pytest

from infra.config import Settings
from infra.pipeline import STAGES, StageSpec, upload_pattern
from tests.infra.synthesis import Template, of_type, plain, statements

stages = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)

DAY_S = 24 * 3600

RULES = {
    "ClassifyQueuePolicy": "IntakeUploads",
    "IntakeDeadLettersPolicy": "IntakeUploads",
    "NoticeDeadLettersPolicy": "NoticeResults",
}
"""By policy of a queue: the one rule that may send to it."""


def title(stage: StageSpec) -> str:
    return stage.name.capitalize()


def test_every_stage_has_a_queue_and_a_dead_letter_queue(template: Template) -> None:
    expected = {f"{title(stage)}{kind}" for stage in STAGES for kind in ("Queue", "DeadLetters")}
    of_rules = {"IntakeDeadLetters", "NoticeDeadLetters"}
    assert set(of_type(template, "AWS::SQS::Queue")) == expected | of_rules


@stages
def test_message_is_hidden_six_times_as_long_as_the_function_may_run(
    template: Template, stage: StageSpec
) -> None:
    queue = of_type(template, "AWS::SQS::Queue")[f"{title(stage)}Queue"]
    function = of_type(template, "AWS::Lambda::Function")[f"{title(stage)}Function"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert queue["VisibilityTimeout"] <= 12 * 3600  # the most that SQS takes


@stages
def test_message_is_tried_five_times_before_it_is_given_up(
    template: Template, stage: StageSpec
) -> None:
    queue = plain(of_type(template, "AWS::SQS::Queue")[f"{title(stage)}Queue"])
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == f"<{title(stage)}DeadLetters.Arn>"


@stages
def test_attempts_end_before_the_message_expires(template: Template, stage: StageSpec) -> None:
    queue = of_type(template, "AWS::SQS::Queue")[f"{title(stage)}Queue"]
    attempts_s = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
    assert attempts_s < queue["MessageRetentionPeriod"]


@stages
def test_dead_letters_outlive_the_queue_that_they_came_from(
    template: Template, stage: StageSpec
) -> None:
    """A message's age goes on counting, so two weeks are what is left after the first queue."""
    queues = of_type(template, "AWS::SQS::Queue")
    kept = queues[f"{title(stage)}DeadLetters"]["MessageRetentionPeriod"]
    assert kept == 14 * DAY_S
    assert kept - queues[f"{title(stage)}Queue"]["MessageRetentionPeriod"] >= 7 * DAY_S


def test_queue_is_reached_by_tls_alone(template: Template) -> None:
    for queue in of_type(template, "AWS::SQS::Queue"):
        assert {
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "sqs:*",
            "Resource": f"<{queue}.Arn>",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        } in [statement for name, statement in statements(template) if name == f"{queue}Policy"]


def test_only_the_rule_may_send_to_a_queue_by_its_policy(template: Template) -> None:
    allowed = {
        name: statement
        for name, statement in statements(template)
        if name in {f"{queue}Policy" for queue in of_type(template, "AWS::SQS::Queue")}
        and statement["Effect"] == "Allow"
    }
    assert set(allowed) == set(RULES)
    for name, statement in allowed.items():
        assert statement == {
            "Sid": "ThisRule",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"<{name.removesuffix('Policy')}.Arn>",
            "Condition": {
                "ArnEquals": {"aws:SourceArn": f"<{RULES[name]}.Arn>"},
                "StringEquals": {"aws:SourceAccount": "<AWS::AccountId>"},
            },
        }


def test_uploads_go_to_the_first_queue_or_to_the_rules_own_dead_letters(
    template: Template,
) -> None:
    rule = plain(of_type(template, "AWS::Events::Rule")["IntakeUploads"])
    assert rule["State"] == "ENABLED"
    assert rule["EventPattern"] == upload_pattern("<StorageIntake>")
    assert rule["Targets"] == [
        {
            "Id": "FirstStage",
            "Arn": "<ClassifyQueue.Arn>",
            "DeadLetterConfig": {"Arn": "<IntakeDeadLetters.Arn>"},
            "RetryPolicy": {"MaximumEventAgeInSeconds": DAY_S, "MaximumRetryAttempts": 185},
        }
    ]
    assert "EventBusName" not in rule  # S3 sends to the default bus alone


@stages
def test_mapping_reports_each_failure_and_caps_concurrency(
    template: Template, settings: Settings, stage: StageSpec
) -> None:
    (mapping,) = (
        plain(mapping)
        for name, mapping in of_type(template, "AWS::Lambda::EventSourceMapping").items()
        if name.startswith(title(stage))
    )
    configured = next(each for each in settings.stages if each.name == stage.name)
    mapping.pop("Tags")
    assert mapping == {  # no batching window: an image waits for no other
        "FunctionName": f"<{title(stage)}Function>",
        "EventSourceArn": f"<{title(stage)}Queue.Arn>",
        "BatchSize": stage.batch_size,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": configured.max_concurrency},
    }


def test_one_out_of_memory_takes_no_neighbour_where_models_or_pages_are_drawn() -> None:
    assert {stage.name: stage.batch_size for stage in STAGES if stage.name != "classify"} == {
        "detect": 1,
        "report": 1,
    }
