"""How long an invocation has run, as Lambda bills it: a cold start counts from the process's."""

import time
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/self/stat")
_START_FIELD: Final = 21 - 2
"""Start time of the process in clock ticks since boot; proc(5), field 22, after the name's ')'."""

_TICKS_A_SECOND: Final = 100


_invoked: Final[list[bool]] = []
"""Not empty once this process has been invoked."""


class InvocationClock:
    """Begins with the handler; the first of a process begins with the process."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._before = 0.0 if _invoked else process_age_seconds()
        _invoked.append(True)

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
