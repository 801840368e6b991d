"""The arguments of `cxr results`, and what it prints."""

import argparse
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from cxr import aws
from cxr.command_line import INCOMPLETE, Parser, Subcommands, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from cxr.record_filter import RecordFilter
    from cxr.record_overview import Overview
    from cxr.record_source import RecordSource
    from lambdas.lake.rows import RecordRows

_NOTES: Final = """\
SOURCE is a folder that `cxr analyze --out` wrote, or s3://bucket/results/. Without one, the results
of the deployment are meant.

--to FILE.parquet, .csv or .jsonl writes one row for each image; --table findings one for each box.
--to lake/ or s3://bucket/lake/ writes both tables as partitioned Parquet, and what is there already
is replaced: model set by model set, day by day, never doubled. Columns and queries:
lambdas/lake/LAKE.md. Without --to, what the records come to is counted and printed.

No column says whose image it is, unless --with-keys: then file names and attributes passed through
are among them.

exit code: 0 all records were read; 1 some could not be; 2 the command cannot be followed
"""

_MOST_NAMED: Final = 10
"""Unreadable records that are named one by one."""

_EVERY: Final = 1000
"""Records between two signs of life."""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "results",
        help="count results, or write them as Parquet, CSV or JSON lines",
        description="Count results, or write them as Parquet, CSV or JSON lines.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE", help="folder or s3://bucket/results/"
    )
    parser.add_argument(
        "--to", metavar="PATH", help="file (.parquet, .csv, .jsonl), or folder or s3:// for a lake"
    )
    parser.add_argument(
        "--table", choices=("records", "findings"), default="records", help="rows of a file"
    )
    parser.add_argument(
        "--with-keys", action="store_true", help="with file names and passed-through attributes"
    )
    parser.add_argument("--json", action="store_true", help="print counts as JSON")
    chosen = parser.add_argument_group("which records; all that are named must hold")
    chosen.add_argument("--since", type=_day, metavar="DAY", help="made on this day (UTC) or later")
    chosen.add_argument("--until", type=_day, metavar="DAY", help="made on this day or earlier")
    chosen.add_argument("--model-set", metavar="HEX", help="made by these models")
    chosen.add_argument("--status", choices=("analysed", "rejected"))
    chosen.add_argument(
        "--label", action="append", default=[], metavar="LABEL", help="triage label; repeatable"
    )
    chosen.add_argument(
        "--min-probability", type=_fraction, metavar="P", help="of the positive label, 0 to 1"
    )
    chosen.add_argument("--max-probability", type=_fraction, metavar="P")
    chosen.add_argument(
        "--finding", action="append", default=[], metavar="LABEL", help="with this; repeatable"
    )
    chosen.add_argument(
        "--min-score", type=_fraction, metavar="S", help="with a finding of this score, 0 to 1"
    )
    aws.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Count or write; exit code 1 if a record could not be read."""
    from rich.console import Console

    from cxr.record_export import FileTarget, is_file_target, open_lake, write_file, write_lake
    from cxr.record_filter import RecordFilter
    from cxr.record_overview import Overview, as_json, print_overview
    from cxr.record_source import open_source
    from lambdas.shared.errors import InvalidRequestError

    to_file = options.to is not None and is_file_target(options.to)
    cloud = aws.cloud_of(options)
    source, named = open_source(options.source or _deployed(options), cloud)
    wanted = RecordFilter(
        model_set=options.model_set or named,
        since=options.since,
        until=options.until,
        status=options.status,
        labels=frozenset(options.label),
        min_probability=options.min_probability,
        max_probability=options.max_probability,
        findings=frozenset(options.finding),
        min_score=options.min_score,
    )
    overview, screen = Overview(), Console(stderr=True)
    written: dict[str, Any] = {}
    with _Passing(wanted, overview, screen) as passing:
        rows = (row for piece in source.pieces(wanted.scope) for row in source.rows(piece))
        if to_file:
            target = FileTarget(Path(options.to), options.table, options.with_keys)
            written = {"rows": write_file(passing.watch(rows), target)}
        elif options.to is not None:
            if wanted.chooses_records:
                raise InvalidRequestError(
                    "a lake holds all records of its days: choose by --since, --until and "
                    "--model-set alone, and filter when you ask it; or write a single file"
                )
            lake = open_lake(options.to, cloud)
            done = write_lake(
                source, wanted.scope, lake=lake, with_keys=options.with_keys, watch=passing.watch
            )
            written = {"rows": done.records + done.findings, "files": done.written}
            written |= {"removed": done.removed, "size_bytes": done.size_bytes}
        else:
            for _ in passing.watch(rows):
                pass
    if options.json:
        write_json(as_json(overview) | {"written": written or None})
    elif written:
        Console().print(_written_text(options.to, written), highlight=False, soft_wrap=True)
    else:
        print_overview(overview, Console())
    return _tell_unreadable(source, screen)


class _Passing:
    """Sees records pass: filters, counts, and shows on a terminal that something moves."""

    def __init__(self, wanted: "RecordFilter", overview: "Overview", screen: "Console") -> None:
        self._wanted, self._overview = wanted, overview
        self._status = screen.status("Reading results") if screen.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status:
            self._status.stop()

    def watch(self, rows: "Iterable[RecordRows]") -> "Iterator[RecordRows]":
        for row in rows:
            kept = self._wanted.apply(row)
            if kept is None:
                continue
            self._overview.add(kept)
            if self._status and self._overview.images % _EVERY == 0:
                self._status.update(f"{self._overview.images:,} records")
            yield kept


def _deployed(options: argparse.Namespace) -> str:
    """Address of the deployment's results."""
    from cxr.deployment import deployment_of

    return f"s3://{deployment_of(options).results_bucket}/"


def _written_text(to: str, written: dict[str, Any]) -> str:
    from cxr.keys import shown

    rows = f"{written['rows']:,} row{'' if written['rows'] == 1 else 's'}"
    if "files" not in written:
        return f"{rows} in {shown(to)}"
    kilobytes = written["size_bytes"] / 1000
    size = f"{kilobytes:.0f} kB" if kilobytes < 1000 else f"{kilobytes / 1000:.1f} MB"
    text = f"{rows} in {written['files']:,} files ({size}) below {shown(to)}"
    return text + (f"; {written['removed']:,} outdated removed" if written["removed"] else "")


def _tell_unreadable(source: "RecordSource", screen: "Console") -> int:
    """Name what could not be read; the exit code."""
    from cxr.keys import shown

    for name, reason in source.unreadable[:_MOST_NAMED]:
        screen.print(f"{shown(name)}: {reason}", highlight=False, markup=False, soft_wrap=True)
    more = len(source.unreadable) - _MOST_NAMED
    if more > 0:
        screen.print(f"and {more:,} more that are no records", highlight=False)
    return INCOMPLETE if source.unreadable else 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day, expected YYYY-MM-DD") from None


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value
