"""What the functions print, put where CloudWatch would have it: log groups, and metrics.

Metrics are log lines in the embedded metric format, as the functions write them for CloudWatch.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
"""

import json
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

FLUSH_S: Final = 0.5
"""How long lines are gathered before they are sent: `cxr logs` is no slower than on AWS."""

MAX_LINES: Final = 1_000
"""In one call; CloudWatch Logs takes ten times as many."""

MAX_METRICS: Final = 1_000
"""In one PutMetricData (CloudWatch quotas)."""


class _Line(NamedTuple):
    group: str
    stream: str
    milliseconds: int
    text: str


class LogShipper:
    """Takes lines from any thread and sends them from one of its own; a context manager.

    Args:
        logs: Client of CloudWatch Logs; the groups are there.
        cloudwatch: Client of CloudWatch.
    """

    def __init__(self, *, logs: Any, cloudwatch: Any) -> None:
        self._logs = logs
        self._cloudwatch = cloudwatch
        self._lines: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._streams: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="logs")

    def __enter__(self) -> Self:
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Send what is left, and stop."""
        self._lines.put(None)
        self._thread.join()

    def add(self, group: str, stream: str, text: str) -> None:
        """Take one line."""
        self._lines.put(_Line(group, stream, int(time.time() * 1000), text))

    def _run(self) -> None:
        more = True
        while more:
            lines: list[_Line] = []
            deadline: float | None = None
            while len(lines) < MAX_LINES:
                try:
                    wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
                    line = self._lines.get(timeout=wait_s)
                except queue.Empty:
                    break
                if line is None:
                    more = False
                    break
                lines.append(line)
                deadline = deadline or time.monotonic() + FLUSH_S
            self._send(lines)

    def _send(self, lines: list[_Line]) -> None:
        by_stream: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        metrics: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in lines:
            if line.text:  # CloudWatch takes no empty ones
                event = {"timestamp": line.milliseconds, "message": line.text}
                by_stream[line.group, line.stream].append(event)
            for namespace, data in embedded_metrics(line.text).items():
                metrics[namespace] += data
        for (group, stream), events in by_stream.items():
            if (group, stream) not in self._streams:
                self._logs.create_log_stream(logGroupName=group, logStreamName=stream)
                self._streams.add((group, stream))
            self._logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        for namespace, data in metrics.items():
            for start in range(0, len(data), MAX_METRICS):
                self._cloudwatch.put_metric_data(
                    Namespace=namespace, MetricData=data[start : start + MAX_METRICS]
                )


def embedded_metrics(line: str) -> dict[str, list[dict[str, Any]]]:
    """Metrics in a log line, as PutMetricData takes them, by namespace; none in any other line."""
    if not line.startswith("{") or '"_aws"' not in line:
        return {}
    try:
        document = json.loads(line)
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        when = datetime.fromtimestamp(document["_aws"]["Timestamp"] / 1000, UTC)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                found[directive["Namespace"]] += [
                    _datum(metric, document, dimensions, when) for metric in directive["Metrics"]
                ]
    except (ValueError, KeyError, TypeError):  # CloudWatch, too, keeps what it cannot read as text
        return {}
    return dict(found)


def _datum(
    metric: Mapping[str, Any], document: Mapping[str, Any], dimensions: list[str], when: datetime
) -> dict[str, Any]:
    value = document[metric["Name"]]
    return {
        "MetricName": metric["Name"],
        "Dimensions": [{"Name": name, "Value": str(document[name])} for name in dimensions],
        "Timestamp": when,
        "Unit": metric.get("Unit", "None"),
        "Values": value if isinstance(value, list) else [value],
    }
