"""One backend in its own process: `python -m export.bench_child BACKEND`, run by `export.bench`.

BACKEND is JSON. The first line of the answer says how long loading took; then each line read, the
number of runs to time after one untimed run, is answered by a line with their times.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

from export.bench_backends import Backend, import_engine, prepared

STATUS: Final = Path("/proc/self/status")

MB: Final = 1_000_000


def main() -> int:
    """Load, say so, then run when told until there are no more lines."""
    begun = float(os.environ["CXR_BENCH_BEGUN"])
    # whatever a library prints must not stand among the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    backend = Backend(**json.loads(sys.argv[1]))
    opener = import_engine(backend)
    imported = time.monotonic()
    run = opener(backend)
    loaded = time.monotonic()
    image = prepared(backend)
    answer(load_s=loaded - imported, start_s=loaded - begun, peak_mb=peak_mb())
    for line in sys.stdin:
        run(image)
        processor, wall, milliseconds = time.process_time(), time.monotonic(), []
        for _ in range(int(line)):
            before = time.perf_counter()
            run(image)
            milliseconds.append((time.perf_counter() - before) * 1e3)
        answer(
            ms=milliseconds,
            processor_s=time.process_time() - processor,
            wall_s=time.monotonic() - wall,
            peak_mb=peak_mb(),
        )
    return 0


def peak_mb() -> float:
    """Most memory that this process ever held, in MB.

    From the kernel's high-water mark where there is one: `getrusage` of a fresh process starts with
    the peak of the process that began it.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MB


if __name__ == "__main__":
    sys.exit(main())
