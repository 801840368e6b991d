"""One way in its own process: `python -m export.bench_path_child WAY`, run by `export.bench_path`.

WAY is JSON: `kind` (`ours`, `seed` or `jpeg2000`) and the kind's arguments. The process says when
it is ready; then each line, the path of a film, is answered by a line with what was measured.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Measure = Callable[[Path], dict[str, Any]]


def open_way(kind: str, arguments: dict[str, Any]) -> Measure:
    """Load a way; torch is imported for the seed's alone."""
    paths = {key: Path(value) for key, value in arguments.items() if isinstance(value, str)}
    arguments = arguments | paths
    if kind == "ours":
        from export.bench_path_ours import OurWay

        return OurWay(**arguments)
    if kind == "seed":
        from export.bench_path_seed import SeedWay

        return SeedWay(**arguments)
    if kind == "jpeg2000":
        from export.bench_path_jpeg2000 import Decoders

        return Decoders(**arguments)
    raise ValueError(f"no way {kind!r}")


def main() -> int:
    """Load, say so, then measure film by film until there are no more lines."""
    # whatever a library prints must not stand among the answers
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    way = json.loads(sys.argv[1])
    measure = open_way(way.pop("kind"), way)
    answer({"ready": True, "torch": "torch" in sys.modules})
    for line in sys.stdin:
        answer(measure(Path(line.rstrip("\n"))))
    close = getattr(measure, "close", None)
    if close is not None:
        close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
