"""The arguments of `cxr redrive`, and the question it asks."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from cxr import aws
from cxr.command_line import INCOMPLETE, Parser, Subcommands, positive, write_json
from lambdas.shared.flow import Stage

if TYPE_CHECKING:
    from cxr.redrive import Moved, Survey

_NOTES: Final = """\
A message lies in a dead letter queue when its image failed in every attempt; the upload
rule's holds uploads that reached no queue. Mend the cause, then redrive: the image goes
on from the stage that gave it up. An image that is done already is not done again, so
nothing happens if the command is run twice, or is interrupted.

SQS moves the messages itself where it can (StartMessageMoveTask); with --limit, for the
rule, and in the embedded cloud, each is sent first and then deleted. To say why they
failed, messages are received and handed back at once, which their receive count shows.

exit code: 0 all were sent back, or there were none; 1 some were not; 2 the command cannot
be followed; 130 interrupted
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "redrive",
        help="send what was given up back to its queue",
        description="Say what was given up and why, ask, and send it back to its queue.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        choices=get_args(Stage),
        help="only this one's; may be given again (default: all, and the upload rule's)",
    )
    parser.add_argument("--rule", action="store_true", help="only what the upload rule gave up")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="send back at most N of each queue, as a trial"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what was given up and why")
    parser.add_argument("--yes", action="store_true", help="do not ask (nor is a script asked)")
    parser.add_argument(
        "--show-keys", action="store_true", help="show keys of images, which may name patients"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    aws.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look, ask, send back."""
    from rich.console import Console

    from cxr.deployment import deployment_of
    from cxr.image_logs import ImageLogs
    from cxr.redrive import chosen_queues, survey
    from cxr.redrive_text import as_json, print_moved, print_surveys

    deployment = deployment_of(options)
    sqs = deployment.cloud.client("sqs")
    logs = ImageLogs(deployment.cloud.client("logs"), deployment)
    queues = chosen_queues(deployment, stages=options.stage, rule=options.rule)
    surveys = [survey(sqs, logs, queue) for queue in queues]
    if not options.json:
        print_surveys(surveys, Console(), show_keys=options.show_keys)
    moved: list[Moved] = []
    exit_code = 0
    if any(found.count for found in surveys) and not options.dry_run:
        if options.yes or _agreed(surveys, options.limit):
            moved, exit_code = _move(surveys, sqs, options, embedded=deployment.cloud.embedded)
        else:
            exit_code = INCOMPLETE
            sys.stderr.write("Nothing was sent back.\n")
    if options.json:
        write_json(as_json(surveys, moved, show_keys=options.show_keys, exit_code=exit_code))
    else:
        print_moved(moved, Console())
    return exit_code


def _agreed(surveys: "Sequence[Survey]", limit: int | None) -> bool:
    """Ask, where there is somebody to ask; a script that runs this has decided already."""
    from cxr.redrive_text import messages

    if not sys.stdin.isatty():
        return True
    count = sum(min(found.count, limit or found.count) for found in surveys)
    sys.stderr.write(f"Send {messages(count)} back? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _move(
    surveys: "Sequence[Survey]", sqs: Any, options: argparse.Namespace, *, embedded: bool
) -> "tuple[list[Moved], int]":
    """Empty the queues one after the other; what was moved, and the exit code."""
    from rich.console import Console

    from cxr.interruption import Interruption
    from cxr.redrive import move

    moved: list[Moved] = []
    console = Console(stderr=True)
    with Interruption() as interruption, console.status("Sending messages back") as status:
        for found in surveys:
            if not found.count or interruption.level:
                continue
            whose = found.queue.whose

            def tell(count: int, whose: str = whose, of: int = found.count) -> None:
                status.update(f"{whose}: {count:,} of {of:,} sent back")

            moved.append(
                move(
                    sqs,
                    found.queue,
                    limit=options.limit,
                    by_service=not embedded,
                    stop=lambda: interruption.level > 0,
                    tell=tell,
                )
            )
        if interruption.level:
            return moved, interruption.exit_code
    return moved, INCOMPLETE if any(each.problem for each in moved) else 0
