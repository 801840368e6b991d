"""Alarms, their topic, and the dashboard."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from infra.config import Settings
from infra.pipeline import STAGES
from infra.prices import LAMBDA_GB_SECOND, LAMBDA_REQUEST
from lambdas.shared import metric_names
from lambdas.shared.bundle import load_bundle
from tests.infra.synthesis import REPOSITORY, Template, of_type, plain, statements

NAMES = [stage.name for stage in STAGES]


@pytest.fixture
def alarms(template: Template, settings: Settings) -> dict[str, dict[str, Any]]:
    """By name, without the stack's."""
    return {
        alarm["AlarmName"].removeprefix(f"{settings.stack_name}-"): plain(alarm)
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
    }


def watched(alarm: dict[str, Any]) -> tuple[str, str, str, str]:
    (dimension,) = alarm["Dimensions"]
    return alarm["Namespace"], alarm["MetricName"], dimension["Name"], dimension["Value"]


def test_everything_that_can_go_wrong_has_an_alarm(
    alarms: dict[str, dict[str, Any]],
) -> None:
    expected = {
        "rule-dead-letters": (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "QueueName",
            "<IntakeDeadLetters.QueueName>",
        ),
        "rule-lost-events": (
            "AWS/Events",
            "InvocationsFailedToBeSentToDlq",
            "RuleName",
            "<IntakeUploads>",
        ),
    }
    batch, planner = ("FunctionName", "<ArchiveBatchFunction>"), "<ArchivePlannerFunction>"
    expected |= {
        "notice-dead-letters": (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "QueueName",
            "<NoticeDeadLetters.QueueName>",
        ),
        "archive-failed": (
            "AWS/States",
            "ExecutionsFailed",
            "StateMachineArn",
            "<ArchiveMachine>",
        ),
        "batch-errors": ("AWS/Lambda", "Errors", *batch),
        "batch-throttled": ("AWS/Lambda", "Throttles", *batch),
        "planner-errors": ("AWS/Lambda", "Errors", "FunctionName", planner),
        "lake-errors": ("AWS/Lambda", "Errors", "FunctionName", "<LakeFunction>"),
    }
    for name in NAMES:
        title = name.capitalize()
        function = ("FunctionName", f"<{title}Function>")
        expected |= {
            f"{name}-dead-letters": (
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                "QueueName",
                f"<{title}DeadLetters.QueueName>",
            ),
            f"{name}-waiting": (
                "AWS/SQS",
                "ApproximateAgeOfOldestMessage",
                "QueueName",
                f"<{title}Queue.QueueName>",
            ),
            f"{name}-errors": ("AWS/Lambda", "Errors", *function),
            f"{name}-throttled": ("AWS/Lambda", "Throttles", *function),
        }
    assert {name: watched(alarm) for name, alarm in alarms.items()} == expected


def test_alarm_is_sent_and_no_data_is_no_alarm(alarms: dict[str, dict[str, Any]]) -> None:
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == ["<AlarmsTopic>"]
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["AlarmDescription"]


def test_one_message_given_up_is_enough(alarms: dict[str, dict[str, Any]]) -> None:
    for name in (*NAMES, "rule"):
        alarm = alarms[f"{name}-dead-letters"]
        assert (alarm["Threshold"], alarm["EvaluationPeriods"], alarm["Statistic"]) == (
            1,
            1,
            "Maximum",
        )


def test_waiting_is_measured_in_the_settings_minutes(
    alarms: dict[str, dict[str, Any]], settings: Settings
) -> None:
    for name in NAMES:
        assert alarms[f"{name}-waiting"]["Threshold"] == settings.alarm_age_minutes * 60


def test_only_this_stacks_alarms_may_publish(template: Template, settings: Settings) -> None:
    allowed, denied = [], []
    for name, statement in statements(template):
        if name == "AlarmsTopicPolicy":
            (allowed if statement["Effect"] == "Allow" else denied).append(statement)
    (only,) = allowed
    assert only["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert only["Action"] == "sns:Publish"
    assert only["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "<AWS::AccountId>"},
        "ArnLike": {
            "aws:SourceArn": "arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>"
            f":alarm:{settings.stack_name}-*"
        },
    }
    assert [statement["Condition"] for statement in denied] == [
        {"Bool": {"aws:SecureTransport": "false"}}
    ]


@pytest.fixture
def widgets(template: Template) -> dict[str, dict[str, Any]]:
    """The dashboard's, by title."""
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    body = json.loads(plain(dashboard["DashboardBody"]))
    return {widget["properties"]["title"]: widget["properties"] for widget in body["widgets"]}


def test_dashboard_shows_every_metric_that_the_functions_emit(
    widgets: dict[str, dict[str, Any]], settings: Settings
) -> None:
    shown = {
        metric[1]
        for widget in widgets.values()
        for metric in widget["metrics"]
        if metric[0] == settings.metrics_namespace
    }
    assert shown == set(metric_names.METRICS)


def test_own_metrics_are_found_by_the_stage_alone(
    widgets: dict[str, dict[str, Any]], settings: Settings
) -> None:
    """Another dimension would be another metric, and the graph empty."""
    for widget in widgets.values():
        for metric in widget["metrics"]:
            if metric[0] == settings.metrics_namespace:
                assert metric[2] == metric_names.STAGE_DIMENSION
                assert metric[3] in (*NAMES, "batch")


def test_functions_emit_what_the_dashboard_looks_for(
    template: Template, settings: Settings
) -> None:
    """Telemetry under the template's environment: a name that differs is a graph without a line."""
    function = plain(of_type(template, "AWS::Lambda::Function")["ClassifyFunction"])
    code = (
        "from lambdas.shared import metric_names, telemetry\n"
        "for name in metric_names.METRICS: telemetry.count(name)\n"
        "telemetry.metrics.flush_metrics()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=function["Environment"]["Variables"],
        capture_output=True,
        text=True,
        check=True,
    )
    emitted = json.loads(done.stdout)
    (emf,) = emitted["_aws"]["CloudWatchMetrics"]
    assert emf["Namespace"] == settings.metrics_namespace
    assert emf["Dimensions"] == [[metric_names.STAGE_DIMENSION]]
    assert emitted[metric_names.STAGE_DIMENSION] == "classify"
    assert {metric["Name"] for metric in emf["Metrics"]} == set(metric_names.METRICS)


@pytest.mark.parametrize(
    "says", ["Images", "Time", "Errors", "Oldest", "dead letter", "Distribution", "cost"]
)
def test_dashboard_has_what_operators_ask_for(
    widgets: dict[str, dict[str, Any]], says: str
) -> None:
    assert [title for title in widgets if says in title]


def test_dashboard_has_a_row_for_archive_jobs(widgets: dict[str, dict[str, Any]]) -> None:
    row = {title: each for title, each in widgets.items() if title.startswith("Archive jobs: ")}
    assert len(row) == 3
    lines = [metric[:4] for each in row.values() for metric in each["metrics"]]
    shown = {(namespace, name, where) for namespace, name, _, where in lines}
    machine, batch, planner = (
        "<ArchiveMachine>",
        "<ArchiveBatchFunction>",
        "<ArchivePlannerFunction>",
    )
    assert {(name, where) for namespace, name, where in shown if namespace == "AWS/Lambda"} == {
        ("Invocations", batch),
        ("Duration", batch),
        *((name, where) for name in ("Errors", "Throttles") for where in (batch, planner)),
    }
    assert {(name, where) for namespace, name, where in shown if namespace == "AWS/States"} == {
        (f"Executions{outcome}", machine) for outcome in ("Failed", "TimedOut", "Aborted")
    }
    own = {(name, where) for namespace, name, where in shown if namespace[:4] != "AWS/"}
    assert own == {
        (name, "batch") for name in (metric_names.IMAGES_ANALYSED, metric_names.IMAGES_REJECTED)
    }


def test_scores_are_binned_without_gaps(widgets: dict[str, dict[str, Any]]) -> None:
    (widget,) = (each for title, each in widgets.items() if "Distribution" in title)
    edges = [
        re.fullmatch(r"PR\((.+):(.+)\)", metric[-1]["stat"]).groups()  # type: ignore[union-attr]
        for metric in widget["metrics"]
    ]
    assert [float(low) for low, _ in edges] == [i / 10 for i in range(10)]
    assert [high for _, high in edges[:-1]] == [low for low, _ in edges[1:]]
    assert float(edges[-1][1]) == 1


def test_operating_point_is_the_bundles(
    widgets: dict[str, dict[str, Any]], settings: Settings
) -> None:
    (mark,) = widgets["Probability of the positive label"]["annotations"]["horizontal"]
    facts = load_bundle(settings.models / "classifier").facts
    assert mark["value"] == facts["operating_point"]["threshold"]


def test_cost_is_duration_times_memory_times_price(
    widgets: dict[str, dict[str, Any]], settings: Settings
) -> None:
    (widget,) = (each for title, each in widgets.items() if "cost an hour" in title)
    expressions = {
        metric[0]["label"]: metric[0]["expression"]
        for metric in widget["metrics"]
        if "expression" in metric[0]
    }
    second, million = 1000, 1_000_000
    for stage in settings.stages:
        priced = re.fullmatch(
            rf"{stage.name}_ms \* ([\d.]+) \+ {stage.name}_requests \* ([\d.]+)",
            expressions[stage.name],
        )
        assert priced, expressions[stage.name]
        gb_second = float(priced[1]) * second / (stage.memory_mb / 1024)
        assert gb_second == pytest.approx(LAMBDA_GB_SECOND[settings.architecture].usd, rel=1e-5)
        assert float(priced[2]) * million == pytest.approx(LAMBDA_REQUEST.usd * million)


def test_widgets_do_not_overlap(template: Template) -> None:
    (dashboard,) = of_type(template, "AWS::CloudWatch::Dashboard").values()
    taken: set[tuple[int, int]] = set()
    for widget in json.loads(plain(dashboard["DashboardBody"]))["widgets"]:
        area = {
            (widget["x"] + x, widget["y"] + y)
            for x in range(widget["width"])
            for y in range(widget["height"])
        }
        assert not area & taken
        assert widget["x"] + widget["width"] <= 24
        taken |= area
