"""A job on the screen until it ends: a view on a terminal, a line now and then elsewhere."""

import json
import sys
import time
from typing import Final

from rich.console import Console
from rich.live import Live

from cxr.archive.follow import Follower, Snapshot
from cxr.archive.follow import as_json as snapshot_json
from cxr.archive.local_run import LocalRun
from cxr.archive.text import status_line, status_view
from cxr.interruption import AT_ONCE, FINISH, Interruption
from cxr.progress import LINE_INTERVAL_S
from lambdas.shared.errors import TransientError

_TICK_S: Final = 0.2
"""How soon Ctrl-C is noticed."""


def watch_job(
    follower: Follower,
    *,
    every_s: float,
    as_json: bool,
    local: LocalRun | None = None,
    quiet: bool = False,
) -> Snapshot:
    """Show a job until it ends, or until Ctrl-C.

    Args:
        follower: Reads it.
        every_s: Between two readings.
        as_json: A line of JSON each time instead.
        local: The job's own run, where it is this command that runs it: Ctrl-C lets it finish the
            batches in hand, a second one drops them.
        quiet: Show nothing but trouble.

    Returns:
        The last reading.
    """
    console = Console(stderr=local is not None)
    show = _Show(console, as_json=as_json, quiet=quiet)
    with Interruption() as interruption, show:
        while True:
            alive = local is not None and local.is_alive()
            snapshot = _read(follower)
            if snapshot is not None:
                show.update(snapshot)
            if local is not None:
                if not alive and snapshot is not None:
                    local.exit_code = interruption.exit_code if interruption.level else 0
                    break
            elif snapshot is not None and (interruption.level or not snapshot.working):
                break
            _pause(every_s, interruption, local)
            if local is not None and interruption.level >= AT_ONCE:
                local.drop()
            elif local is not None and interruption.level >= FINISH:
                local.finish()
    return snapshot


def _read(follower: Follower) -> Snapshot | None:
    """The job now; None where the next look may do better."""
    try:
        return follower.read()
    except TransientError as error:
        sys.stderr.write(f"cxr archive: {error}\n")
        return None


def _pause(seconds: float, interruption: Interruption, local: LocalRun | None) -> None:
    """Wait, but not beyond a signal or the end of the run."""
    level, end = interruption.level, time.monotonic() + seconds
    while time.monotonic() < end and interruption.level == level:
        if local is None:
            time.sleep(min(_TICK_S, seconds))
        else:
            local.join(_TICK_S)
            if not local.is_alive():
                return


class _Show:
    """A view that changes in place, or lines."""

    def __init__(self, console: Console, *, as_json: bool, quiet: bool) -> None:
        self._console = console
        self._json, self._quiet = as_json, quiet
        self._live: Live | None = None
        if console.is_terminal and not as_json and not quiet:
            self._live = Live(console=console, auto_refresh=False)
        self._said = float("-inf")
        self._status = ""

    def __enter__(self) -> "_Show":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, snapshot: Snapshot) -> None:
        """Show one reading."""
        if self._quiet:
            return
        if self._live:
            self._live.update(status_view(snapshot), refresh=True)
            return
        if self._json:
            sys.stdout.write(json.dumps(snapshot_json(snapshot)) + "\n")
            sys.stdout.flush()
            return
        now = time.monotonic()
        if now - self._said >= LINE_INTERVAL_S or snapshot.status != self._status:
            self._said, self._status = now, snapshot.status
            self._console.print(
                status_line(snapshot), markup=False, highlight=False, soft_wrap=True
            )
