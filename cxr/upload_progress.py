"""How far an upload is, on standard error: a bar on a terminal, a line now and then elsewhere."""

import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from cxr.progress import LINE_INTERVAL_S, duration
from cxr.upload_object import FAILED, REPLACED, SKIPPED, THERE, UPLOADED, Outcome

_WORDS = {
    UPLOADED: "uploaded",
    REPLACED: "replaced",
    THERE: "already there",
    SKIPPED: "skipped",
    FAILED: "failed",
}


class UploadProgress:
    """Follows one upload; a context manager.

    Args:
        console: On standard error.
        files: How many there are.
        size_bytes: Of all of them.
        quiet: Whether to show nothing.
    """

    def __init__(self, console: Console, *, files: int, size_bytes: int, quiet: bool) -> None:
        self._console = console
        self._files = files
        self._size_bytes = size_bytes
        self._quiet = quiet
        self._counts: Counter[str] = Counter()
        self._bytes = self._sent_bytes = 0
        self._begun = self._said = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("left"),
                console=console,
                expand=True,
                transient=True,
            )

    def __enter__(self) -> Self:
        """Show the beginning."""
        self._begun = self._said = time.monotonic()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("Looking", total=self._files, rate="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar down; the summary says the rest."""
        if self._bar is not None:
            self._bar.stop()

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def count(self, outcome: Outcome) -> None:
        """One more file is through."""
        self._counts[outcome.state] += 1
        self._bytes += outcome.size_bytes
        if outcome.state in (UPLOADED, REPLACED):
            self._sent_bytes += outcome.size_bytes
        if self._bar is not None:
            self._bar.update(
                self._task, advance=1, description=counts_text(self._counts), rate=self._rate()
            )
        self.tick()

    def tick(self) -> None:
        """Time has passed: print a line where one is due."""
        now = time.monotonic()
        if self._bar is not None or self._quiet or now - self._said < LINE_INTERVAL_S:
            return
        self._said = now
        done = self._counts.total()
        line = f"{done:,}/{self._files:,} {counts_text(self._counts)}"
        if self._bytes:
            left_s = (self._size_bytes - self._bytes) / (self._bytes / self.elapsed_s)
            line += f"; {self._rate()}, {duration(max(0.0, left_s))} left"
        self.say(line)

    def say(self, message: str) -> None:
        """Print a line without disturbing the bar."""
        if not self._quiet:
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    def _rate(self) -> str:
        return f"{size_text(self._sent_bytes / max(self.elapsed_s, 1e-3))}/s"


def counts_text(counts: Counter[str]) -> str:
    """`480 uploaded, 20 already there, 1 failed`; what there is none of is left out."""
    parts = [f"{counts[state]:,} {word}" for state, word in _WORDS.items() if counts[state]]
    return ", ".join(parts) or "none"


def size_text(size_bytes: float) -> str:
    """`300 B`, `12.3 kB`, `18.5 MB`, `1.2 GB`; powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.1f} TB"
