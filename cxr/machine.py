"""How many workers this machine can hold: processors and memory that this process may use."""

import os
from pathlib import Path
from typing import Final

WORKER_BYTES: Final = 900 * 1024**2
"""Memory of one worker: both models in float32 (627 and 300 MB at most) share one arena; reading a
usual film in its child process adds the rest."""

_CGROUP: Final = Path("/sys/fs/cgroup")
_MEMINFO: Final = Path("/proc/meminfo")


def worker_count(images: int) -> int:
    """Workers to start for this many images: at least 1, at most one for each processor."""
    by_memory = images
    if (available := available_memory_bytes()) is not None:
        by_memory = available // WORKER_BYTES
    return max(1, min(images, processor_count(), by_memory))


def processor_count() -> int:
    """Processors that this process may use: affinity and, in a container, its quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    words = _read(_CGROUP / "cpu.max").split()  # quota and period in microseconds
    if len(words) == 2 and words[0].isdigit():
        count = min(count, round(int(words[0]) / int(words[1])))
    return max(1, count)


def available_memory_bytes() -> int | None:
    """Memory that can still be used without swapping; None where the system does not say."""
    limits = []
    for line in _read(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            limits.append(int(line.split()[1]) * 1024)
    limit, used = _read(_CGROUP / "memory.max").strip(), _read(_CGROUP / "memory.current").strip()
    if limit.isdigit() and used.isdigit():
        limits.append(max(0, int(limit) - int(used)))
    return min(limits, default=None)


def _read(path: Path) -> str:
    """Text of a file of the kernel; empty where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""
