"""How far a run is, on standard error: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections import Counter
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cxr.results import ABNORMAL, NORMAL, REJECTED

FAILED: Final = "failed"
LINE_INTERVAL_S: Final = 10.0
"""Between two lines where there is no terminal: enough to follow, little enough for a log."""


class ProgressDisplay(Protocol):
    """Follows one run; a context manager."""

    def __enter__(self) -> Self:
        """Show the beginning."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the display down."""

    def begin(self) -> None:
        """The models are loaded."""

    def count(self, kind: str) -> None:
        """One more image is through: `normal`, `abnormal`, `rejected` or `failed`."""

    def tick(self) -> None:
        """Time has passed."""

    def say(self, message: str) -> None:
        """Show a sentence without disturbing the display."""


class SilentProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Nothing to show."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to take down."""

    def begin(self) -> None:
        """Nothing to show."""

    def count(self, kind: str) -> None:
        """Nothing to show."""

    def tick(self) -> None:
        """Nothing to show."""

    def say(self, message: str) -> None:
        """Nothing to show."""


class BarProgress(SilentProgress):
    """A bar with counts, rate and time left.

    Args:
        console: On standard error.
        total: Images to analyse.
        workers: Processes that will work.
    """

    def __init__(self, console: Console, *, total: int, workers: int) -> None:
        self._counts: Counter[str] = Counter()
        self._total = total
        self._workers = workers
        self._begun = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            expand=True,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Show the bar at 0."""
        plural = "" if self._workers == 1 else "es"
        self._bar.start()
        self._task = self._bar.add_task(
            f"Loading models in {self._workers} process{plural}", total=self._total
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar down; the summary says the rest."""
        self._bar.stop()

    def begin(self) -> None:
        """Show the counts."""
        self._bar.update(self._task, description=counts_text(self._counts))

    def count(self, kind: str) -> None:
        """Advance the bar by one."""
        self._counts[kind] += 1
        self._bar.update(self._task, advance=1, description=counts_text(self._counts))

    def say(self, message: str) -> None:
        """Print above the bar."""
        self._bar.console.print(message, markup=False, highlight=False)


class LineProgress(SilentProgress):
    """A line every `LINE_INTERVAL_S`, for logs and pipes.

    Args:
        console: On standard error.
        total: Images to analyse.
        workers: Processes that will work.
    """

    def __init__(self, console: Console, *, total: int, workers: int) -> None:
        self._console = console
        self._counts: Counter[str] = Counter()
        self._total = total
        self._workers = workers
        self._begun = self._said = time.monotonic()

    def __enter__(self) -> Self:
        """Say what begins."""
        images = "1 image" if self._total == 1 else f"{self._total} images"
        plural = "" if self._workers == 1 else "es"
        self.say(f"Analysing {images} in {self._workers} process{plural}")
        return self

    def begin(self) -> None:
        """Start the clock of the rate: loading is no part of it."""
        self._begun = time.monotonic()

    def count(self, kind: str) -> None:
        """Count, and print a line where one is due."""
        self._counts[kind] += 1
        self.tick()

    def tick(self) -> None:
        """Print a line where one is due."""
        now = time.monotonic()
        if now - self._said < LINE_INTERVAL_S:
            return
        self._said = now
        done = self._counts.total()
        line = f"{done}/{self._total} {counts_text(self._counts)}"
        if done:
            rate = done / (now - self._begun)
            line += f"; {rate:.1f} images/s, {duration((self._total - done) / rate)} left"
        self.say(line)

    def say(self, message: str) -> None:
        """Print a line."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


class _RateColumn(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        """The rate over the last images; a dash before there is one."""
        speed = task.speed
        return Text(f"{speed:.1f} images/s" if speed else "- images/s")


def counts_text(counts: Counter[str]) -> str:
    """`9 normal, 3 abnormal, 1 rejected`, and failures where there are any."""
    parts = [f"{counts[kind]} {kind}" for kind in (NORMAL, ABNORMAL, REJECTED)]
    if counts[FAILED]:
        parts.append(f"{counts[FAILED]} failed")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def looking(
    console: Console, message: str, *, quiet: bool
) -> contextlib.AbstractContextManager[object]:
    """A moving sign of life on a terminal, nothing elsewhere."""
    if quiet or not console.is_terminal:
        return contextlib.nullcontext()
    return console.status(message)


def progress_display(console: Console, *, total: int, workers: int, quiet: bool) -> ProgressDisplay:
    """The display that suits where standard error goes."""
    if quiet or not total:
        return SilentProgress()
    kind = BarProgress if console.is_terminal else LineProgress
    return kind(console, total=total, workers=workers)
