"""Trouble for an archive job, from a seed: S3 throttles and breaks, processes die, one image kills.

A function process is killed only if the given process started it: nobody else's is touched.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote

from infra.bulk import BATCH_HANDLER
from infra.local_gate import Application, Environ, StartResponse

FAULTY: Final = 0.03
"""Share of calls to S3 that fail on a usual day."""

WORST: Final = 0.7
"""And while S3 is at its worst, so that four attempts of a client are not always enough."""

WORST_SECONDS: Final = 5.0
BETWEEN_WORST_SECONDS: Final = 40.0
"""On average."""

POISON: Final = "poison"
"""Whoever reads an image with this in its key dies of it."""

_ANSWERS: Final = (
    ("503 Slow Down", "SlowDown"),
    ("503 Service Unavailable", "ServiceUnavailable"),
    ("500 Internal Server Error", "InternalError"),
)


@dataclass(slots=True)
class FaultCounts:
    """What was done.

    Attributes:
        answers: Calls to S3 that failed.
        kills: Batch processes that were ended at random.
        poisoned: Times that an image killed its process.
        interruptions: Times that the command itself was ended.
    """

    answers: int = 0
    kills: int = 0
    poisoned: int = 0
    interruptions: int = 0


class FaultyS3:
    """Stands before moto's application, and fails calls to S3 once it is armed.

    Args:
        seed: Of the faults.
        counts: Where they are counted.
        poisoned: Called when an image with `POISON` in its key is read.
    """

    def __init__(self, seed: int, counts: FaultCounts, poisoned: Callable[[], None]) -> None:
        self.armed = False
        self._chances = random.Random(seed)
        self._counts = counts
        self._poisoned = poisoned
        self._worst_from = self._worst_to = 0.0

    def __call__(self, application: Application) -> Application:
        """The application with its faults."""

        def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            if not self.armed or "/s3/" not in environ.get("HTTP_AUTHORIZATION", ""):
                return application(environ, start_response)
            if self._chances.random() < self._share():
                self._counts.answers += 1
                status, code = self._chances.choice(_ANSWERS)
                start_response(status, [("Content-Type", "application/xml")])
                return [f"<Error><Code>{code}</Code><Message>trial</Message></Error>".encode()]
            if environ["REQUEST_METHOD"] == "GET" and POISON in unquote(environ["PATH_INFO"]):
                self._poisoned()
            return application(environ, start_response)

        return serve

    def _share(self) -> float:
        now = time.monotonic()
        if now > self._worst_to:
            self._worst_from = now + self._chances.expovariate(1 / BETWEEN_WORST_SECONDS)
            self._worst_to = self._worst_from + WORST_SECONDS
        return WORST if now >= self._worst_from else FAULTY


class BatchKiller:
    """Kills processes of the batch function; a context manager while it does so at random.

    Args:
        per_minute: Kills, on average.
        seed: Of the moments and victims.
        counts: Where they are counted.
    """

    def __init__(self, *, per_minute: float, seed: int, counts: FaultCounts) -> None:
        self.parent: int | None = None
        self._mean_s = 60 / per_minute
        self._chances = random.Random(seed)
        self._counts = counts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="killer")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()

    def poison(self) -> None:
        """Kill all of them: which one has read the image is not known."""
        killed = [_kill(number) for number in self._victims()]
        self._counts.poisoned += any(killed)

    def _run(self) -> None:
        while not self._stop.wait(self._chances.expovariate(1 / self._mean_s)):
            if victims := self._victims():
                self._counts.kills += _kill(self._chances.choice(victims))

    def _victims(self) -> list[int]:
        return batch_processes(self.parent) if self.parent is not None else []


def batch_processes(parent: int) -> list[int]:
    """Processes of the batch function that this process has started; from /proc (proc(5))."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if BATCH_HANDLER.encode() not in (folder / "cmdline").read_bytes():
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(folder.name))
    return found


def _kill(number: int) -> bool:
    """End a function's process and its children: `FunctionHost` makes it the head of a group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)
        return True
    return False
