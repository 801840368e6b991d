"""The arguments of `cxr local`, and its loop: the whole cloud on one machine until Ctrl-C."""

import argparse
import importlib.util
import queue
from pathlib import Path
from typing import Final

from cxr.command_line import Parser, Subcommands, positive

DEFAULT_PORT: Final = 5055
"""Neither 5000, which macOS uses itself, nor 4566, where other embedded clouds listen."""

MAX_VISIBILITY_S: Final = 43_200
"""The most that SQS takes."""

NEEDED: Final = ("moto", "flask", "flask_cors", "boto3", "aws_lambda_powertools")
"""Packages of the extra `local` that are looked for before anything starts."""

_NOTES: Final = """\
Runs what `make deploy` deploys, on this machine: two buckets, the rule, the queues with their dead
letter queues, and the functions themselves, each in processes of its own. The AWS command line,
boto3 and every other command of cxr reach it with --endpoint-url. No AWS account is needed, and
none is reached.

What differs from AWS: nobody checks permissions, a function's memory is not limited, and an image
that failed comes back after --visibility SECONDS if that is given (on AWS and by default six times
the function's time-out, 8 to 31 minutes).

Everything is gone when it ends, but for what --keep has copied. Objects lie in memory, those of
more than 5 MB in temporary files, and are not given back before: hundreds of images, not tens of
thousands. Other users of this machine can reach the port: do not use it for patients' images on a
machine that you share.

exit code: 0 ended by Ctrl-C; 2 the command cannot be followed
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "local",
        help="run the whole cloud on this machine",
        description="Run the whole cloud on this machine: drop an image in a bucket, find the "
        "result in another.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"where it listens, on 127.0.0.1 alone; 0 for any (default: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder with the bundles classifier/ and detector/ (default: models/demo)",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes of each of the three functions (default: to suit the machine)",
    )
    parser.add_argument(
        "--detect-all", action="store_true", help="look for findings in normal images as well"
    )
    parser.add_argument(
        "--formats",
        default="",
        metavar="LIST",
        help="more outputs, separated by commas: dicom-gsps, dicom-pdf, dicom-sr, fhir",
    )
    parser.add_argument(
        "--passthrough",
        default="",
        metavar="LIST",
        help="DICOM attributes to carry into the records, separated by commas (default: none)",
    )
    parser.add_argument(
        "--visibility",
        type=_visibility,
        metavar="SECONDS",
        help="when a failed image is tried again (default: as on AWS); 30 to see it happen",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="copy each result to a folder as it comes"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the cloud until Ctrl-C or SIGTERM."""
    _require_packages()
    from cxr.analyser import DEFAULT_MODELS
    from cxr.interruption import Interruption
    from cxr.local_view import LocalView, failure_sentence
    from cxr.machine import processor_count, worker_count
    from infra.event_source import Delivery
    from infra.local import EmbeddedCloud, LocalSettings
    from lambdas.report.formats import parse_formats
    from lambdas.shared.flow import Stage
    from lambdas.shared.passthrough import parse_passthrough

    parse_formats(options.formats)
    parse_passthrough(options.passthrough)
    sentences: queue.SimpleQueue[str] = queue.SimpleQueue()

    def watch(stage: Stage, delivery: Delivery) -> None:
        if sentence := failure_sentence(stage, delivery):
            sentences.put(sentence)

    settings = LocalSettings(
        models=options.models or DEFAULT_MODELS,
        port=options.port,
        # one stage waits for another, and each function uses several processors for one image
        workers=options.workers or worker_count(max(1, processor_count() // 2)),
        detect_all=options.detect_all,
        formats=options.formats,
        passthrough=options.passthrough,
        visibility_seconds=options.visibility,
        watch=watch,
        trouble=lambda error: sentences.put(f"a part did not answer ({type(error).__name__})"),
    )
    if options.keep is not None:
        _make_folder(options.keep)
    with Interruption() as interruption, LocalView() as view:
        view.starting(settings.models)
        with EmbeddedCloud(settings) as cloud:
            view.welcome(cloud)
            watcher = cloud.watcher(options.keep)
            while not interruption.level:
                try:
                    for result in watcher.read(wait_s=1):
                        view.finished(result)
                except OSError as error:
                    view.say(f"a result cannot be kept ({error.strerror}); tried again in 30 s")
                while not sentences.empty():
                    view.say(sentences.get())
                view.counts(cloud.counts())
        view.farewell(options.keep)
    return 0


def _make_folder(folder: Path) -> None:
    from lambdas.shared.errors import InvalidRequestError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequestError(
            f"--keep {folder} cannot be made ({error.strerror}); name another folder"
        ) from error


def _require_packages() -> None:
    from lambdas.shared.errors import ConfigError

    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the embedded cloud needs packages that are not installed ({', '.join(missing)}); "
            "install them with `make local`, or .venv/bin/python -m pip install -e '.[local]'"
        )


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")


def _visibility(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MAX_VISIBILITY_S:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 1 to 43,200")
