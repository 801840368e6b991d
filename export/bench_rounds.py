"""Backends in turn: one long-lived process each, one at work at a time, in an order that rotates.

A machine that slows down for a minute then slows all of them, not the one that happened to run.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from export.bench_backends import Backend
from export.bench_machine import BusyMeter
from lambdas.shared.errors import ContractError

PAUSE_S: Final = 0.05
"""Between two turns: threads of the one before spin a little while before they sleep."""

LAST_LINES: Final = 15
"""Of a failed process's output, in the error."""


@dataclass
class Measured:
    """What one backend did.

    Attributes:
        backend: Which.
        rounds: Milliseconds of each timed run, by round.
        load_s: Seconds from imported to ready, for each fresh process.
        start_s: Seconds from nothing to ready, imports included, likewise.
        peak_mb: Most memory of its process, in MB.
        processor_s: Processor time of the timed runs.
        wall_s: Wall time of the timed runs.
    """

    backend: Backend
    rounds: list[list[float]] = field(default_factory=list)
    load_s: list[float] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    processor_s: float = 0.0
    wall_s: float = 0.0

    def note_start(self, told: dict[str, Any]) -> None:
        """Remember what a fresh process said of its loading."""
        self.load_s.append(told["load_s"])
        self.start_s.append(told["start_s"])


class Child:
    """A process that holds one backend.

    Args:
        backend: Which.
        log: Where its warnings and errors go.

    Raises:
        ContractError: It ended; the message has the last lines that it wrote.
    """

    def __init__(self, backend: Backend, log: Path) -> None:
        self._name, self._log = backend.name, log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "export.bench_child", json.dumps(asdict(backend))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={
                    **os.environ,
                    "ORT_DISABLE_TELEMETRY": "1",
                    "CXR_BENCH_BEGUN": repr(time.monotonic()),
                },
            )
        self.started = self._read()

    def run(self, times: int) -> dict[str, Any]:
        """One untimed run and so many timed ones."""
        stream: IO[str] = self._process.stdin  # type: ignore[assignment]
        with contextlib.suppress(BrokenPipeError):  # `_read` says why
            stream.write(f"{times}\n")
            stream.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> dict[str, Any]:
        stream: IO[str] = self._process.stdout  # type: ignore[assignment]
        line = stream.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
        self.close()
        last = "\n".join(self._log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        raise ContractError(f"backend {self._name!r} ended; the last it wrote:\n{last}")


def order(count: int, round_number: int) -> list[int]:
    """Who goes when: forwards, then backwards, and after these two the next one begins."""
    if count == 0:
        return []
    first = (round_number // 2) % count
    turns = [*range(first, count), *range(first)]
    return turns[::-1] if round_number % 2 else turns


def measure(
    backends: Sequence[Backend],
    *,
    rounds: int,
    logs: Path,
    meter: BusyMeter,
    tell: Callable[[str], None],
) -> list[Measured]:
    """Measure backends against each other.

    Args:
        backends: In the order of the results.
        rounds: Turns of each.
        logs: Folder for what the processes write.
        meter: Told what the timed runs took, to find out who else used the machine.
        tell: Told how far this is.
    """
    found = [Measured(backend) for backend in backends]
    with contextlib.ExitStack() as stack:
        children = list(_start(found, logs, stack, tell))
        for number in range(rounds):
            for index in order(len(found), number):
                time.sleep(PAUSE_S)
                with meter.turn() as turn:
                    told = children[index].run(found[index].backend.runs)
                    turn.processor_s = told["processor_s"]
                    turn.wall_s = told["wall_s"]
                one = found[index]
                one.rounds.append(told["ms"])
                one.peak_mb = told["peak_mb"]
                one.processor_s += told["processor_s"]
                one.wall_s += told["wall_s"]
            tell(f"  round {number + 1} of {rounds}")
    return found


def _start(
    found: Sequence[Measured], logs: Path, stack: contextlib.ExitStack, tell: Callable[[str], None]
) -> Iterator[Child]:
    """Load every backend as often as it wants; its last process stays."""
    for number, one in enumerate(found):
        tell(f"  loading {one.backend.name}")
        log = logs / f"{number}.log"
        for _ in range(one.backend.loads - 1):
            passing = Child(one.backend, log)
            one.note_start(passing.started)
            passing.close()
        child = Child(one.backend, log)
        stack.callback(child.close)
        one.note_start(child.started)
        yield child
