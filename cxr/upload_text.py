"""What `cxr upload` says at its end, the same for a program, and the manifest."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from cxr.discover import Omission
from cxr.keys import shown
from cxr.progress import duration
from cxr.run_summary import MOST_LINES, MOST_ROWS, results_table
from cxr.upload import UploadSummary
from cxr.upload_object import REPLACED, THERE, UPLOADED
from cxr.upload_progress import counts_text, size_text
from cxr.upload_wait import Awaited
from lambdas.shared.records import REPORT_FILE

MANIFEST_COLUMNS: Final = ("bucket", "key", "version_id", "sha256", "image_id")
"""The first three are those of an archive job's list."""


MOST_LINKS: Final = 5
"""Addresses of reports shown; each takes two lines of a terminal."""


def print_upload(summary: UploadSummary, console: Console) -> None:
    """Print what was uploaded, and what was not."""
    _line(console, _planned(summary) if summary.dry_run else _done(summary), style="bold")
    _list(console, "Skipped", summary.skipped)
    _list(console, "Failed", summary.failed, style="bold red")
    if summary.problem:
        _line(console, f"Broken off: {shown(summary.problem)}", style="bold red")
    if summary.pending:
        _line(
            console,
            f"{summary.pending:,} left. Run the same command again to go on: what is there is not "
            "uploaded twice.",
            style="bold",
        )


def print_awaited(awaited: Awaited, console: Console) -> None:
    """Print the results that were waited for."""
    results = tuple(
        sorted((record.result for record in awaited.records), key=lambda result: result.key)
    )
    if 0 < len(results) <= MOST_ROWS:
        console.print(results_table(results))
    _line(console, _headline(awaited), style="bold")
    for name, whose in awaited.given_up[:MOST_LINES]:
        _line(console, f"  given up by {whose}: {shown(name)}", style="red")
    for name in awaited.pending[:MOST_LINES]:
        _line(console, f"  no record yet: {shown(name)}")
    more = max(0, len(awaited.pending) - MOST_LINES) + max(0, len(awaited.given_up) - MOST_LINES)
    if more:
        _line(console, f"  and {more:,} more; --json lists all")
    if awaited.why:
        _line(console, shown(awaited.why), style="yellow")
    _print_where(awaited, console)


def _print_where(awaited: Awaited, console: Console) -> None:
    """Links to a few reports; for many, the way to them."""
    if not awaited.records:
        return
    first = awaited.records[0]
    if first.link is None:
        _line(console, f"Look at them: cxr web --results s3://{first.bucket}")
    elif len(awaited.records) > MOST_LINKS:
        _line(console, "Where a report is: cxr logs KEY")
    else:
        for record in sorted(awaited.records, key=lambda record: record.result.key):
            _line(console, f"{shown(record.result.key)}: {record.link}{REPORT_FILE}")


def as_json(summary: UploadSummary, awaited: Awaited | None, exit_code: int) -> dict[str, Any]:
    """All of it for a program."""
    bucket = summary.target.bucket
    document: dict[str, Any] = {
        "bucket": bucket,
        "prefix": summary.target.prefix,
        "dry_run": summary.dry_run,
        "exit_code": exit_code,
        **{state: summary.counts[state] for state in (UPLOADED, REPLACED, THERE)},
        "bytes_sent": 0 if summary.dry_run else summary.sent_bytes,
        "elapsed_s": round(summary.elapsed_s, 3),
        "pending": summary.pending,
        "problem": summary.problem,
        "skipped": [{"name": each.key, "reason": each.reason} for each in summary.skipped],
        "failed": [{"name": each.key, "reason": each.reason} for each in summary.failed],
        "images": [
            {
                "name": outcome.name,
                "state": outcome.state,
                "key": outcome.key,
                "version_id": outcome.version_id,
                "sha256": outcome.sha256,
                "image_id": outcome.image_id(bucket),
            }
            for outcome in summary.in_place
        ],
    }
    if awaited is not None:
        document["records"] = [
            {
                "image_id": record.result.image_id,
                "status": record.result.status,
                "label": record.result.label,
                "rejection_code": record.result.rejection_code,
                "folder": record.uri,
            }
            for record in awaited.records
        ]
        document["given_up"] = [{"name": name, "by": by} for name, by in awaited.given_up]
        document["without_record"] = list(awaited.pending)
    return document


def write_manifest(summary: UploadSummary, path: Path) -> None:
    """Write which objects the images are, readable by their owner alone: keys may name patients.

    Args:
        summary: Of an upload, even of a part of one.
        path: Replaced as a whole.
    """
    bucket = summary.target.bucket
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(MANIFEST_COLUMNS)
    for outcome in summary.in_place:
        version, image_id = outcome.version_id or "", outcome.image_id(bucket)
        writer.writerow([bucket, outcome.key, version, outcome.sha256, image_id])
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(text.getvalue().encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _done(summary: UploadSummary) -> str:
    count = len(summary.in_place)
    line = f"{count:,} {'image is' if count == 1 else 'images are'} in {shown(summary.target.uri)}"
    if count:
        line += f": {counts_text(summary.counts)}"
    if summary.sent_bytes:
        rate = size_text(summary.sent_bytes / max(summary.elapsed_s, 1e-3))
        line += f"; {size_text(summary.sent_bytes)} in {duration(summary.elapsed_s)}, {rate}/s"
    return line


def _planned(summary: UploadSummary) -> str:
    counts = summary.counts
    line = f"Would upload {counts[UPLOADED]:,}"
    if counts[REPLACED]:
        line += f" and replace {counts[REPLACED]:,}"
    return (
        f"{line} images ({size_text(summary.sent_bytes)}) to {shown(summary.target.uri)}; "
        f"{counts[THERE]:,} already there"
    )


def _headline(awaited: Awaited) -> str:
    total = len(awaited.records) + len(awaited.given_up) + len(awaited.pending)
    kinds = [record.result.kind for record in awaited.records]
    counts = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in dict.fromkeys(sorted(kinds)))
    have = "has" if len(kinds) == 1 else "have"
    return f"{len(kinds):,} of {total:,} {have} a record" + (f": {counts}" if counts else "")


def _list(console: Console, title: str, entries: Sequence[Omission], *, style: str = "") -> None:
    if not entries:
        return
    _line(console, f"{title}: {len(entries):,}", style=style)
    for entry in entries[:MOST_LINES]:
        _line(console, f"  {shown(entry.key)}: {shown(entry.reason)}")
    if len(entries) > MOST_LINES:
        _line(console, f"  and {len(entries) - MOST_LINES:,} more; --json lists all")


def _line(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
