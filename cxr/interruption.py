"""Ctrl-C and SIGTERM as a request that the run answers at a safe place."""

import signal
from types import FrameType, TracebackType
from typing import Any, Final

FINISH: Final = 1
"""Level after the first signal: finish the images in hand, then write the summary."""

AT_ONCE: Final = 2
"""Level after a second signal: drop the images in hand."""


class Interruption:
    """Counts the signals that arrive within its `with` block; use in the main thread."""

    def __init__(self) -> None:
        self.level = 0
        self._signal = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        """Take over SIGINT and SIGTERM."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it: 130 after Ctrl-C."""
        return 128 + self._signal

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.level += 1
        self._signal = self._signal or number
