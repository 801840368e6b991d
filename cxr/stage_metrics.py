"""What CloudWatch knows of a deployment: rates, errors, ages. Absent figures stay absent.

Source: CloudWatch API, GetMetricData; SQS developer guide, "Available CloudWatch metrics".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cxr.aws import translated
from cxr.deployment import Deployment
from lambdas.shared import metric_names

PERIOD_S: Final = 60
"""CloudWatch has no finer figures of SQS and Lambda."""

SPAN: Final = timedelta(hours=1)
"""Of errors and results."""

RATE_MINUTES: Final = 5
"""Of the rate: long enough to be steady, short enough to be now."""

RECENT: Final = timedelta(minutes=10)
"""How old an age may be: SQS reports once a minute, and CloudWatch shows it some minutes later."""

_LIMIT: Final = 500
"""Queries of one GetMetricData call."""

Key = tuple[str, str]
"""What a figure is of (a stage, or a dead letter queue), and which figure it is."""

ERRORS, THROTTLES, IMAGES, OLDEST = "errors", "throttles", "images", "oldest"
ANALYSED, REJECTED, DEAD_OLDEST = "analysed", "rejected", "dead_oldest"


@dataclass(frozen=True, slots=True)
class Figures:
    """Data points of the last hour.

    Attributes:
        points: Time and value, oldest first, by what they are of; no entry where there are none.
        at: End of the hour.
    """

    points: Mapping[Key, tuple[tuple[datetime, float], ...]]
    at: datetime

    def total(self, whose: str, figure: str) -> int | None:
        """Sum over the hour; None where nothing was reported."""
        found = self.points.get((whose, figure))
        return None if not found else round(sum(value for _, value in found))

    def per_minute(self, whose: str, figure: str) -> float | None:
        """Mean over the last `RATE_MINUTES`; None where nothing was reported in them."""
        since = self.at - timedelta(minutes=RATE_MINUTES)
        found = [
            value for when, value in self.points.get((whose, figure), ()) if when + _MINUTE > since
        ]
        return sum(found) / RATE_MINUTES if found else None

    def latest(self, whose: str, figure: str) -> float | None:
        """The newest value; None where it is not recent."""
        found = self.points.get((whose, figure))
        return found[-1][1] if found and found[-1][0] > self.at - RECENT else None


_MINUTE: Final = timedelta(seconds=PERIOD_S)


def read_figures(cloudwatch: Any, deployment: Deployment) -> Figures:
    """Ask CloudWatch for the last hour; about 25 figures, a fortieth of a cent.

    Args:
        cloudwatch: Client.
        deployment: Which one.
    """
    now = datetime.now(UTC)
    wanted = dict(_queries(deployment))
    keys = list(wanted)
    found: dict[Key, list[tuple[datetime, float]]] = {}
    with translated("reading metrics", needs="cloudwatch:GetMetricData"):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[
                {"Id": f"m{number}", "MetricStat": wanted[key]} for number, key in enumerate(keys)
            ],
            StartTime=now - SPAN,
            EndTime=now,
            ScanBy="TimestampAscending",
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                points = zip(result["Timestamps"], result["Values"], strict=True)
                found.setdefault(keys[int(result["Id"][1:])], []).extend(points)
    return Figures({key: tuple(sorted(points)) for key, points in found.items() if points}, now)


def _queries(deployment: Deployment) -> Iterable[tuple[Key, dict[str, Any]]]:
    namespace = deployment.metrics_namespace
    for stage in deployment.stages:
        for figure, metric in ((ERRORS, "Errors"), (THROTTLES, "Throttles")):
            yield (
                (stage.name, figure),
                _metric("AWS/Lambda", metric, "Sum", FunctionName=stage.function),
            )
        service = {metric_names.STAGE_DIMENSION: stage.name}
        yield (
            (stage.name, IMAGES),
            _metric(namespace, metric_names.IMAGE_MILLISECONDS, "SampleCount", **service),
        )
        yield (stage.name, OLDEST), _age(stage.queue_url)
    for queue in deployment.dead_letter_queues:
        yield (queue.whose, DEAD_OLDEST), _age(queue.url)
    last = {metric_names.STAGE_DIMENSION: deployment.stages[-1].name}
    for figure, metric in (
        (ANALYSED, metric_names.IMAGES_ANALYSED),
        (REJECTED, metric_names.IMAGES_REJECTED),
    ):
        yield (deployment.stages[-1].name, figure), _metric(namespace, metric, "Sum", **last)


def _age(queue_url: str) -> dict[str, Any]:
    name = queue_url.rpartition("/")[2]
    return _metric("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", QueueName=name)


def _metric(namespace: str, name: str, statistic: str, **dimensions: str) -> dict[str, Any]:
    return {
        "Metric": {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        },
        "Period": PERIOD_S,
        "Stat": statistic,
    }
