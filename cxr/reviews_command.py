"""The arguments of `cxr reviews`, and what it prints."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cxr.command_line import INCOMPLETE, Parser, Subcommands

if TYPE_CHECKING:
    from cxr.review_export import Reviewed
    from cxr.stored_results import ResultStore

_NOTES: Final = """\
RESULTS is a folder that `cxr analyze --out` wrote, or s3://bucket[/prefix]. Images of a folder are
looked for below --images, under the paths they were analysed by; images of a bucket in their
bucket. Only whole reviews are exported: triage and every finding judged.

exit code: 0 every review was exported; 1 some were not (listed with the reason), or there are none
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand and its actions."""
    reviews = commands.add_parser("reviews", help="use what people said of results")
    actions = reviews.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser(
        "export",
        help="write reviewed results as a data set to train on",
        description="Write reviewed results in PadChest-GR's files and columns, to train on.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("results", metavar="RESULTS", help="folder, or s3://bucket[/prefix]")
    export.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the data set; not there"
    )
    export.add_argument("--images", type=Path, metavar="DIR", help="where the images lie")
    export.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="train",
        help="that all of it belongs to (default: train)",
    )
    export.set_defaults(run=export_command)


def export_command(options: argparse.Namespace) -> int:
    """Export, and say what was left out."""
    from cxr.keys import shown
    from cxr.originals import Originals
    from cxr.result_places import open_store
    from cxr.review_export import export_reviews
    from lambdas.shared.errors import InvalidRequestError
    from lambdas.shared.isolated_reader import IsolatedReader

    out: Path = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequestError(f"--out {shown(out)} is not empty; name a new folder")
    store, originals = open_store(options.results), Originals(options.images)

    def write(name: str, content: bytes) -> None:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    with IsolatedReader() as reader:
        summary = export_reviews(
            reviewed_results(store),
            original=originals.find,
            why_missing=originals.why_missing,
            read=reader.read,
            write=write,
            split=options.split,
        )
    for key, reason in summary.left_out:
        sys.stderr.write(f"left out: {key}: {reason}\n")
    if not summary.exported:
        sys.stderr.write("no review was exported\n")
        return INCOMPLETE
    images = "image" if summary.exported == 1 else "images"
    sys.stdout.write(f"{summary.exported} reviewed {images} in {shown(out)}\n")
    sys.stdout.write(f"python -m training.prepare --data {shown(out)} --out prepared\n")
    return INCOMPLETE if summary.left_out else 0


def reviewed_results(store: "ResultStore") -> Iterator["Reviewed"]:
    """Every result of a store that has a review of its own record, by key."""
    from cxr.review_export import Reviewed

    rows = [row.result for row in store.listing().results if row.reviewed]
    for result in sorted(rows, key=lambda row: row.key):
        record = store.record(result.folder)
        found = store.review(result.folder, record=record)
        if found.review is not None:
            yield Reviewed(record, found.review)
