"""The arguments of `cxr status`, and what it prints."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Final

from cxr import aws
from cxr.command_line import Parser, Subcommands, positive, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from cxr.status import Status, StatusReader

METRICS_S: Final = 30.0
"""Between two questions to CloudWatch while watching: its figures change once a minute."""

_NOTES: Final = """\
waiting    to be taken up
in flight  in the hands of a function, or failed and hidden until it is tried again
delayed    not to be taken up yet
oldest     age of the oldest message
given up   in a dead letter queue, after all attempts; cxr redrive sends it back

Oldest, rates and errors are CloudWatch's and some minutes old; n/a is what it does
not say. The embedded cloud knows neither ages nor errors.

exit code: 0 nothing is given up; 1 something is, or AWS does not answer; 2 the
command cannot be followed
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "status",
        help="how a deployment is: queues, rates, errors, what was given up",
        description="How a deployment is: queues, rates, errors, what was given up.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--watch", type=positive, metavar="SECONDS", help="again and again, until Ctrl-C"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON; with --watch, one line each time"
    )
    aws.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the status, once or until Ctrl-C."""
    from rich.console import Console

    from cxr.deployment import deployment_of
    from cxr.status import StatusReader, as_json
    from cxr.status_table import print_status

    deployment = deployment_of(options)
    reader = StatusReader(deployment, metrics_s=0 if deployment.cloud.embedded else METRICS_S)
    if options.watch:
        return _watch(reader, options, Console())
    status = reader.read(time.monotonic())
    if options.json:
        write_json(as_json(status))
    else:
        print_status(status, Console())
    return status.exit_code


def _watch(reader: "StatusReader", options: argparse.Namespace, console: "Console") -> int:
    """Show the status until Ctrl-C; returns the exit code of the last one."""
    from rich.live import Live

    from cxr.status_table import print_status, status_view
    from lambdas.shared.errors import TransientError

    live = Live(console=console, auto_refresh=False, screen=False)
    on_terminal = console.is_terminal and not options.json
    status: Status | None = None
    try:
        if on_terminal:
            live.start()
        while True:
            try:
                status = reader.read(time.monotonic())
            except TransientError as error:  # the next look may do better
                sys.stderr.write(f"cxr status: {error}\n")
            else:
                if options.json:
                    _write_line(status)
                elif on_terminal:
                    live.update(status_view(status), refresh=True)
                else:
                    print_status(status, console)
            time.sleep(options.watch)
    except KeyboardInterrupt:
        return status.exit_code if status else 0
    finally:
        live.stop()


def _write_line(status: "Status") -> None:
    from cxr.status import as_json

    sys.stdout.write(json.dumps(as_json(status)) + "\n")
    sys.stdout.flush()
