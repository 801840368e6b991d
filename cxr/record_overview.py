"""What many records come to, counted while they pass: printed by `cxr results`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lambdas.lake.rows import RecordRows
from lambdas.report.words import RESEARCH_ONLY


@dataclass
class Overview:
    """Counts.

    Attributes:
        images: Records.
        days: First and last day; None before the first record.
        model_sets: Records by model set.
        labels: Analysed records by the classifier's label.
        rejections: Rejected records by reason code.
        assessed: Images that a finding was looked for in, by finding.
        found: Images that it was found in, by finding.
        trained_on: What the models were trained on.
    """

    images: int = 0
    days: tuple[date, date] | None = None
    model_sets: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    assessed: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    trained_on: set[str] = field(default_factory=set)

    def add(self, rows: RecordRows) -> None:
        """Count one record."""
        record = rows.record
        self.images += 1
        first, last = self.days or (rows.date, rows.date)
        self.days = min(first, rows.date), max(last, rows.date)
        self.model_sets[rows.model_set] += 1
        if record["rejection_code"]:
            self.rejections[record["rejection_code"]] += 1
        else:
            self.labels[record["label"]] += 1
        if record["detection_performed"]:
            self.assessed.update(record["detectable"])
        self.found.update({finding["finding"] for finding in rows.findings})
        self.trained_on |= {record["classifier_trained_on"], record["detector_trained_on"]}

    @property
    def valid_on_patients(self) -> bool:
        """Whether the models' thresholds were chosen on patients."""
        return self.trained_on <= {"patients"}


def as_json(overview: Overview) -> dict[str, Any]:
    """The counts for a program."""
    days = overview.days and [day.isoformat() for day in overview.days]
    return {
        "images": overview.images,
        "first_day": days[0] if days else None,
        "last_day": days[1] if days else None,
        "model_sets": dict(overview.model_sets),
        "labels": dict(overview.labels),
        "rejections": dict(overview.rejections),
        "findings": {
            name: {"assessed": overview.assessed[name], "found": overview.found[name]}
            for name in _findings(overview)
        },
    }


def print_overview(overview: Overview, console: Console) -> None:
    """The counts for a person."""
    if overview.days is None:
        console.print("No records match.")
        return
    first, last = overview.days
    span = f"{first}" if first == last else f"{first} to {last}"
    images = "1 image" if overview.images == 1 else f"{overview.images:,} images"
    console.print(f"{images}, {span}", highlight=False)
    for name, count in sorted(overview.model_sets.items()):
        console.print(f"Model set {name}: {count:,}", highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
    table.add_column("Result")
    table.add_column("Images", justify="right")
    table.add_column("Share", justify="right")
    for label, count in overview.labels.most_common():
        table.add_row(label, f"{count:,}", _share(count, overview.images))
    for code, count in overview.rejections.most_common():
        words = f"Rejected: {code.replace('_', ' ')}"
        table.add_row(words, f"{count:,}", _share(count, overview.images))
    console.print()
    console.print(table)
    if names := _findings(overview):
        console.print()
        console.print(_findings_table(overview, names))
    console.print()
    if not overview.valid_on_patients:
        console.print("Warning: thresholds not valid on patients.", highlight=False)
    console.print(RESEARCH_ONLY, highlight=False)


def _findings(overview: Overview) -> Iterable[str]:
    """Most frequent first."""
    names = set(overview.assessed) | set(overview.found)
    return sorted(names, key=lambda name: (-overview.found[name], name))


def _findings_table(overview: Overview, names: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
    table.add_column("Finding")
    table.add_column("Found in", justify="right")
    table.add_column("Looked for in", justify="right")
    table.add_column("Share", justify="right")
    for name in names:
        found, assessed = overview.found[name], overview.assessed[name]
        table.add_row(name, f"{found:,}", f"{assessed:,}", _share(found, assessed))
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
