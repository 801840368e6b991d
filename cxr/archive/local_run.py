"""Archive jobs over the embedded cloud, run by the command itself in processes of its own."""

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cxr.archive.files import JobFiles
from cxr.deployment import Deployment
from lambdas.batch.job import (
    JOBS_PREFIX,
    BatchOutcome,
    BatchRequest,
    outcome_key,
    stop_key,
    to_document,
    wave_key,
)
from lambdas.batch.state import State
from lambdas.shared.errors import CxrError, InvalidRequestError

NOW: Final = "now"
"""What a stop marker says where batches in hand are to be dropped."""


def begun_key(job: str, wave: int, number: int) -> str:
    """Key that says that a batch was begun; without it nothing of the batch was done."""
    return f"{JOBS_PREFIX}{job}/begun/{wave:05d}/{number:06d}"


@contextmanager
def job_lock(endpoint: str, job: str) -> Iterator[None]:
    """Hold a job: nobody else on this machine runs it meanwhile, and a killed holder lets go.

    Raises:
        InvalidRequestError: Somebody holds it.
    """
    with _lock_file(endpoint, job).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidRequestError(
                f"job {job} is running; `cxr archive watch {job} --local` follows it, "
                f"`cxr archive stop {job} --local` ends it"
            ) from error
        yield


def is_held(endpoint: str, job: str) -> bool:
    """Whether somebody runs a job."""
    try:
        with job_lock(endpoint, job):
            return False
    except InvalidRequestError:
        return True


def _lock_file(endpoint: str, job: str) -> Path:
    name = hashlib.sha256(f"{endpoint} {job}".encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"cxr-archive-{os.getuid()}-{name}.lock")


class LocalRun(threading.Thread):
    """Runs a job's waves; a thread, so that the command can show how it goes.

    Args:
        deployment: The embedded cloud's.
        files: Of its jobs.
        job: Name.
        ran: Last wave that was run.
        models: Folder of the bundles.
        workers: Batches at the same time.
    """

    def __init__(
        self,
        deployment: Deployment,
        files: JobFiles,
        job: str,
        *,
        ran: int,
        models: Path,
        workers: int,
    ) -> None:
        super().__init__(name=f"job-{job}", daemon=True)
        from infra.local_archive import LocalArchive, LocalArchiveSettings
        from infra.local_logs import LogShipper
        from infra.pipeline import Resources

        self._files, self._job, self._ran = files, job, ran
        self.error: CxrError | None = None
        self.exit_code = 0
        self._logs = LogShipper(
            logs=deployment.cloud.client("logs"), cloudwatch=deployment.cloud.client("cloudwatch")
        )
        self._archive = LocalArchive(
            LocalArchiveSettings(
                endpoint=str(deployment.cloud.endpoint),
                resources=Resources(
                    intake_bucket=deployment.intake_bucket,
                    results_bucket=deployment.results_bucket,
                    queue_urls={},
                    event_bus=deployment.outputs["EventBus"],
                    metrics_namespace=deployment.metrics_namespace,
                ),
                models=models,
                workers=workers,
                environment={},
                log=self._logs.add,
            )
        )

    def run(self) -> None:
        """Until the job ends, or `finish` or `drop` is called."""
        try:
            with self._logs, self._archive:
                self._archive.run(
                    self._job,
                    ran=self._ran,
                    store=self._files,
                    told=self._told,
                    beginning=self._beginning,
                )
        except CxrError as error:
            self.error = error

    def finish(self) -> None:
        """Begin no further batch; those in hand are finished."""
        self._archive.stop()

    def drop(self) -> None:
        """End the batches in hand as well."""
        self._archive.stop()
        for host in self._archive.hosts():
            host.close()

    def _beginning(self, request: Mapping[str, Any]) -> None:
        key = begun_key(self._job, request["wave"], request["number"])
        self._files.write(key, b"")

    def _told(self, answer: Mapping[str, Any]) -> None:
        """After each batch: whether somebody wants it to end at once."""
        marker = self._files.read_json(stop_key(self._job))
        if marker is not None and marker.get("when") == NOW:
            self.finish()


def settle_unbegun(files: JobFiles, state: State, job: str) -> None:
    """Say of batches that an interruption left before they were begun that nothing was done.

    The planner would take them for dead, and charge them at their worst.
    """
    wave = state.planned
    requests = files.read_json(wave_key(job, wave)) or []
    numbers = range(len(requests))
    ended = files.exist([outcome_key(job, wave, number) for number in numbers])
    begun = files.exist([begun_key(job, wave, number) for number in numbers])
    for number in numbers:
        if ended[number] or begun[number]:
            continue
        images = BatchRequest.from_document(requests[number]).images
        outcome = replace(BatchOutcome(wave, number), left=images)
        files.write_json(outcome_key(job, wave, number), to_document(outcome))
