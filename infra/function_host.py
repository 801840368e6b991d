"""Runs a function as Lambda does: in a process of its own, killed when its time is up.

A `FunctionHost` is one execution environment at a time: the next invocation after a time-out, a
crash or `kill` finds a fresh process. What differs from Lambda: memory is not limited, and the
process sees the files of this machine.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import lambdas
from infra.runtime_api import EXITED, InitError, Outcome, RuntimeApi

START_LIMIT_S: Final = 60.0
"""Time to load the handler; Lambda has the image's packages at hand, this machine may not."""

_KEPT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "OMP_WAIT_POLICY",
)
"""All that a function inherits: no credentials, no profile and no proxy, so that it can reach no
cloud but the one it is given."""

_REPOSITORY: Final = Path(lambdas.__file__).parents[1]

LogLine = Callable[[str, str], None]
"""Takes the log stream and one line of what the function printed."""


@dataclass(frozen=True, slots=True)
class Function:
    """What Lambda knows of a function.

    Attributes:
        name: Of the function.
        arn: Of the function.
        handler: Dotted name, as the image's command has it.
        timeout_s: Of one invocation.
        memory_mb: Told to the function, not enforced here.
        log_group: Told to the function.
        environment: Variables of its own.
    """

    name: str
    arn: str
    handler: str
    timeout_s: float
    memory_mb: int
    log_group: str
    environment: Mapping[str, str]


class FunctionHost:
    """Runs one function, one event at a time.

    Args:
        function: What to run.
        log: Told of every line that the function prints, in threads of this object.
    """

    def __init__(self, function: Function, log: LogLine = lambda stream, line: None) -> None:
        self.function = function
        self._log = log
        self._sandbox: _Sandbox | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.starts = 0

    def invoke(self, event: bytes) -> Outcome:
        """Run the function on an event; an environment that ended is replaced first.

        Only one thread may do so at a time.
        """
        sandbox = self._usable()
        try:
            sandbox.api.wait_until_ready(START_LIMIT_S)
        except (InitError, TimeoutError) as error:
            sandbox.api.end(EXITED, str(error))
        outcome = sandbox.api.invoke(event)
        self._report(sandbox, outcome)
        if sandbox.api.ended is not None:
            self._drop(sandbox)
        return outcome

    def warm(self) -> None:
        """Start the process before its first event; does not wait until it is ready."""
        self._usable()

    def kill(self) -> bool:
        """End the process at once, whatever it does, as if its machine had failed.

        Returns:
            Whether there was one.
        """
        with self._lock:
            sandbox = self._sandbox
        return sandbox is not None and sandbox.kill()

    def close(self) -> None:
        """End the process, and start none any more."""
        with self._lock:
            self._closed = True
            sandbox = self._sandbox
        if sandbox is not None:
            self._drop(sandbox)

    def peak_memory_bytes(self) -> int | None:
        """The most memory that the present process has held; None where that is not known."""
        with self._lock:
            sandbox = self._sandbox
        return sandbox.peak_memory_bytes() if sandbox else None

    def _usable(self) -> "_Sandbox":
        with self._lock:
            if self._sandbox is not None and self._sandbox.api.ended is None:
                return self._sandbox
            ended, self._sandbox = self._sandbox, None
            if self._closed:
                raise RuntimeError(f"{self.function.name} is closed")
            self._sandbox = _Sandbox(self.function, self._log)
            self.starts += 1
            usable = self._sandbox
        if ended is not None:
            ended.close()
        return usable

    def _drop(self, sandbox: "_Sandbox") -> None:
        with self._lock:
            if self._sandbox is sandbox:
                self._sandbox = None
        sandbox.close()

    def _report(self, sandbox: "_Sandbox", outcome: Outcome) -> None:
        """What Lambda itself writes to the log: an end that the function could not tell of."""
        named = f"RequestId: {outcome.request_id}"
        if sandbox.api.ended is not None and outcome.error is not None:
            message = outcome.error.message.removeprefix(f"{named} Error: ")
            sandbox.log(f"{named} Error: {message} ({outcome.error.type})")
        peak = sandbox.peak_memory_bytes()
        parts = [
            f"REPORT {named}",
            f"Duration: {outcome.duration_s * 1000:.2f} ms",
            f"Memory Size: {self.function.memory_mb} MB",
            *([f"Max Memory Used: {peak // 1024**2} MB"] if peak else []),
        ]
        sandbox.log("\t".join(parts))


class _Sandbox:
    """One process with its end of the Runtime API, from start to end."""

    def __init__(self, function: Function, log: LogLine) -> None:
        now = datetime.now(UTC)
        self._stream = f"{now:%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"
        self._log = log
        self._gone = threading.Event()
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="cxr-function-", ignore_cleanup_errors=True)
            )
            self.api = stack.enter_context(
                RuntimeApi(timeout_s=function.timeout_s, function_arn=function.arn)
            )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.function_worker", function.handler],
                env=self._environment(function),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # out of reach of Ctrl-C; one kill ends all its processes
            )
            self._stack = stack.pop_all()
        self._threads = [
            threading.Thread(target=target, daemon=True, name=f"function-{function.name}")
            for target in (self._read, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def log(self, line: str) -> None:
        self._log(self._stream, line)

    def kill(self) -> bool:
        """End the process and those that it started; returns whether it was still there."""
        if self._gone.is_set():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return True

    def close(self) -> None:
        self.kill()
        for thread in self._threads:
            thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._stack.close()

    def peak_memory_bytes(self) -> int | None:
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return None
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None

    def _environment(self, function: Function) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "TMPDIR": self._folder,
            "PYTHONPATH": str(_REPOSITORY),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "TZ": ":UTC",
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "_HANDLER": function.handler,
            "ORT_DISABLE_TELEMETRY": "1",  # as the images have it
            "POWERTOOLS_TRACE_DISABLED": "true",  # nobody listens for traces here
            **function.environment,
        }

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log(line.decode("utf-8", "replace").rstrip("\n"))

    def _watch(self) -> None:
        """An invocation in hand must not wait for its time-out when the process is gone."""
        if hasattr(os, "waitid"):  # leaves the number taken, so that the group can be ended safely
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self.kill()
        self._gone.set()
        code = self._process.wait()
        how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self.api.end(EXITED, f"Runtime exited with error: {how}")
