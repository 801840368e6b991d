"""From a function's output to log groups and metrics."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local_logs import LogShipper, embedded_metrics


def line(**changes: Any) -> str:
    """As Powertools writes it."""
    directive = {
        "Namespace": "CxrBatch/local",
        "Dimensions": [["service"]],
        "Metrics": [
            {"Name": "ImagesAnalysed", "Unit": "Count"},
            {"Name": "ImageMilliseconds", "Unit": "Milliseconds"},
        ],
    }
    document = {
        "_aws": {"Timestamp": 1_795_399_763_364, "CloudWatchMetrics": [directive]},
        "service": "report",
        "ImagesAnalysed": [1.0, 1.0],
        "ImageMilliseconds": 92.2,
    }
    return json.dumps(document | changes)


def test_metrics_are_read_with_dimension_unit_and_every_value() -> None:
    found = embedded_metrics(line())
    assert list(found) == ["CxrBatch/local"]
    counted, timed = found["CxrBatch/local"]
    assert counted["MetricName"] == "ImagesAnalysed"
    assert counted["Dimensions"] == [{"Name": "service", "Value": "report"}]
    assert (counted["Unit"], counted["Values"]) == ("Count", [1.0, 1.0])
    assert (timed["Unit"], timed["Values"]) == ("Milliseconds", [92.2])
    assert timed["Timestamp"].isoformat() == "2026-11-23T02:09:23.364000+00:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text",
        '{"level": "INFO", "message": "done"}',
        '{"_aws": broken',
        '{"_aws": {"Timestamp": 1}}',
        line(_aws={"Timestamp": "yesterday", "CloudWatchMetrics": []}),
        json.dumps({"message": 'says "_aws"'}),
    ],
)
def test_any_other_line_holds_no_metrics(text: str) -> None:
    assert embedded_metrics(text) == {}


class Logs:
    """CloudWatch Logs and CloudWatch, as far as they are asked."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], list[str]] = {}
        self.metrics: list[str] = []

    def create_log_stream(self, *, logGroupName: str, logStreamName: str) -> None:
        assert (logGroupName, logStreamName) not in self.streams, "made once"
        self.streams[logGroupName, logStreamName] = []

    def put_log_events(
        self, *, logGroupName: str, logStreamName: str, logEvents: list[dict[str, Any]]
    ) -> None:
        times = [event["timestamp"] for event in logEvents]
        assert times == sorted(times), "CloudWatch takes them in order alone"
        messages = [event["message"] for event in logEvents]
        self.streams[logGroupName, logStreamName] += messages

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        self.metrics += [f"{Namespace} {data['MetricName']}" for data in MetricData]


def test_lines_of_many_threads_arrive_whole_and_in_the_order_of_their_stream() -> None:
    logs = Logs()
    with LogShipper(logs=logs, cloudwatch=logs) as shipper, ThreadPoolExecutor(4) as pool:

        def write(stream: int) -> None:
            for number in range(500):
                shipper.add("group", f"{stream}", f"{number}")

        list(pool.map(write, range(4)))
    wanted = [str(number) for number in range(500)]
    assert logs.streams == {("group", f"{stream}"): wanted for stream in range(4)}


def test_empty_lines_are_left_out_and_metrics_are_kept_as_text_too() -> None:
    logs = Logs()
    with LogShipper(logs=logs, cloudwatch=logs) as shipper:
        for text in ("", "a", line()):
            shipper.add("group", "stream", text)
    assert logs.streams == {("group", "stream"): ["a", line()]}
    assert logs.metrics == ["CxrBatch/local ImagesAnalysed", "CxrBatch/local ImageMilliseconds"]
