"""How long to wait for something, and how to spend the time."""

import time


class Patience:
    """Waits until a time is over.

    Args:
        seconds: In all, from now; None for ever.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def wait(self, seconds: float) -> bool:
        """Wait so long, or for what is left; False if nothing was left."""
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                return False
            seconds = min(seconds, left)
        time.sleep(seconds)
        return True
