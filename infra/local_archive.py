"""An archive job without Step Functions: the same functions, run as the state machine runs them.

    plan ─▶ every batch of the wave, some at a time ─▶ plan ─▶ …

A child is tried again for what may work later, as the state machine does; one that dies leaves no
outcome, and the planner decides. Killed, this leaves the job as a stopped execution would.
"""

import json
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from infra.bulk import (
    BATCH_HANDLER,
    BATCH_SIZE,
    PLAN_HANDLER,
    PLANNER_SIZE,
    RETRIED_ERRORS,
    RETRY_BACKOFF,
    bulk_environment,
)
from infra.function_host import Function, FunctionHost
from infra.local import endpoint_environment
from infra.local_server import ACCOUNT, REGION
from infra.local_template import function_name, log_group_name
from infra.pipeline import Resources
from lambdas.batch.job import FunctionSize
from lambdas.shared.errors import StorageUnavailableError

LOCAL_RETRY_SECONDS: Final = 0.2
"""Before the first retry; the state machine waits ten times longer, for a busier cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalArchiveSettings:
    """Where and how a job runs.

    Attributes:
        endpoint: URL of the embedded cloud.
        resources: Its buckets and bus.
        models: Folder of the bundles.
        workers: Batches at the same time, each in a process of its own.
        environment: Further variables of the functions; for trials.
        timeout_seconds: Of a batch; None for the deployed one's. For trials.
        log: Takes group, stream and line of what the functions print
            (`local_logs.LogShipper.add`).
    """

    endpoint: str
    resources: Resources
    models: Path
    workers: int
    environment: Mapping[str, str]
    timeout_seconds: int | None = None
    log: Callable[[str, str, str], None] = lambda group, stream, line: None


class LocalArchive:
    """Runs jobs; a context manager, since processes stand behind it.

    Args:
        settings: Where and how.
    """

    def __init__(self, settings: LocalArchiveSettings) -> None:
        self._settings = settings
        self._planner = self._host("planner", PLAN_HANDLER, PLANNER_SIZE)
        self._hosts = [
            self._host("batch", BATCH_HANDLER, BATCH_SIZE) for _ in range(settings.workers)
        ]
        self._idle: queue.SimpleQueue[FunctionHost] = queue.SimpleQueue()
        for host in self._hosts:
            self._idle.put(host)
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        """Start one process; the others start with their first batch."""
        self._hosts[0].warm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process at once."""
        self._stopping.set()
        for host in (self._planner, *self._hosts):
            host.close()

    def hosts(self) -> list[FunctionHost]:
        """Everything that runs batches."""
        return list(self._hosts)

    def run(
        self,
        job: str,
        *,
        ran: int,
        store: Any,
        told: Callable[[Mapping[str, Any]], None],
        beginning: Callable[[Mapping[str, Any]], None] = lambda request: None,
    ) -> str:
        """Run a job to its end; its status, `running` if `stop` came first.

        Args:
            job: Name; job.json is there.
            ran: Last wave that was run; 0 for a new job.
            store: Reads the waves (`lambdas.batch.job_store.S3JobStore`).
            told: Called with the planner's answer, and with each batch's.
            beginning: Called with each batch before anything of it is done, in any thread.

        Raises:
            StorageUnavailableError: The planner could not be run.
        """
        while True:
            planned = self._invoke_again(self._planner, {"job": job, "ran": ran}, PLANNER_SIZE)
            if planned is None:
                raise StorageUnavailableError(
                    "the planner died; `cxr archive resume` goes on from where it was"
                )
            told(planned)
            if planned["status"] != "running" or self._stopping.is_set():
                return str(planned["status"])
            ran = planned["wave"]
            requests = store.read_json(planned["items_key"])
            with ThreadPoolExecutor(len(self._hosts)) as pool:
                for answer in pool.map(partial(self._child, beginning), requests):
                    if answer is not None:
                        told(answer)
            if self._stopping.is_set():  # what was not begun is not to be counted as dead
                return "running"

    def stop(self) -> None:
        """Begin no further batch; those in hand are finished, and the job can be resumed."""
        self._stopping.set()

    def _child(
        self, beginning: Callable[[Mapping[str, Any]], None], request: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        host = self._idle.get()
        try:
            if self._stopping.is_set():
                return None
            beginning(request)
            return self._invoke_again(host, {"request": request}, BATCH_SIZE)
        finally:
            self._idle.put(host)

    def _invoke_again(
        self, host: FunctionHost, event: Mapping[str, Any], size: FunctionSize
    ) -> Mapping[str, Any] | None:
        """Invoke, with the state machine's retries; None where the function gave no answer."""
        wait = LOCAL_RETRY_SECONDS
        for retry in range(size.attempts):
            try:
                outcome = host.invoke(json.dumps({**event, "retry_count": retry}).encode())
            except RuntimeError:  # closed meanwhile
                return None
            if outcome.error is None:
                answer: Mapping[str, Any] = json.loads(outcome.payload)
                return answer
            if outcome.error.type not in RETRIED_ERRORS:
                return None
            self._stopping.wait(wait)
            wait *= RETRY_BACKOFF
        return None

    def _host(self, name: str, handler: str, size: FunctionSize) -> FunctionHost:
        function = self._function(name, handler, size)
        return FunctionHost(function, partial(self._settings.log, function.log_group))

    def _function(self, name: str, handler: str, size: FunctionSize) -> Function:
        settings = self._settings
        return Function(
            name=function_name(name),
            arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function_name(name)}",
            handler=handler,
            timeout_s=settings.timeout_seconds or size.timeout_seconds,
            memory_mb=size.memory_mb,
            log_group=log_group_name(name),
            environment=bulk_environment(settings.resources, models=str(settings.models.resolve()))
            | endpoint_environment(settings.endpoint)
            | dict(settings.environment),
        )
