"""How long an invocation has run, as Lambda bills it: a cold start counts from the process's."""

import time
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/self/stat")
_START_FIELD: Final = 21 - 2
"""Start time of the process in clock ticks since boot; proc(5), field 22, after the name's ')'."""

_TICKS_A_SECOND: Final = 100


class InvocationClock:
    """Begins with the handler; the first of a process begins with the process.

    Args:
        first: Whether this is the process's first invocation.
    """

    def __init__(self, *, first: bool) -> None:
        self._begun = time.monotonic()
        self._before = process_age_seconds() if first else 0.0

    def billed_ms(self) -> int:
        """Milliseconds so far, rounded up and never too few."""
        return int((time.monotonic() - self._begun + self._before) * 1000) + 1


def process_age_seconds() -> float:
    """Since this process was started; a second where the system does not say."""
    try:
        fields = _STAT.read_text().rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_FIELD]) / _TICKS_A_SECOND
    except (OSError, AttributeError, ValueError, IndexError):
        return 1.0
