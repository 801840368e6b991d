"""Many images in several processes, with a progress bar."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lambdas.shared.errors import TransientError

Job = TypeVar("Job")
Result = TypeVar("Result")

LINES_IN_A_LOG: Final = 20
"""Where there is no terminal, progress is a line in the log each time this part is done."""


class WorkerDiedError(TransientError):
    """A worker process was ended from outside, by the kernel for want of memory as a rule."""


def default_workers() -> int:
    """As many as this process may use cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, workers: int, title: str
) -> Iterator[Result]:
    """Apply a function to every job and yield the results as they come, in any order.

    Args:
        function: A module's function, so that worker processes can import it.
        jobs: Small values that can be pickled.
        workers: Processes; 1 works in this one.
        title: Of the progress bar.

    Raises:
        WorkerDiedError: A worker was killed. What has been yielded stays done.
        Exception: Whatever the function raises; the remaining jobs are dropped.
    """
    with _Progress(title, len(jobs)) as progress:
        if workers <= 1:
            for job in jobs:
                yield function(job)
                progress.advance()
            return
        # spawned, not forked: threads of the progress bar and of boto3 do not survive a fork
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(workers, max(1, len(jobs))), mp_context=context)
        try:
            futures: list[Future[Result]] = [pool.submit(function, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
                progress.advance()
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                f"a worker of {workers} died, mostly for want of memory; run the same command "
                "again with fewer --workers, what is done stays done"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Progress:
    """A bar on a terminal, a few lines in a log."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._console = Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        self._bar.advance(self._task)
        step = max(1, self._total // LINES_IN_A_LOG)
        if not self._console.is_terminal and (self._done % step == 0 or self._done == self._total):
            self._console.print(f"{self._title} {self._done}/{self._total}")
