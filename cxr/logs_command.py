"""The arguments of `cxr logs`."""

import argparse
import re
from datetime import timedelta
from typing import Final

from cxr import aws
from cxr.command_line import Parser, Subcommands, positive, write_json

MOST_VERSIONS: Final = 5

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

_NOTES: Final = """\
KEY is s3://bucket/key, a key of the intake bucket (with or without images/ in front), or
an image_id. For each version of the object: its record, or where its message lies, and
what the logs of all stages say of it, by time. Logs and metrics know an image by its
image_id alone; this command computes it from bucket, key and version.

Archive jobs (cxr archive) log an image as "batch", and only where it failed: what
went well is told by its record.

A message that was given up is looked for in the dead letter queues: they are read and
handed back at once, which their receive count shows. The other queues are not read: that
would use up attempts.

exit code: 0 something is known of the image; 1 nothing is; 2 the command cannot be
followed
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "logs",
        help="what happened to one image in a deployment",
        description="What happened to one image, across the stages.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("key", metavar="KEY", help="s3://bucket/key, key, or image_id")
    parser.add_argument(
        "--since",
        type=_ago,
        metavar="TIME",
        help="search the logs of this long: 30m, 12h, 7d (default: since the upload)",
    )
    parser.add_argument(
        "--versions",
        type=positive,
        default=MOST_VERSIONS,
        metavar="N",
        help=f"tell of the newest N versions (default: {MOST_VERSIONS})",
    )
    parser.add_argument(
        "--no-queues", action="store_true", help="do not look into the dead letter queues"
    )
    parser.add_argument(
        "--show-keys", action="store_true", help="show the key that a record names, for an image_id"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    aws.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Tell the story of an image."""
    from rich.console import Console

    from cxr.deployment import deployment_of
    from cxr.image_story import tell_story
    from cxr.image_story_text import as_json, print_story

    story = tell_story(
        deployment_of(options),
        options.key,
        since=options.since,
        most_versions=options.versions,
        queues=not options.no_queues,
    )
    if options.json:
        write_json(as_json(story, show_keys=options.show_keys))
    else:
        print_story(story, Console(), show_keys=options.show_keys)
    return story.exit_code


def _ago(text: str) -> timedelta:
    """Argument type: `30m`, `12h`, `7d`."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, expected such as 30m, 12h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
