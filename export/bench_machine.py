"""The machine that a benchmark ran on, and whether it had the machine to itself."""

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CPUINFO: Final = Path("/proc/cpuinfo")
MEMINFO: Final = Path("/proc/meminfo")
STAT: Final = Path("/proc/stat")
"""Linux tells of itself here; elsewhere less is known."""

FLAGS: Final = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp")
"""What decides which kernels run; amx_int8 and the others for x86, asimddp for arm64."""

PACKAGES: Final = ("onnxruntime", "torch", "torchvision", "timm", "onnx", "openvino", "numpy")

BUSY_SHARE: Final = 0.05
"""Other processes with more of the processors than this during the timed runs are worth a
warning."""

BUSY_LOAD: Final = 0.5
"""Load average for each processor, before the first run, that is worth one."""


def machine() -> dict[str, Any]:
    """Processor, memory and versions, for people who want to compare."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    fields = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in text.splitlines())
    }
    known = set((fields.get("flags") or fields.get("Features") or "").split())
    flags = [flag for flag in FLAGS if flag in known]
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "flags": flags,
        "vnni": any("vnni" in flag for flag in flags),
        "amx": "amx_int8" in flags,
        "memory_gb": _memory_gb(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def load_average() -> float | None:
    """Of the last minute; None where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


@dataclass
class Turn:
    """One turn's processor and wall seconds, as the process at work counted them."""

    processor_s: float = 0.0
    wall_s: float = 0.0


@dataclass
class BusyMeter:
    """Finds out how much of the processors others used while a backend was at work.

    Attributes:
        processors: Number of them.
        busy_s: Seconds that all of them were busy or taken away by the host, over all turns.
        own_s: Seconds of that that the processes of the benchmark used.
        elapsed_s: Wall seconds of the turns.
    """

    processors: int = field(default_factory=lambda: os.cpu_count() or 1)
    busy_s: float = 0.0
    own_s: float = 0.0
    elapsed_s: float = 0.0

    @contextlib.contextmanager
    def turn(self) -> Iterator[Turn]:
        """Around one turn."""
        before, turn = processor_seconds(), Turn()
        yield turn
        after = processor_seconds()
        if before is not None and after is not None:
            self.note(turn, busy_s=after[0] - before[0], total_s=after[1] - before[1])

    def note(self, turn: Turn, *, busy_s: float, total_s: float) -> None:
        """Add a turn.

        Args:
            turn: What the process at work counted, over its timed runs alone.
            busy_s: Of all processors, over the whole turn.
            total_s: Busy and idle, likewise.
        """
        elapsed = total_s / self.processors
        self.busy_s += busy_s
        # the untimed run before the timed ones is the same work
        self.own_s += turn.processor_s * (elapsed / turn.wall_s if turn.wall_s else 0.0)
        self.elapsed_s += elapsed

    @property
    def others_share(self) -> float | None:
        """Of all processors' time, what others used; None where the system does not tell."""
        if not self.elapsed_s:
            return None
        return max(0.0, (self.busy_s - self.own_s) / (self.elapsed_s * self.processors))


def warnings_about(others_share: float | None, load_before: float | None) -> list[str]:
    """Why the times may be too long, in words; empty for a quiet machine."""
    found = []
    if others_share is not None and others_share > BUSY_SHARE:
        found.append(
            f"other processes used {others_share:.0%} of the processors during the timed runs: "
            "times are too long, and ratios less certain; close them and run again"
        )
    processors = os.cpu_count() or 1
    if load_before is not None and load_before / processors > BUSY_LOAD:
        found.append(
            f"the load average before the first run was {load_before:.1f} on {processors} "
            "processors: something else was running"
        )
    return found


def processor_seconds() -> tuple[float, float] | None:
    """(busy, total) seconds of all processors since the start of the machine.

    Time that the host gave to another virtual machine counts as busy.
    """
    if not STAT.exists():
        return None
    ticks = [int(value) for value in STAT.read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle and waiting for input (man proc_stat)
    second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - idle) / second, sum(ticks) / second


def _memory_gb() -> float | None:
    if not MEMINFO.exists():
        return None
    return round(int(MEMINFO.read_text().split()[1]) / 1024**2, 1)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
