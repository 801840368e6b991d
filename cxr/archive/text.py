"""What `cxr archive` prints for a person: no key of an image."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cxr.archive.follow import Snapshot
from cxr.archive.plan import Plan
from cxr.archive.report import JobReport
from cxr.archive.source import source_text
from cxr.archive.words import (
    CEILING,
    ENDED,
    NOT_METERED,
    count_text,
    size_text,
    spend_text,
    time_text,
    usd,
)
from cxr.keys import shown
from lambdas.report.words import RESEARCH_ONLY

_STYLES: Final = {
    "done": "bold green",
    "failed": "bold red",
    "budget": "bold yellow",
    "stopped": "bold yellow",
    "interrupted": "bold yellow",
}


def print_plan(plan: Plan, console: Console) -> None:
    """Counts, time and cost."""
    job, found, expected = plan.job, plan.survey, plan.estimate
    local = plan.place.name == "local"
    rows = [("Images", _images_text(plan)), ("Already done", _done_text(plan))]
    rows.append(("To do", count_text(found.to_do)))
    where = "on this machine" if local else "on AWS"
    rows.append(
        (
            "Work",
            f"{count_text(expected.batches, 'batch')} of up to {job.batch_images}, in "
            f"{count_text(expected.waves, 'wave')}; {plan.place.at_a_time} at a time {where}",
        )
    )
    rows.append(("Time", f"about {time_text(expected.seconds)}"))
    parts = ", ".join(f"{name} {usd(amount)}" for name, amount in expected.parts.items())
    label = "Cost, as on AWS" if local else "Cost"
    rows.append((label, f"about {usd(expected.usd)}: {parts}"))
    rows.append(("", f"at the very worst {usd(expected.worst_usd)}, if all ran into its limits"))
    if job.max_cost_usd is not None:
        rows.append(("Budget", f"{usd(job.max_cost_usd)}, {CEILING}"))
    _print(console, f"{shown(source_text(job.source))}, models {job.model_set}", style="bold")
    console.print(_grid(rows))
    for note in _plan_notes(plan):
        _print(console, note)


def _images_text(plan: Plan) -> str:
    found = plan.survey
    if found.unsized == found.images:
        return f"{found.images:,}"
    more = f", {found.unsized:,} of unknown size" if found.unsized else ""
    return f"{found.images:,}, {size_text(found.size_bytes)}{more}"


def _done_text(plan: Plan) -> str:
    found = plan.survey
    if not found.unknown:
        return f"{found.done:,} by these models"
    return (
        f"{found.done:,} by these models; of {found.unknown:,} listed without a version it is "
        "known only once each is looked up"
    )


def _plan_notes(plan: Plan) -> Sequence[str]:
    job, expected = plan.job, plan.estimate
    notes = [
        f"From {expected.image_ms:.0f} ms of a batch function an image, measured "
        f"{expected.measured}; prices of {job.prices.dated}. Requests to S3 are metered as if each "
        f"were sent twice. {NOT_METERED}"
    ]
    if plan.place.name == "local":
        notes.append("On this machine it costs nothing; the figures are what AWS would meter.")
    if job.max_cost_usd is not None and expected.usd > job.max_cost_usd:
        within = int(plan.survey.to_do * job.max_cost_usd / expected.usd)
        notes.append(
            f"The budget will end the job after about {count_text(within)}; "
            "`cxr archive resume` with a larger --max-cost goes on."
        )
    return notes


def status_view(snapshot: Snapshot) -> RenderableType:
    """How a job is."""
    job, tally = snapshot.job, snapshot.tally
    head = Text(f"{job.name}: ", style="bold")
    head.append(ENDED[snapshot.status], style=_STYLES.get(snapshot.status, "bold"))
    rows = [
        ("Images", _settled_text(snapshot)),
        ("Analysed", f"{tally.analysed:,}, of them {tally.positive:,} positive"),
        ("Rejected", f"{tally.rejected:,}"),
        ("Already done", f"{tally.already_done:,}"),
        ("Failed", f"{tally.failed:,}"),
    ]
    if tally.gone:
        rows.append(("Gone", f"{tally.gone:,} deleted or replaced since they were listed"))
    if snapshot.working or snapshot.images_per_s:
        rows.append(("Rate", _rate_text(snapshot)))
    rows.append(("Metered", spend_text(snapshot.spent_usd, job)))
    if snapshot.working and snapshot.wave:
        rows.append(("Wave", _wave_text(snapshot)))
    lines: list[RenderableType] = [head]
    if snapshot.total:
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(snapshot.total, min(snapshot.settled, snapshot.total), width=60))
        lines.append(bar)
    lines.append(_grid(rows))
    if snapshot.problem:
        lines.append(Text(snapshot.problem))
    return Group(*lines)


def _settled_text(snapshot: Snapshot) -> str:
    if snapshot.total is None:
        return f"{snapshot.settled:,} settled"
    return f"{snapshot.settled:,} of {snapshot.total:,} settled"


def _rate_text(snapshot: Snapshot) -> str:
    if snapshot.images_per_s is None:
        return "not known yet"
    text = f"{snapshot.images_per_s:.1f} images/s"
    if snapshot.seconds_left is not None:
        text += f", about {time_text(snapshot.seconds_left)} left"
    return text


def _wave_text(snapshot: Snapshot) -> str:
    text = f"{snapshot.wave}; {snapshot.batches_done} of {count_text(snapshot.batches, 'batch')}"
    if snapshot.map_run:
        run = snapshot.map_run
        text += f" ({run.running:,} running, {run.pending:,} pending, {run.failed:,} died)"
    return text


def status_line(snapshot: Snapshot) -> str:
    """One line, for logs and pipes."""
    tally = snapshot.tally
    parts = [
        ENDED[snapshot.status],
        _settled_text(snapshot),
        f"{tally.analysed:,} analysed, {tally.rejected:,} rejected, {tally.failed:,} failed",
        *([_rate_text(snapshot)] if snapshot.images_per_s else []),
        spend_text(snapshot.spent_usd, snapshot.job),
    ]
    return f"{snapshot.job.name}: " + "; ".join(parts)


def print_jobs(snapshots: Sequence[Snapshot], console: Console) -> None:
    """A line for each job."""
    if not snapshots:
        _print(console, "No archive jobs yet; `cxr archive plan` looks what one would take")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Job", "Status"):
        table.add_column(title, no_wrap=True)
    for title in ("Images", "Settled", "Failed", "Metered"):
        table.add_column(title, justify="right", no_wrap=True)
    for snapshot in snapshots:
        table.add_row(
            snapshot.job.name,
            Text(snapshot.status, style=_STYLES.get(snapshot.status, "")),
            "n/a" if snapshot.total is None else f"{snapshot.total:,}",
            f"{snapshot.settled:,}",
            f"{snapshot.tally.failed:,}",
            usd(snapshot.spent_usd),
        )
    console.print(table)


def print_report(report: JobReport, places: Sequence[str], console: Console) -> None:
    """The report in short, and where all of it is."""
    tally, job = report.tally, report.job
    _print(console, f"{job.name}: {ENDED[report.state.status]}", style="bold")
    rows = [
        ("Analysed", f"{tally.analysed:,}, of them {tally.positive:,} positive"),
        ("Rejected", f"{tally.rejected:,}" + _counted(report.rejections)),
        ("Failed", f"{tally.failed:,}" + _counted(report.reasons)),
        ("Already done", f"{tally.already_done:,}"),
        ("Metered", _metered_text(report)),
    ]
    if report.images_per_s:
        rows.append(("Rate", f"{report.images_per_s:.1f} images/s"))
    console.print(_grid(rows))
    for place in places:
        _print(console, f"Look at {shown(place)}")
    _print(console, RESEARCH_ONLY)


def _metered_text(report: JobReport) -> str:
    text = spend_text(report.spent_usd, report.job)
    if report.expected:
        text += f"; {usd(report.expected['expected_usd'])} was expected"
    return text


def _counted(counts: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
    return f": {listed}" if listed else ""


def _grid(rows: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def _print(console: Console, line: str, *, style: str = "") -> None:
    """A line that is neither markup nor wrapped: commands must survive copying."""
    console.print(Text(line, style=style), soft_wrap=True)
