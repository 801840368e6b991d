"""The `cxr` command: arguments in, exit code out.

Exit codes: 0 every image has a record; 1 some image has none; 2 the command cannot be followed;
130 after Ctrl-C.
"""

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from cxr.analyze import MakeAnalyser

INCOMPLETE: Final = 1
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130

_DESCRIPTION: Final = """\
Chest radiographs in, triage, localised findings and PDF reports out.
Research use only. Not a medical device.
"""

_EXAMPLES: Final = """\
examples:
  cxr analyze scans/ --out results/           a folder, all levels
  cxr analyze 'scans/**/*.dcm' --out results/ a pattern, in quotes
  cxr models show                             the models and their operating points

Then open results/index.html.
"""

_ANALYZE_NOTES: Final = """\
PATH is a folder (searched at all levels), a file, or a pattern in quotes ('scans/**/*.dcm').
Files are told by content, not by name: text is skipped, every other file gets a record, analysed
or rejected with the reason. Hidden files are left out.

Results of scans/a/1.dcm lie in DIR/a/1.dcm/: record.json, report.pdf, thumbnail.jpg. With several
PATHs each puts its own name in front: DIR/scans/a/1.dcm/. DIR holds one model set; --force with
other models replaces its results, if all their images are named.

Run the same command again after an interruption, or when there are new images: what is done is
left as it is.

exit code: 0 every image has a record; 1 some image has none (listed with the reason);
2 the command cannot be followed; 130 interrupted by Ctrl-C
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
    from lambdas.shared.errors import CxrError, StorageUnavailableError

    try:
        if options.command == "analyze":
            return _analyze(options, make_analyser)
        return _models_show(options)
    except StorageUnavailableError as error:
        return _refuse(str(error), options, exit_code=INCOMPLETE)
    except CxrError as error:
        return _refuse(str(error), options, exit_code=USAGE_ERROR)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted before any image was begun; run the same command again\n")
        return INTERRUPTED


def _analyze(options: argparse.Namespace, make_analyser: "MakeAnalyser | None") -> int:
    # imported here, so that --help and --version answer at once
    from rich.console import Console

    from cxr.analyser import DEFAULT_MODELS, bundles_analyser
    from cxr.analyze import AnalyzeOptions, analyze
    from cxr.run_summary import as_json, print_failures, print_summary

    summary = analyze(
        AnalyzeOptions(
            paths=tuple(options.paths),
            out=options.out,
            models=options.models or DEFAULT_MODELS,
            workers=options.workers,
            force=options.force,
            detect_all=options.detect_all,
            quiet=options.quiet,
        ),
        console=Console(stderr=True),
        make_analyser=make_analyser or bundles_analyser,
    )
    if options.json:
        _write_json(as_json(summary))
    elif options.quiet:
        print_failures(summary, Console(stderr=True))
    else:
        print_summary(summary, Console())
    return summary.exit_code


def _models_show(options: argparse.Namespace) -> int:
    from rich.console import Console

    from cxr.analyser import DEFAULT_MODELS
    from cxr.models_command import describe_models, print_models

    description = describe_models(options.folder or DEFAULT_MODELS)
    if options.json:
        _write_json(description)
    else:
        print_models(description, Console())
    return 0 if description["usable"] else INCOMPLETE


def _refuse(message: str, options: argparse.Namespace, *, exit_code: int) -> int:
    if options.json:
        _write_json({"error": message, "exit_code": exit_code})
    sys.stderr.write(f"cxr {options.command}: {message}\n")
    return exit_code


def _write_json(document: dict[str, Any]) -> None:
    # ASCII: names that are no valid text survive as escapes
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")


class _Parser(argparse.ArgumentParser):
    """Says where to look when arguments are wrong."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to find out more; exit code 2."""
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cxr",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"cxr {importlib.metadata.version('cxr-batch')}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_analyze(commands)
    _add_models(commands)
    return parser


def _add_analyze(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser(
        "analyze",
        help="analyse images and write a record and a report for each",
        description="Analyse images and write a record and a report for each.",
        epilog=_ANALYZE_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="folder, file or quoted pattern")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of results; made if missing"
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder with the bundles classifier/ and detector/ (default: models/demo)",
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="processes, each about 1 GB (default: to suit the machine)",
    )
    parser.add_argument("--force", action="store_true", help="do again what is already done")
    parser.add_argument(
        "--detect-all", action="store_true", help="look for findings in normal images as well"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON instead of a table"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but failures")


def _add_models(commands: "argparse._SubParsersAction[_Parser]") -> None:
    models = commands.add_parser("models", help="describe model bundles")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser(
        "show",
        help="what the models are, what they were trained on, how they were measured",
        description="Describe the bundles classifier/ and detector/, and check that they load.",
    )
    show.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="default: models/demo")
    show.add_argument("--json", action="store_true", help="print JSON instead of text")


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes from 1")
    return value
