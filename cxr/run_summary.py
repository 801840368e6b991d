"""What a run has come to: for a person at its end, and as JSON for a program."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cxr.discover import Omission
from cxr.keys import INDEX_FILE, SUMMARY_FILE, shown
from cxr.progress import FAILED, counts_text, duration
from cxr.results import ABNORMAL, NORMAL, REJECTED, Result, number_name
from lambdas.report.words import RESEARCH_ONLY

MOST_ROWS: Final = 25
"""A table longer than a screen is no summary; index.html has them all."""

MOST_LINES: Final = 10
"""Lines shown of a list of files; `--json` has them all."""

KIND_STYLES: Final = {NORMAL: "green", ABNORMAL: "bold dark_orange", REJECTED: "dim"}
"""How results look on a terminal, by `Result.kind`."""


@dataclass(frozen=True)
class RunSummary:
    """One run, ended or interrupted.

    Attributes:
        out: The folder of results.
        model_set: Of the models used.
        results: Of the images named in this run, done now or before, by key.
        already_done: How many of `results` were done before.
        replaced: How many earlier results belonged to other content under the same key.
        skipped: Files left out on purpose.
        failed: Files without a record that should have one.
        pending: Images that an interruption left.
        warnings: Sentences of the models.
        elapsed_s: From the first image handed out to the last outcome.
        exit_code: Of the command.
        formats: Optional outputs that were asked for.
    """

    out: Path
    model_set: str
    results: tuple[Result, ...]
    already_done: int
    replaced: int
    skipped: tuple[Omission, ...]
    failed: tuple[Omission, ...]
    pending: int
    warnings: tuple[str, ...]
    elapsed_s: float
    exit_code: int
    formats: frozenset[str] = frozenset()

    @property
    def done_now(self) -> int:
        """Records written by this run."""
        return len(self.results) - self.already_done

    @property
    def kinds(self) -> Mapping[str, int]:
        """Number of results by kind."""
        return Counter(result.kind for result in self.results)

    @property
    def rejections(self) -> Mapping[str, int]:
        """Number of rejections by reason code, most frequent first."""
        codes = Counter(result.rejection_code for result in self.results if result.rejection_code)
        return dict(codes.most_common())

    @property
    def made(self) -> Mapping[str, int]:
        """How many images have each of the formats that were asked for."""
        return {
            name: sum(name in result.formats for result in self.results)
            for name in sorted(self.formats)
        }

    @property
    def left_out(self) -> Mapping[tuple[str, str], int]:
        """How many images cannot have some of these formats: by their names and the reason."""
        found: Counter[tuple[str, str]] = Counter()
        for result in self.results:
            by_reason: dict[str, list[str]] = {}
            for name, reason in result.left_out:
                if name in self.formats:
                    by_reason.setdefault(reason, []).append(name)
            found.update((", ".join(names), reason) for reason, names in by_reason.items())
        return dict(found.most_common())


def as_json(summary: RunSummary) -> dict[str, Any]:
    """The summary for a program."""
    rate = summary.done_now / summary.elapsed_s if summary.done_now else None
    return {
        "out": str(summary.out),
        "index": str(summary.out / INDEX_FILE),
        "summary_csv": str(summary.out / SUMMARY_FILE),
        "model_set": summary.model_set,
        "exit_code": summary.exit_code,
        "images": len(summary.results) + len(summary.failed) + summary.pending,
        "normal": summary.kinds.get(NORMAL, 0),
        "abnormal": summary.kinds.get(ABNORMAL, 0),
        "rejected": summary.kinds.get(REJECTED, 0),
        "already_done": summary.already_done,
        "replaced": summary.replaced,
        "pending": summary.pending,
        "rejections": dict(summary.rejections),
        "failed": [{"key": entry.key, "reason": entry.reason} for entry in summary.failed],
        "skipped": [{"key": entry.key, "reason": entry.reason} for entry in summary.skipped],
        "warnings": list(dict.fromkeys(summary.warnings)),
        "formats": dict(summary.made),
        "elapsed_s": round(summary.elapsed_s, 3),
        "images_per_s": round(rate, 3) if rate else None,
        "results": [
            {
                "key": result.key,
                "image_id": result.image_id,
                "status": result.status,
                "label": result.label,
                "probability": result.probability,
                "calibrated": result.calibrated,
                "findings": [{"label": label, "score": score} for label, score in result.findings],
                "rejection_code": result.rejection_code,
                "formats": sorted(result.formats),
                "left_out": [
                    {"format": name, "reason": reason} for name, reason in result.left_out
                ],
                "record": str(summary.out / result.record_path),
            }
            for result in summary.results
        ],
    }


def print_summary(summary: RunSummary, console: Console) -> None:
    """Print the summary for a person."""
    if 0 < len(summary.results) <= MOST_ROWS:
        console.print(results_table(summary.results))
    _print(console, _headline(summary), style="bold")
    for code, count in summary.rejections.items():
        _print(console, f"  {count} rejected: {code.replace('_', ' ')}")
    if summary.formats:
        made = ", ".join(f"{name} {count}" for name, count in summary.made.items())
        _print(console, f"Formats: {made}")
    for (names, reason), count in summary.left_out.items():
        _print(console, f"  {count} without {names}: {shown(reason)}")
    _print_list(console, "Skipped", summary.skipped)
    if summary.replaced:
        _print(
            console,
            f"Replaced: {summary.replaced} earlier, of other content under the same name",
        )
    print_failures(summary, console)
    for warning in dict.fromkeys(summary.warnings):
        _print(console, f"Warning: {warning}", style="yellow")
    _print(console, RESEARCH_ONLY)
    _print(console, f"Look at {shown(summary.out / INDEX_FILE)}")


def print_failures(summary: RunSummary, console: Console) -> None:
    """Print only what needs somebody's attention."""
    _print_list(console, "Failed, without a record", summary.failed, style="bold red")
    if summary.pending:
        _print(
            console,
            f"Interrupted, {summary.pending} left. Run the same command again (without --force) "
            "to go on.",
            style="bold",
        )


def results_table(results: Sequence[Result]) -> Table:
    """A line for each result: image, label, number, findings or why it was rejected."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Image", overflow="fold", ratio=3)
    table.add_column("Result", no_wrap=True)
    table.add_column(number_name(results), no_wrap=True, justify="right")
    table.add_column("Findings, or why it was rejected", overflow="fold", ratio=5)
    for result in results:
        table.add_row(
            Text(shown(result.key)),
            Text(shown(result.label or "Rejected"), style=KIND_STYLES[result.kind]),
            Text(result.number_text),
            Text(shown(result.rejection_message or result.findings_text)),
        )
    points = {
        f"{result.positive_label} from {result.threshold:g}"
        for result in results
        if result.threshold is not None
    }
    if points:
        table.caption = shown(", ".join(sorted(points)))
        table.caption_justify = "left"
    return table


def _headline(summary: RunSummary) -> str:
    total = len(summary.results)
    counts = Counter(summary.kinds) | Counter({FAILED: len(summary.failed)})
    line = f"{total} {'image has a record' if total == 1 else 'images have a record'}: "
    line += counts_text(counts)
    if summary.already_done:
        line += f"; {summary.already_done} already done"
    if summary.done_now:
        rate = summary.done_now / summary.elapsed_s
        line += f"; {summary.done_now} in {duration(summary.elapsed_s)}, {rate:.1f} images/s"
    return line


def _print_list(
    console: Console, title: str, entries: Sequence[Omission], *, style: str = ""
) -> None:
    if not entries:
        return
    _print(console, f"{title}: {len(entries)}", style=style)
    for entry in entries[:MOST_LINES]:
        _print(console, f"  {shown(entry.key)}: {shown(entry.reason)}")
    if len(entries) > MOST_LINES:
        _print(console, f"  and {len(entries) - MOST_LINES} more; --json lists all")


def _print(console: Console, line: str, *, style: str = "") -> None:
    """A line that is neither markup nor wrapped: paths must survive copying."""
    console.print(Text(line, style=style), soft_wrap=True)
