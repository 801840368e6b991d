"""The status on a screen, within 80 columns."""

from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cxr.status import Status

UNKNOWN: Final = "n/a"
"""Where CloudWatch says nothing: that is not zero."""

_COUNTS: Final = {"Waiting": "waiting", "In\nflight": "in_flight", "Delayed": "delayed"}
"""Attributes of `Depth`, by the titles of their columns."""


def status_view(status: Status) -> RenderableType:
    """All that `cxr status` says."""
    lines: list[RenderableType] = [
        Text(f"{status.stack} at {status.where}, {status.at:%Y-%m-%d %H:%M:%S} UTC", style="bold"),
        _table(status),
        *_sentences(status),
    ]
    return Group(*lines)


def print_status(status: Status, console: Console) -> None:
    """Print it."""
    console.print(status_view(status))


def age_text(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3.5 h`, `2.0 d`; how old something is, roughly."""
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 120 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"


def _table(status: Status) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("Stage", "total", no_wrap=True)
    for title, name in _COUNTS.items():
        total = sum(getattr(stage.queue, name) for stage in status.stages)
        table.add_column(title, f"{total:,}", justify="right", no_wrap=True)
    for title in ("Oldest", "Images\n/min", "Errors\n/h"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Given\nup", f"{status.dead:,}", justify="right", no_wrap=True)
    table.add_row("upload rule", *[""] * 6, _dead(status.rule_dead.total))
    for stage in status.stages:
        table.add_row(
            stage.name,
            *(f"{getattr(stage.queue, name):,}" for name in _COUNTS.values()),
            age_text(stage.oldest_s),
            UNKNOWN if stage.per_minute is None else f"{stage.per_minute:.1f}",
            UNKNOWN if stage.errors is None else f"{stage.errors:,}",
            _dead(stage.dead.total),
        )
    return table


def _sentences(status: Status) -> list[Text]:
    lines = []
    if status.analysed is None and status.rejected is None:
        lines.append(Text(f"Records in the last hour: {UNKNOWN}"))
    else:
        lines.append(
            Text(
                f"Records in the last hour: {status.analysed or 0:,} analysed, "
                f"{status.rejected or 0:,} rejected"
            )
        )
    throttled = [f"{stage.name} {stage.throttles:,}" for stage in status.stages if stage.throttles]
    if throttled:
        lines.append(Text(f"Throttled in the last hour: {', '.join(throttled)}", style="yellow"))
    if status.dead:
        what = "1 message was" if status.dead == 1 else f"{status.dead:,} messages were"
        lines.append(
            Text(f"{what} given up; nothing is lost. Why: cxr redrive --dry-run", style="red")
        )
    if status.must_act_by_days is not None:
        lines.append(
            Text(
                f"The oldest was given up {status.must_act_by_days} days ago; SQS deletes a message"
                " 14 days after it was first sent.",
                style="bold red",
            )
        )
    return lines


def _dead(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "")
