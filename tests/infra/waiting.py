"""Poll with a deadline instead of sleeping."""

import threading
import time
from collections.abc import Callable

_TICK_S = 0.01


def wait_for(condition: Callable[[], object], limit_s: float = 10) -> None:
    tick, deadline = threading.Event(), time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s"
        tick.wait(_TICK_S)
