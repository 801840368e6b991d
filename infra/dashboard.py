"""One page that tells whether images flow, how long they take, what fails, and what it costs."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.parts import Parts
from infra.pipeline import StageSpec
from infra.prices import AS_OF, LAMBDA_GB_SECOND, LAMBDA_REQUEST, REGION
from lambdas.shared import metric_names as names
from lambdas.shared.bundle import Bundle
from lambdas.shared.flow import FIRST_STAGE, Stage

PERIOD: Final = Duration.minutes(5)
SLOW_PERIOD: Final = Duration.hours(1)
"""Of what needs many images to mean anything."""

COLUMNS: Final = 24
ROW_WIDGETS: Final = 3
HEIGHT: Final = 7

SCORE_EDGES: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Bins of the probability's distribution."""

_SUM: Final = cloudwatch.Stats.SUM
_MAXIMUM: Final = cloudwatch.Stats.MAXIMUM


class Dashboard(Construct):
    """The page, named as the stack."""

    def __init__(self, scope: Construct, name: str, *, parts: Parts, classifier: Bundle) -> None:
        super().__init__(scope, name)
        self._parts = parts
        threshold = classifier.facts["operating_point"]["threshold"]
        given_up = {str(stage): queue.dead_letters for stage, queue in parts.queues.items()}
        given_up["rule"] = parts.rule.dead_letters
        cloudwatch.Dashboard(
            self,
            "Page",
            dashboard_name=Stack.of(self).stack_name,
            default_interval=Duration.hours(12),
            widgets=[
                [self._throughput(), self._latency(), self._failures()],
                [
                    _graph(
                        "Oldest message",
                        {
                            stage: queue.queue.metric_approximate_age_of_oldest_message(
                                period=PERIOD, statistic=_MAXIMUM
                            )
                            for stage, queue in parts.queues.items()
                        },
                        unit="seconds",
                    ),
                    _graph(
                        "Messages waiting",
                        {stage: _depth(queue.queue) for stage, queue in parts.queues.items()},
                    ),
                    _graph(
                        "Given up: messages in dead letter queues",
                        {whose: _depth(queue) for whose, queue in given_up.items()},
                    ),
                ],
                [self._percentiles(threshold), self._distribution(), self._abnormal()],
                [*self._costs(), self._oddities()],
                self._archive_jobs(),
            ],
        )

    def _emitted(
        self,
        stage: Stage | Literal["batch"],
        metric: str,
        statistic: str = _SUM,
        period: Duration = PERIOD,
        label: str | None = None,
    ) -> cloudwatch.Metric:
        """One of `lambdas.shared.metric_names`."""
        return cloudwatch.Metric(
            namespace=self._parts.settings.metrics_namespace,
            metric_name=metric,
            dimensions_map={names.STAGE_DIMENSION: stage},
            statistic=statistic,
            period=period,
            label=label,
        )

    def _throughput(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Images done in 5 minutes",
            {
                "analysed": self._emitted("report", names.IMAGES_ANALYSED),
                "rejected": self._emitted("report", names.IMAGES_REJECTED),
            },
            stacked=True,
        )

    def _latency(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Time for one image",
            {
                f"{stage} {statistic}": self._emitted(stage, names.IMAGE_MILLISECONDS, statistic)
                for stage in self._parts.functions
                for statistic in ("p50", "p95")
            },
            unit="ms",
        )

    def _percentiles(self, threshold: float) -> cloudwatch.GraphWidget:
        return _graph(
            "Probability of the positive label",
            {
                statistic: self._emitted(FIRST_STAGE, names.PROBABILITY, statistic)
                for statistic in ("p10", "p50", "p90")
            },
            highest=1,
            mark=(threshold, "operating point"),
        )

    def _distribution(self) -> cloudwatch.GraphWidget:
        return _graph(
            "Distribution of the probability",
            {
                f"{low:.1f} to {high:.1f}": self._emitted(
                    FIRST_STAGE, names.PROBABILITY, f"PR({low}:{high})", SLOW_PERIOD
                )
                for low, high in pairwise(SCORE_EDGES)
            },
            stacked=True,
            unit="% of images",
            highest=100,
        )

    def _abnormal(self) -> cloudwatch.GraphWidget:
        abnormal = cloudwatch.MathExpression(
            expression="100 * FILL(abnormal, 0) / assessed",
            using_metrics={
                "abnormal": self._emitted(FIRST_STAGE, names.ABNORMAL),
                "assessed": self._emitted(
                    FIRST_STAGE, names.PROBABILITY, cloudwatch.Stats.SAMPLE_COUNT
                ),
            },
            period=SLOW_PERIOD,
        )
        return _graph("Called abnormal", {"abnormal": abnormal}, unit="% of images", highest=100)

    def _costs(self) -> list[cloudwatch.IWidget]:
        """Lambda only: the other services together cost a small part of it."""
        where = f"Lambda, {REGION} list prices of {AS_OF}"
        each = {str(stage.name): self._lambda_cost(stage) for stage in self._parts.settings.stages}
        all_images = cloudwatch.MathExpression(
            # without FILL a stage that did nothing would leave no figure at all
            expression=f"1000 * ({' + '.join(f'FILL({stage}, 0)' for stage in each)})"
            " / (FILL(analysed, 0) + FILL(rejected, 0))",
            using_metrics={
                **each,
                "analysed": self._emitted("report", names.IMAGES_ANALYSED, period=SLOW_PERIOD),
                "rejected": self._emitted("report", names.IMAGES_REJECTED, period=SLOW_PERIOD),
            },
            label="1,000 images",
            period=SLOW_PERIOD,
        )
        return [
            _graph(f"Estimated cost an hour ({where})", each, stacked=True, unit="USD"),
            _graph("Estimated cost of 1,000 images", {"1,000 images": all_images}, unit="USD"),
        ]

    def _oddities(self) -> cloudwatch.GraphWidget:
        """What is handled without anybody's help, and should be rare."""
        return _graph(
            "Duplicates, restarts, images gone before they were read",
            {
                f"{stage} {label}": self._emitted(stage, metric)
                for stage in self._parts.functions
                for metric, label in (
                    (names.DUPLICATES, "duplicates"),
                    (names.RESTARTED, "restarted"),
                    (names.IMAGES_GONE, "gone"),
                )
            },
        )

    def _archive_jobs(self) -> list[cloudwatch.IWidget]:
        """Empty while no job runs; the children of a map run are calls of the batch function."""
        archive = self._parts.archive
        run = {"batch": archive.batch.function, "planner": archive.planner.function}
        images = {"analysed": names.IMAGES_ANALYSED, "rejected": names.IMAGES_REJECTED}
        calls: dict[str, cloudwatch.IMetric] = {
            "batches begun": run["batch"].metric_invocations(period=PERIOD)
        }
        for whose, function in run.items():
            calls[f"{whose} errors"] = function.metric_errors(period=PERIOD)
            calls[f"{whose} throttled"] = function.metric_throttles(period=PERIOD)
        for outcome in ("Failed", "TimedOut", "Aborted"):
            calls[f"executions: {outcome}"] = cloudwatch.Metric(
                namespace="AWS/States",
                metric_name=f"Executions{outcome}",
                dimensions_map={"StateMachineArn": archive.machine.ref},
                statistic=_SUM,
                period=PERIOD,
            )
        return [
            _graph(
                "Archive jobs: images done in 5 minutes",
                {label: self._emitted("batch", metric) for label, metric in images.items()},
                stacked=True,
            ),
            _graph("Archive jobs: batches, and what failed", calls),
            _graph(
                "Archive jobs: time for one batch",
                {
                    statistic: run["batch"].metric_duration(period=PERIOD, statistic=statistic)
                    for statistic in ("p50", "p95", _MAXIMUM)
                },
                unit="ms",
            ),
        ]

    def _failures(self) -> cloudwatch.GraphWidget:
        run = {stage: part.function for stage, part in self._parts.functions.items()}
        return _graph(
            "Errors and throttles",
            {f"{stage} errors": each.metric_errors(period=PERIOD) for stage, each in run.items()}
            | {
                f"{stage} throttled": each.metric_throttles(period=PERIOD)
                for stage, each in run.items()
            },
        )

    def _lambda_cost(self, stage: StageSpec) -> cloudwatch.MathExpression:
        """Duration, memory and requests at list price; starting up, billed as well, is left out."""
        function = self._parts.functions[stage.name].function
        gb_second = LAMBDA_GB_SECOND[self._parts.settings.architecture].usd
        millisecond = gb_second * stage.memory_mb / 1024 / 1000
        duration, requests = f"{stage.name}_ms", f"{stage.name}_requests"
        return cloudwatch.MathExpression(
            # no exponent: CloudWatch takes its e for the name of a metric
            expression=f"{duration} * {millisecond:.15f} + {requests} * {LAMBDA_REQUEST.usd:.9f}",
            using_metrics={
                duration: function.metric_duration(statistic=_SUM, period=SLOW_PERIOD),
                requests: function.metric_invocations(period=SLOW_PERIOD),
            },
            period=SLOW_PERIOD,
        )


def _depth(queue: sqs.IQueue) -> cloudwatch.Metric:
    return queue.metric_approximate_number_of_messages_visible(period=PERIOD, statistic=_MAXIMUM)


def _graph(
    title: str,
    lines: Mapping[str, cloudwatch.IMetric] | Mapping[Stage, cloudwatch.IMetric],
    *,
    stacked: bool = False,
    unit: str | None = None,
    highest: float | None = None,
    mark: tuple[float, str] | None = None,
) -> cloudwatch.GraphWidget:
    """A graph of labelled lines from 0 upwards, with one value marked."""
    return cloudwatch.GraphWidget(
        title=title,
        left=[line.with_(label=label) for label, line in lines.items()],
        stacked=stacked,
        width=COLUMNS // ROW_WIDGETS,
        height=HEIGHT,
        left_y_axis=cloudwatch.YAxisProps(min=0, max=highest, label=unit, show_units=unit is None),
        left_annotations=[cloudwatch.HorizontalAnnotation(value=mark[0], label=mark[1])]
        if mark
        else [],
    )
