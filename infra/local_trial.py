"""Sends images through the embedded cloud on its worst day, and counts what comes out.

    python -m infra.local_trial --images 500 --seed 1 --from build/demo/images

Messages come twice, late and out of order, and processes are killed at random moments. Every image
must end with one record, whose event was told. Exit code 1 if one does not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.local_trial_run import TrialResult, TrialSettings, run_trial
from infra.pipeline import STAGES
from infra.setting_readers import REPOSITORY
from lambdas.shared.errors import CxrError


def table(result: TrialResult, settings: TrialSettings) -> str:
    """The result for a person."""
    functions = result.functions_bytes
    rows = [
        ("images", f"{result.images}", f"copies of {result.files} files; seed {settings.seed}"),
        ("records", f"{result.records}", f"{len(result.lost)} lost, {len(result.twice)} twice"),
        ("events told", f"{result.told}", f"{result.untold} records untold"),
        ("answers", f"{result.files}", f"{result.differing} files whose copies differ"),
        ("messages twice", f"{result.chaos.copies}", ""),
        ("messages late", f"{result.chaos.delays}", "and out of order"),
        ("processes killed", f"{result.chaos.kills}", f"{result.killed_in_work} with work in hand"),
        ("redriven", f"{result.redriven}", "messages that five attempts were not enough for"),
        ("seconds", f"{result.seconds:.0f}", f"{result.images / result.seconds:.2f} images/s"),
        ("memory, cloud", f"{result.server_bytes / 2**20:.0f}", "MiB: every object lies in it"),
        (
            "memory, functions",
            f"{functions / 2**20:.0f}" if functions else "unknown",
            f"MiB, {settings.workers} processes for each of {len(STAGES)} stages",
        ),
    ]
    lines = [f"{name:18} {value:>8}  {remark}".rstrip() for name, value, remark in rows]
    lines += [f"lost: {key}" for key in result.lost] + [f"twice: {key}" for key in result.twice]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a trial and print its table; exit code 1 if an image was lost or done twice."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local_trial",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from", dest="folder", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models" / "demo")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes of each stage")
    parser.add_argument("--kills-per-minute", type=float, default=20.0)
    settings = TrialSettings(**vars(parser.parse_args(argv)))

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        result = run_trial(settings, tell)
    except CxrError as error:
        tell(f"local_trial: {error}")
        return 2
    sys.stdout.write(table(result, settings))
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
