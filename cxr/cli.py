"""The `cxr` command: arguments in, exit code out.

Exit codes: 0 every image has a record; 1 some image has none; 2 the command cannot be followed;
130 after Ctrl-C.
"""

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cxr import (
    analyze_command,
    archive_command,
    local_command,
    logs_command,
    models_command,
    redrive_command,
    results_command,
    reviews_command,
    status_command,
    upload_command,
    web_command,
)
from cxr.command_line import INCOMPLETE, INTERRUPTED, USAGE_ERROR, Parser, write_json

if TYPE_CHECKING:
    from cxr.analyze import MakeAnalyser

_COMMANDS: Final = (
    analyze_command,
    results_command,
    models_command,
    local_command,
    upload_command,
    archive_command,
    status_command,
    redrive_command,
    logs_command,
    reviews_command,
    web_command,
)
"""In the order of --help."""

_DESCRIPTION: Final = """\
Chest radiographs in, triage, localised findings and PDF reports out.
Research use only. Not a medical device.
"""

_EXAMPLES: Final = """\
examples:
  cxr analyze scans/ --out results/           a folder, all levels
  cxr analyze 'scans/**/*.dcm' --out results/ a pattern, in quotes
  cxr models show                             the models and their operating points
  cxr local                                   the whole cloud on this machine
  cxr upload scans/ --local --wait            images into it, and their results
  cxr archive plan s3://BUCKET/2019/          what an archive takes and costs
  cxr status                                  how a deployment is
  cxr web --results results/                  the page: upload, look, review

Then open results/index.html.
"""


def main(argv: Sequence[str] | None = None, *, make_analyser: "MakeAnalyser | None" = None) -> int:
    """Run the command and return its exit code.

    Args:
        argv: Arguments after the command's name; None for those of the process.
        make_analyser: Stands in for the models, in tests.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show must not end us
            stream.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed help, version or what is wrong
        return stop.code if isinstance(stop.code, int) else USAGE_ERROR
    from lambdas.shared.errors import CxrError, TransientError

    options.make_analyser = make_analyser
    try:
        return int(options.run(options))
    except TransientError as error:
        return _refuse(str(error), options, exit_code=INCOMPLETE)
    except CxrError as error:
        return _refuse(str(error), options, exit_code=USAGE_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted before any image was begun; run the same command again\n")
        return INTERRUPTED


def _refuse(message: str, options: argparse.Namespace, *, exit_code: int) -> int:
    if getattr(options, "json", False):
        write_json({"error": message, "exit_code": exit_code})
    sys.stderr.write(f"cxr {options.command}: {message}\n")
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="cxr",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"cxr {importlib.metadata.version('cxr-batch')}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
