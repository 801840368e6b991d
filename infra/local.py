"""The whole pipeline on one machine: moto's services, the real handlers, pollers between them.

    with EmbeddedCloud(LocalSettings(models=Path("models/demo"))) as cloud:
        cloud.client("s3").upload_file("scan.dcm", cloud.intake_bucket, "images/scan.dcm")
        for result in cloud.watcher().read(wait_s=5): ...

Built from `infra.pipeline`, from which the stack is built too. What is different from AWS: nobody
checks permissions, memory is not limited, and everything is gone when it ends. A shorter visibility
timeout is the one setting that may depart from the stack's, so that a retry can be waited for.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from infra.event_source import Delivery, EventSource, QueueClient
from infra.function_host import Function, FunctionHost
from infra.local_logs import LogShipper
from infra.local_results import ResultWatcher
from infra.local_server import ACCESS_KEY, ACCOUNT, REGION, LocalServer
from infra.local_template import (
    EVENT_BUS,
    INTAKE_BUCKET,
    METRICS_NAMESPACE,
    PROCESSED_QUEUE,
    RESULTS_BUCKET,
    create_stack,
    function_name,
    local_template,
    log_group_name,
)
from infra.pipeline import INTAKE_PREFIX, STAGES, Resources, StageSpec, stage_environment
from lambdas.shared.bundle import load_pair
from lambdas.shared.flow import Stage

FAREWELL_S: Final = 5.0
"""How long to wait for threads whose processes have been ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """What may be chosen.

    Attributes:
        models: Folder with the bundles `classifier` and `detector`.
        port: Of the endpoint; 0 for any.
        workers: Processes of each stage: the concurrency of its queue.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Further formats of results, comma separated.
        passthrough: DICOM attributes to carry into the records, comma separated.
        visibility_seconds: Of all queues; None for each stage's own.
        watch: Told of every batch that a stage's function was invoked with, in any thread.
        trouble: Told of calls between the parts that failed, in any thread; they are tried again.
        wrap_queue: Given the queue client of a poller, returns the one to poll with; for trials.
    """

    models: Path
    port: int = 0
    workers: int = 1
    detect_all: bool = False
    formats: str = ""
    passthrough: str = ""
    visibility_seconds: int | None = None
    watch: Callable[[Stage, Delivery], None] = lambda stage, delivery: None
    trouble: Callable[[Exception], None] = lambda error: None
    wrap_queue: Callable[[Any], QueueClient] = lambda client: client


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many messages a stage has.

    Attributes:
        waiting: To be received, now or after a delay.
        in_work: In the hands of a function.
        set_aside: Failed, or of a function that ended; they come back after the visibility timeout.
        dead: In the dead letter queue.
    """

    waiting: int
    in_work: int
    set_aside: int
    dead: int


@dataclass(slots=True)
class _Running:
    """One stage at work."""

    hosts: list[FunctionHost]
    source: EventSource


class EmbeddedCloud:
    """A context manager; one in a process.

    Args:
        settings: What may be chosen.

    Raises:
        ContractError: The models or the port cannot be used.

    Attributes:
        endpoint: URL of all its services.
        resources: Names of buckets and queues, as the functions know them.
        model_set: Of its results.
    """

    intake_bucket: Final = INTAKE_BUCKET
    intake_prefix: Final = INTAKE_PREFIX
    results_bucket: Final = RESULTS_BUCKET

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self.pair = load_pair(settings.models)
        self.model_set = self.pair.model_set
        self._server = LocalServer(settings.port)
        self.endpoint = self._server.endpoint
        self._running: dict[Stage, _Running] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start everything; one process of each function loads its models meanwhile."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._server)
            self._deploy()
            logs = stack.enter_context(
                LogShipper(logs=self.client("logs"), cloudwatch=self.client("cloudwatch"))
            )
            stack.callback(self._stop)
            for stage in STAGES:
                self._start(stage, logs)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process at once; nothing is kept."""
        self._stack.close()

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud."""
        return self._server.client(service)

    def watcher(self, keep: Path | None = None) -> ResultWatcher:
        """Tells of finished images.

        Args:
            keep: Folder that results are copied to as they come; None for none.
        """
        return ResultWatcher(
            sqs=self.client("sqs"),
            s3=self.client("s3"),
            queue_url=self._processed_queue,
            endpoint=self.endpoint,
            keep=keep,
        )

    def counts(self) -> dict[Stage, QueueCounts]:
        """Messages of every stage."""
        return {stage.name: self._counts(stage.name) for stage in STAGES}

    def source(self, stage: Stage) -> EventSource:
        """What feeds a stage's function."""
        return self._running[stage].source

    def hosts(self) -> list[FunctionHost]:
        """Everything that runs functions."""
        return [host for running in self._running.values() for host in running.hosts]

    def _deploy(self) -> None:
        """Create what the template says."""
        template = local_template(
            model_set=self.model_set, visibility_seconds=self._settings.visibility_seconds
        )
        self.outputs = create_stack(self.client, template)
        self._sqs = self.client("sqs")
        self._processed_queue = self._sqs.get_queue_url(QueueName=PROCESSED_QUEUE)["QueueUrl"]
        self.resources = Resources(
            intake_bucket=INTAKE_BUCKET,
            results_bucket=RESULTS_BUCKET,
            queue_urls={
                stage.name: self.outputs[f"{stage.name.capitalize()}Queue"] for stage in STAGES
            },
            event_bus=EVENT_BUS,
            metrics_namespace=METRICS_NAMESPACE,
        )

    def _start(self, stage: StageSpec, logs: LogShipper) -> None:
        function = self.function(stage)
        hosts = [
            FunctionHost(function, partial(logs.add, function.log_group))
            for _ in range(self._settings.workers)
        ]
        url = self.resources.queue_urls[stage.name]
        source = EventSource(
            self._settings.wrap_queue(self.client("sqs")),
            queue_url=url,
            queue_arn=self._attributes(url)["QueueArn"],
            batch_size=stage.batch_size,
            watch=partial(self._settings.watch, stage.name),
            trouble=self._settings.trouble,
        )
        self._running[stage.name] = _Running(hosts, source)
        hosts[0].warm()
        source.start([host.invoke for host in hosts])

    def function(self, stage: StageSpec) -> Function:
        """A stage's function as Lambda would have it."""
        settings = self._settings
        name = function_name(stage.name)
        return Function(
            name=name,
            arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
            handler=stage.handler,
            timeout_s=stage.timeout_seconds,
            memory_mb=stage.memory_mb,
            log_group=log_group_name(stage.name),
            environment=stage_environment(
                stage,
                self.resources,
                models=str(settings.models.resolve()),
                detect_all=settings.detect_all,
                formats=settings.formats,
                passthrough=settings.passthrough,
            )
            | endpoint_environment(self.endpoint),
        )

    def _stop(self) -> None:
        for running in self._running.values():
            running.source.stop()
        for host in self.hosts():
            host.close()
        for running in self._running.values():
            running.source.join(FAREWELL_S)

    def _attributes(self, url: str) -> dict[str, str]:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return dict(answer["Attributes"])

    def _counts(self, stage: Stage) -> QueueCounts:
        queue = self._attributes(self.resources.queue_urls[stage])
        dead = self._attributes(self.outputs[f"{stage.capitalize()}DeadLetterQueue"])
        in_work = self._running[stage].source.in_hand
        hidden = int(queue["ApproximateNumberOfMessagesNotVisible"])
        return QueueCounts(
            waiting=int(queue["ApproximateNumberOfMessages"])
            + int(queue["ApproximateNumberOfMessagesDelayed"]),
            in_work=in_work,
            set_aside=max(0, hidden - in_work),
            dead=int(dead["ApproximateNumberOfMessages"]),
        )


def endpoint_environment(endpoint: str) -> dict[str, str]:
    """Variables with which an AWS client finds the embedded cloud, and no other."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
