"""The arguments of `cxr analyze`, and what it prints."""

import argparse
from pathlib import Path
from typing import Final

from cxr.command_line import Parser, Subcommands, positive, write_json

_NOTES: Final = """\
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


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "analyze",
        help="analyse images and write a record and a report for each",
        description="Analyse images and write a record and a report for each.",
        epilog=_NOTES,
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
        type=positive,
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
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Analyse, print the summary, return the exit code."""
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
        make_analyser=getattr(options, "make_analyser", None) or bundles_analyser,
    )
    if options.json:
        write_json(as_json(summary))
    elif options.quiet:
        print_failures(summary, Console(stderr=True))
    else:
        print_summary(summary, Console())
    return summary.exit_code
