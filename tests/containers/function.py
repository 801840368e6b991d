"""A function's image run as Lambda runs it: one execution environment, from start to end.

Read-only file system but for /tmp, no user of its own, no capability, no shared memory, Lambda's
limits on memory, processors, files and processes. The Runtime API is `infra.runtime_api`; the
client that speaks to it is the image's own.

Source: AWS Lambda developer guide, "Lambda quotas", "Configure memory", "Defined runtime
environment variables".
"""

import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from infra.runtime_api import EXITED, OUT_OF_MEMORY, Outcome, RuntimeApi
from tests.containers.engine import STORE, Engine

MB_PER_PROCESSOR: Final = 1769
"""Memory at which a function has the equivalent of one processor."""

TMP_MB: Final = 512
REGION: Final = "eu-west-1"
ACCOUNT: Final = "123456789012"

START_LIMIT_S: Final = 60.0
"""For the engine as well as the function; a busy machine must not fail a test."""

_KILLED: Final = 137
_POLL_S: Final = 0.05


class FunctionContainer:
    """One execution environment; a context manager that starts and ends it.

    Args:
        engine: Runs it.
        image: Of the function.
        memory_mb: The function's setting; processors follow from it.
        timeout_s: The function's setting.
        environment: Variables of the function, beside Lambda's own.
        command: Handler in the place of the image's own.
        mounts: Files that stand in for the image's own: host path, path inside.
    """

    def __init__(
        self,
        engine: Engine,
        image: str,
        *,
        memory_mb: int,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
        mounts: Sequence[tuple[Path, str]] = (),
    ) -> None:
        self._engine = engine
        self.name = f"cxr-{uuid.uuid4().hex[:12]}"
        self.memory_mb = memory_mb
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"
        self.api = RuntimeApi(timeout_s=timeout_s, function_arn=arn)
        variables = _lambda_variables(self.name, memory_mb, self.api.address)
        variables |= environment or {}
        self._command = [*engine.command, "run", "--rm", "--name", self.name, *_limits(memory_mb)]
        for source, inside in mounts:
            self._command += ["--volume", f"{source}:{inside}:ro"]
        for name, value in variables.items():
            self._command += ["--env", f"{name}={value}"]
        self._command += [image, *([command] if command else [])]
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        """Start it, without waiting until it is ready."""
        self.api.__enter__()
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=STORE,  # podman leaves a note there when memory runs out
        )
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._read_log, self._watch)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill it, as Lambda does at the end."""
        remove = (*self._engine.command, "rm", "--force", "--ignore", "--time", "0", self.name)
        subprocess.run(remove, capture_output=True, check=False)
        self._process.wait()
        for thread in self._threads:
            thread.join()
        self.api.__exit__(kind, error, trace)

    def wait_until_ready(self) -> float:
        """Seconds from the start of the container's own first process to its first `next`."""
        ready_at = self.api.wait_until_ready(START_LIMIT_S)
        return ready_at - self._process_started_at()

    def invoke(self, event: Mapping[str, Any]) -> Outcome:
        """As RequestResponse; a time-out or an out-of-memory ends the environment."""
        return self.api.invoke(json.dumps(event).encode())

    def log(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def peak_memory_mb(self) -> int:
        """Most memory that each of its processes has held, added up: an upper bound."""
        return sum(map(_peak_kib, self.processes())) >> 10

    def processes(self) -> list[int]:
        """Its processes, by the numbers that they have on this machine."""
        return [int(pid) for pid in self._engine.output("top", self.name, "hpid").split()[1:]]

    def _read_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self._lines.extend(lines)

    def _watch(self) -> None:
        """Tell the Runtime API when it has ended."""
        code = self._process.wait()
        if code == _KILLED:
            self.api.end(OUT_OF_MEMORY, "Runtime exited with error: signal: killed")
        else:
            self.api.end(EXITED, f"Runtime exited with error: exit status {code}")

    def _process_started_at(self) -> float:
        """On the clock of `time.monotonic`; /proc tells it in ticks since the machine started."""
        pid = self._inspected("State.Pid")
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")

    def _inspected(self, field: str) -> str:
        return self._engine.output("inspect", "--format", f"{{{{.{field}}}}}", self.name).strip()


def _limits(memory_mb: int) -> list[str]:
    """Options of `podman run`; an execution environment has no swap and no /dev/shm."""
    return [
        "--network", "host",  # of this thread: see `loopback`
        "--memory", f"{memory_mb}m",
        "--memory-swap", f"{memory_mb}m",
        "--cpus", f"{memory_mb / MB_PER_PROCESSOR:.2f}",
        "--ulimit", "nofile=1024:1024",
        "--ulimit", "nproc=1024:1024",
        "--pids-limit", "1024",
        "--read-only",
        "--read-only-tmpfs=false",
        "--tmpfs", f"/tmp:rw,size={TMP_MB}m,mode=1777",
        "--ipc", "none",
        "--cap-drop", "all",
        "--security-opt", "no-new-privileges",
    ]  # fmt: skip


def _lambda_variables(function: str, memory_mb: int, runtime_api: str) -> dict[str, str]:
    """What Lambda sets; the credentials are those that moto takes."""
    return {
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
    }


def _peak_kib(pid: int) -> int:
    """Peak resident memory of a process; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return int(next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0"))
