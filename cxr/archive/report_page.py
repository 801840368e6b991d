"""report.html of an archive job: one page that asks no other machine for anything.

All text comes from names, documents and errors, so all of it is escaped; the layout stands in
report_page.html.
"""

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cxr.archive.follow import settled
from cxr.archive.report import JobReport, WaveSum
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

MOST_FAILURES: Final = 5_000
"""Rows that a browser shows without ado; report.json has all."""

_NOTHING: Final = "<p>None.</p>"


def report_page(report: JobReport, *, keys: bool = True) -> bytes:
    """The page's content.

    Args:
        report: Of the job.
        keys: Whether failures name their images.
    """
    job = report.job
    warnings = [RESEARCH_ONLY]
    if report.state.problem:
        warnings.append(report.state.problem)
    if keys and report.failures:
        warnings.append("Keys of images, which may identify patients, stand in this page.")
    parts = {
        "name": _text(job.name),
        "status": _text(ENDED[report.state.status]),
        "facts": _text(_facts(report)),
        "warnings": "\n".join(f"<p>{_text(sentence)}</p>" for sentence in warnings),
        "counts": _counts(report),
        "scores": _scores(report.tenths),
        "rejections": _table(
            ["Reason", "#Images"],
            ([code.replace("_", " "), f"{count:,}"] for code, count in report.rejections.items()),
        ),
        "failures": _failures(report, keys=keys),
        "cost": _table(["", "#US dollars"], _cost(report)),
        "waves": _table(
            [
                "#Wave",
                "#Batches",
                "#Died",
                "#Analysed",
                "#Rejected",
                "#Already done",
                "#Failed",
                "#Billed",
                "#Metered",
                "#Took",
                "#Memory",
            ],
            map(_wave, report.waves),
        ),
        "slowest": _table(
            ["Image id", "#Seconds"],
            ([name, f"{ms / 1000:.2f}"] for name, ms in report.slowest),
        ),
        "footer": _text(
            f"Metered at the prices of {job.prices.dated}: {CEILING}. {NOT_METERED} Already done "
            "are images that had a record when their turn came, from an earlier job, the "
            "streaming pipeline or a batch that died. Model set "
            f"{job.model_set}; made {report.made_at}."
        ),
    }
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    # one pass, so that a key that holds {{cost}} stays a key
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], template).encode()


def _facts(report: JobReport) -> str:
    parts = [source_text(report.job.source), f"started {report.job.created_at}"]
    if len(report.runs) > 1:
        parts.append(f"{len(report.runs) - 1} times resumed")
    parts.append(f"{size_text(report.downloaded_bytes)} read")
    return " \u00b7 ".join(parts)


def _counts(report: JobReport) -> str:
    tally = report.tally
    positive = f"{tally.positive / tally.analysed:.1%} positive" if tally.analysed else ""
    rate = f"{report.images_per_s:.1f} images/s" if report.images_per_s else ""
    entries = [
        ("", settled(tally), "settled", f"of {tally.listed:,} taken up"),
        ("", tally.analysed, "analysed", positive),
        ("", tally.rejected, "rejected", ""),
        ("bad" if tally.failed else "", tally.failed, "failed", ""),
        ("", tally.already_done, "already done", ""),
        *([("", tally.gone, "gone", "since they were listed")] if tally.gone else []),
    ]
    items = [
        f'<li class="{kind}"><b>{count:,}</b> {_text(name)} <span>{_text(note)}</span></li>'
        for kind, count, name, note in entries
    ]
    items.append(f"<li><b>{_text(usd(report.spent_usd))}</b> metered</li>")
    if rate:
        items.append(f"<li><b>{_text(time_text(report.seconds))}</b> {_text(rate)}</li>")
    return "\n".join(items)


def _scores(tenths: Sequence[int]) -> str:
    most = max(tenths)
    if not most:
        return _NOTHING
    rows = [
        f'<tr><td class="n">{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}</td>'
        f'<td class="n">{count:,}</td>'
        f'<td class="bar"><div style="width: {100 * count / most:.1f}%"></div></td></tr>'
        for tenth, count in enumerate(tenths)
    ]
    head = '<tr><th class="n">Probability</th><th class="n">Images</th><th></th></tr>'
    return f"<table>{head}{''.join(rows)}</table>"


def _failures(report: JobReport, *, keys: bool) -> str:
    if not report.failures:
        return _NOTHING
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.reasons.items())
    shown_failures = report.failures[:MOST_FAILURES]
    rows = (
        [
            f.image_id,
            *([f"s3://{f.image.bucket}/{f.image.key}"] if keys else []),
            f.reason,
            f.message,
        ]
        for f in shown_failures
    )
    head = ["Image id", *(["Image"] if keys else []), "Reason", "What happened"]
    more = len(report.failures) - len(shown_failures)
    rest = f"<p>{count_text(more)} more: report.json lists all.</p>" if more else ""
    return (
        f"<p>{_text(reasons)}. `cxr archive resume` runs them again.</p>{_table(head, rows)}{rest}"
    )


def _cost(report: JobReport) -> Iterable[Sequence[str]]:
    waves = sum(wave.usd for wave in report.waves)
    yield "Batches: compute, requests, orchestration", f"{waves:.4f}"
    yield "Plannings and resumptions", f"{report.spent_usd - waves:.4f}"
    yield "Metered", spend_text(report.spent_usd, report.job)
    if report.expected:
        yield "Expected when it was planned", f"{report.expected['expected_usd']:.4f}"
        yield "At worst when it was planned", f"{report.expected['worst_usd']:.4f}"


def _wave(wave: WaveSum) -> Sequence[str]:
    tally = wave.tally
    counts = (
        wave.wave,
        wave.batches,
        wave.died,
        tally.analysed,
        tally.rejected,
        tally.already_done,
        tally.failed,
    )
    return [
        *(f"{count:,}" for count in counts),
        time_text(wave.billed_ms / 1000),
        f"{wave.usd:.4f}",
        time_text(wave.seconds),
        f"{wave.peak_memory_mb:,.0f} MB",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a title that begins with `#` is of a column of numbers."""
    kinds = [' class="n"' if title.startswith("#") else "" for title in head]
    body = [
        "<tr>"
        + "".join(f"<td{k}>{_text(value)}</td>" for k, value in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    ]
    if not body:
        return _NOTHING
    titles = "".join(
        f"<th{kind}>{_text(title.removeprefix('#'))}</th>"
        for kind, title in zip(kinds, head, strict=True)
    )
    return f'<div class="scroll"><table><tr>{titles}</tr>{"".join(body)}</table></div>'


def _text(text: str) -> str:
    return html.escape(shown(text))
