"""How fast the networks run, and the whole path: every backend in turn, one table.

    python -m export.bench              about thirteen minutes on two cores
    python -m export.bench --quick      two rounds, no compilation, one detector and batch size

Writes bench.json, bench.md and bench.png to build/.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lambdas.shared.errors import ConfigError, CxrError

SCHEMA_VERSION: Final = "1.0"

PATH_REPEATS: Final = 4
QUICK_ROUNDS: Final = 2

NEEDED_BYTES: Final = 3_000_000_000
"""On the disk that holds the networks while they are measured: 1.3 GB, and room."""

REPOSITORY: Final = Path(__file__).parents[1]

Tell = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; the exit code is 0 unless something could not be measured at all."""
    options = _parser().parse_args(arguments)
    begun = time.monotonic()

    def tell(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - begun:5.0f} s  {line}\n")

    try:
        result = run(options, tell)
    except CxrError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    sys.stdout.write(report(result, options.out))
    return 0


def run(options: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Measure everything; what bench.json holds."""
    from export.bench_cases import Plan
    from export.bench_machine import load_average, machine, warnings_about

    if not options.models.is_dir():
        raise ConfigError(f"no folder of bundles at {options.models}; name one with --models")
    load_before, begun = load_average(), time.monotonic()
    plan = Plan(shipped=options.models)
    if options.quick:
        plan = replace(
            plan,
            rounds=QUICK_ROUNDS,
            loads=1,
            batch=None,
            compiled=False,
            detector_px=plan.detector_px[:1],
        )
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    if options.detector_px:
        plan = replace(plan, detector_px=tuple(options.detector_px))
    if options.classifier_px:
        plan = replace(plan, classifier_px=options.classifier_px)
    left_out: list[str] = []
    if not plan.compiled:
        left_out.append("compiled torch, a second batch size and a second detector: by --quick")
    networks, others_share = _measure_networks(plan, options.work, tell, left_out)
    path = None if options.no_path else _measure_path(options, tell)
    from export.bench_figures import headline
    from export.bench_networks import int8_tasks

    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "rounds": plan.rounds,
        "seconds": round(time.monotonic() - begun, 1),
        "machine": machine(),
        "load_average": {"before": load_before, "after": load_average()},
        "others_share": others_share,
        "warnings": warnings_about(others_share, load_before),
        "left_out": left_out,
        **headline(networks, int8_tasks=int8_tasks(options.models)),
        "path_ratio": path["path_ratio"] if path else None,
        "cases": networks,
        "path": path,
    }


def report(result: dict[str, Any], out: Path) -> str:
    """Write the files; returns the text for the terminal."""
    from export.bench_plot import write_plot
    from export.bench_report import markdown, terminal

    text, marked = terminal(result), markdown(result)
    if result["path"]:
        from export.bench_path_table import path_markdown, path_table

        text += f"\n{path_table(result['path']).rstrip()}\n"
        marked += f"\n{path_markdown(result['path']).rstrip()}\n"
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    (out / "bench.md").write_text(marked)
    write_plot(result, out / "bench.png")
    return text + f"\n{out / 'bench.json'}, bench.md, bench.png\n"


def _measure_networks(
    plan: Any, work: Path | None, tell: Tell, left_out: list[str]
) -> tuple[list[dict[str, Any]], float | None]:
    """Figures of every case, and the share of the processors that others used meanwhile."""
    from export.bench_cases import cases
    from export.bench_figures import case_figures
    from export.bench_machine import BusyMeter
    from export.bench_rounds import measure

    meter, found = BusyMeter(), []
    with tempfile.TemporaryDirectory(dir=work, prefix="cxr-bench-") as scratch:
        folder = Path(scratch)
        if shutil.disk_usage(folder).free < NEEDED_BYTES:
            raise ConfigError(
                f"less than {NEEDED_BYTES / 1e9:.0f} GB are free at {folder.parent}; name a folder "
                "on another disk with --work"
            )
        for case in cases(plan, folder, tell=tell, left_out=left_out):
            tell(case.title)
            logs = folder / "logs" / case.key
            logs.mkdir(parents=True)
            measured = measure(case.backends, rounds=plan.rounds, logs=logs, meter=meter, tell=tell)
            found.append(case_figures(case, measured))
    return found, meter.others_share


def _measure_path(options: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """The whole path, from bytes to record and PDF."""
    from export.bench_path import measure_path

    tell("the whole path")
    return measure_path(
        models=options.models, repeats=QUICK_ROUNDS if options.quick else PATH_REPEATS, tell=tell
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("build"), help="folder of the results; default build")
    add("--models", type=Path, default=REPOSITORY / "models" / "demo", help="the pair that ships")
    add("--quick", action="store_true", help="fewer rounds, no compilation, one detector")
    add("--rounds", type=_positive, help="turns of every backend; default 6, quick 2")
    add("--detector-px", type=_positive, nargs="+", help="sizes; default 512 800")
    add("--classifier-px", type=_positive, help="size; default 380")
    add("--no-path", action="store_true", help="networks alone, without the whole path")
    add("--work", type=Path, help="folder for 1.3 GB of networks; default the system's")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
