"""Runs an archive job through its worst day on this machine, and counts what comes out.

    python -m infra.archive_trial --images 2000 --seed 1 --from build/demo/images

A tenth of the images is corrupt, two kill whoever reads them, S3 throttles and breaks, batch
processes are killed, and the command itself is ended at random and resumed. Every image must end
analysed, rejected, or listed as failed with its reason, and none twice; else the exit code is 1.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.archive_trial_run import (
    ArchiveTrialResult,
    ArchiveTrialSettings,
    run_archive_trial,
)
from infra.setting_readers import REPOSITORY
from lambdas.shared.errors import CxrError


def table(result: ArchiveTrialResult, settings: ArchiveTrialSettings) -> str:
    """The result for a person."""
    report, faults = result.report, result.faults
    expected = report["expected"]
    died = sum(wave["died"] for wave in report["waves"])
    batches = sum(wave["batches"] for wave in report["waves"])
    peak = max(wave["peak_memory_mb"] for wave in report["waves"])
    done = sum(result.records.values())
    rows = [
        ("images", f"{result.images}", f"all different; seed {settings.seed}"),
        ("corrupt", f"{sum(result.corrupt.values())}", _listed(result.corrupt)),
        ("analysed", f"{result.records.get('analysed', 0)}", ""),
        ("rejected", f"{result.records.get('rejected', 0)}", _listed(report["rejections"])),
        ("failed", f"{sum(result.failures.values())}", _listed(result.failures)),
        ("unaccounted for", f"{len(result.unaccounted)}", ""),
        ("twice", f"{len(result.twice)}", f"{done} records, a version each"),
        ("S3 faults", f"{faults.answers}", "calls throttled or failed"),
        ("processes killed", f"{faults.kills}", f"and {faults.poisoned} times by an image"),
        ("interruptions", f"{faults.interruptions}", f"{result.runs} runs of the command"),
        ("batches", f"{batches}", f"{died} of them died; {len(report['waves'])} waves"),
        ("seconds", f"{result.seconds:.0f}", f"{done / result.seconds:.2f} records/s"),
        ("memory", f"{peak:.0f}", "MB at most, the batch function's process"),
        ("expected", f"{expected['expected_usd']:.4f}", "USD by the plan, without any fault"),
        ("metered", f"{report['spent_usd']:.4f}", "USD; what died is charged at its worst"),
        (
            "of it batches",
            f"{_usd(report, 'usd') - _usd(report, 'died_usd'):.4f}",
            "USD that lived",
        ),
        ("of it deaths", f"{_usd(report, 'died_usd'):.4f}", "USD at their worst"),
    ]
    lines = [f"{name:18} {value:>8}  {remark}".rstrip() for name, value, remark in rows]
    lines += [f"unaccounted for: {key}" for key in result.unaccounted]
    lines += [f"twice: {key}" for key in result.twice]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a trial and print its table; exit code 1 if an image was lost or done twice."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.archive_trial",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from",
        dest="folder",
        type=Path,
        default=REPOSITORY / "build" / "demo" / "images",
        metavar="DIR",
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models" / "demo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--poison", type=int, default=2, help="images that kill")
    parser.add_argument("--kills-per-minute", type=float, default=1.0)
    parser.add_argument("--interruptions-per-minute", type=float, default=0.5)
    parser.add_argument(
        "--no-faults", dest="faults", action="store_false", help="an undisturbed job, to compare"
    )
    settings = ArchiveTrialSettings(**vars(parser.parse_args(argv)))

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    try:
        result = run_archive_trial(settings, tell)
    except CxrError as error:
        tell(f"archive_trial: {error}")
        return 2
    sys.stdout.write(table(result, settings))
    return 0 if result.ok else 1


def _usd(report: Mapping[str, Any], name: str) -> float:
    return sum(float(wave[name]) for wave in report["waves"])


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


if __name__ == "__main__":
    sys.exit(main())
