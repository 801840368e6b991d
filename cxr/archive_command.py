"""The arguments of `cxr archive`: a job over millions of images, planned before it is started."""

import argparse
from pathlib import Path
from typing import Any, Final

from cxr import aws
from cxr.archive import source
from cxr.command_line import Parser, Subcommands, positive

_NOTES: Final = """\
plan    counts what is there and what these models have done, estimates time and cost
start   shows the plan, asks, and runs the job in waves
status  how a job is; without a name, all of them
watch   the same again and again, until the job ends or Ctrl-C
stop    begin no further wave; --now: drop the wave in hand
resume  run what is missing, failed images too, never what is done
report  counts, scores, rejections, failures, cost, the slowest, as HTML and JSON

With --local the job runs over the cloud of `cxr local`, in processes that the command
itself starts: start and resume then stay until it ends, and Ctrl-C finishes the batches in
hand. A folder of this machine goes up first: cxr upload scans/ s3://BUCKET/archive/ --anyway
--manifest list.csv, then cxr archive start --list list.csv.

--max-cost is a ceiling on cost metered at the job's dated price table, not on the AWS bill:
a wave begins only if the worst its batches can cost fits what is left. Storage, KMS, logs
and data transfer are not metered.

Keys of images are not printed; the report's list of failures has them, for whoever must
look after those images, unless --no-keys.

exit code: 0 the job, or the command, came to its end without failed images; 1 images
failed, or the job ended before all was done; 2 the command cannot be followed; 130
interrupted by Ctrl-C
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand and its own."""
    parser = commands.add_parser(
        "archive",
        help="process an archive: plan, start, status, watch, stop, resume, report",
        description="Process an archive of images: a bill known beforehand, one job, a report.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    plan = _action(actions, "plan", "what is there, what it takes and costs; nothing runs")
    _order_arguments(plan)
    _place_arguments(plan)

    start = _action(actions, "start", "show the plan, ask, run")
    _order_arguments(start)
    _place_arguments(start)
    start.add_argument("--yes", action="store_true", help="do not ask")

    status = _action(actions, "status", "how a job is, or all jobs")
    status.add_argument("job", nargs="?", metavar="JOB")

    watch = _action(actions, "watch", "follow a job to its end")
    watch.add_argument("job", metavar="JOB")
    watch.add_argument("--every", type=positive, default=5, metavar="SECONDS", help="default: 5")

    stop = _action(actions, "stop", "begin no further wave")
    stop.add_argument("job", metavar="JOB")
    stop.add_argument(
        "--now",
        action="store_true",
        help="drop the wave in hand; what runs and leaves no word is charged at its worst",
    )

    resume = _action(actions, "resume", "run what is missing")
    resume.add_argument("job", metavar="JOB")
    resume.add_argument(
        "--max-cost", type=_usd, metavar="USD", help="a new ceiling, from the start"
    )
    _place_arguments(resume)

    report = _action(actions, "report", "sum a job up")
    report.add_argument("job", metavar="JOB")
    report.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="default: the present folder"
    )
    report.add_argument("--no-keys", action="store_true", help="name failed images by id alone")


def run(options: argparse.Namespace) -> int:
    """Follow the command."""
    from cxr.archive import actions

    return int(getattr(actions, options.action)(options))


def _action(actions: Any, name: str, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + "."
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    aws.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _order_arguments(parser: argparse.ArgumentParser) -> None:
    source.add_arguments(parser)
    parser.add_argument("--name", metavar="JOB", help="default: archive-<date>-<time>")
    parser.add_argument(
        "--max-cost", type=_usd, metavar="USD", help="end the job before it is metered at more"
    )
    parser.add_argument("--batch-images", type=positive, metavar="N", help="most images in a batch")
    parser.add_argument(
        "--detect-all", action="store_true", help="look for findings in normal images as well"
    )
    parser.add_argument(
        "--formats",
        default="",
        metavar="LIST",
        help="more outputs, separated by commas: dicom-gsps, dicom-pdf, dicom-sr, fhir",
    )
    parser.add_argument("--events", action="store_true", help="tell each image on the event bus")


def _place_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("on this machine, with --local")
    group.add_argument(
        "--concurrency", type=positive, metavar="N", help="batches at a time (default: one)"
    )
    group.add_argument(
        "--models", type=Path, metavar="DIR", help="bundles of `cxr local` (default: models/demo)"
    )


def _usd(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars above 0")
    return value
