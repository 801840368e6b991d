"""Small pieces of HTML and Markdown; everything from outside is escaped here."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import streamlit as st

from cxr.keys import shown
from lambdas.report.palette import finding_style
from lambdas.report.words import RESEARCH_ONLY, compare_numbers, model_row
from lambdas.shared.findings import Triage
from lambdas.shared.records import Record

SIGNS: Final = {"abnormal": "\u25b2", "normal": "\u25cf", "rejected": "\u2715"}
"""Beside words: who cannot tell colours apart can tell these."""

_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")

MAX_NAME_CHARACTERS: Final = 120


def text(value: object) -> str:
    """Text within HTML."""
    return html.escape(shown(value))


def markdown(value: object) -> str:
    """Text within Markdown, where widgets take no other: every sign of punctuation is only that."""
    return _PUNCTUATION.sub(r"\\\1", shown(value))


def short(name: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """A long name, without its middle."""
    if len(name) <= limit:
        return name
    half = (limit - 1) // 2
    return f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def block(content: str) -> None:
    """Put HTML on the page."""
    st.html(f'<div class="cxr">{content}</div>')


def styles() -> None:
    """The page's own style sheet."""
    st.html(f"<style>{Path(__file__).with_name('page.css').read_text(encoding='utf-8')}</style>")


def banner(models: Sequence[Mapping[str, object]], warnings: Iterable[str]) -> None:
    """What every reader must see first: the use, the warnings, what the models were trained on.

    Args:
        models: As `models` of a record, or as much of model.json.
        warnings: Sentences.
    """
    tasks: dict[str, list[str]] = {}
    for task, name, _, trained_on, _ in (model_row(dict(model)) for model in models):
        tasks.setdefault(f"{name}, trained on {trained_on}", []).append(task)
    trained = "; ".join(
        f"{' and '.join(names).capitalize()}: {made}" for made, names in tasks.items()
    )
    sentences = " ".join(text(warning) for warning in dict.fromkeys(warnings))
    st.html(
        f'<div class="cxr cxr-banner" role="note" aria-label="Use and limits">'
        f"<p><b>{text(RESEARCH_ONLY)}</b> {sentences}</p>"
        f"<p><small>{text(trained)}</small></p></div>"
    )


def key_tag(number: int) -> str:
    """A finding's number on its colour, as on the image."""
    look = finding_style(number - 1)
    return (
        f'<span class="key" style="background:rgb{look.colour};color:rgb{look.ink}">{number}</span>'
    )


def scale(triage: Triage, *, recorded: float) -> str:
    """The number from 0 to 1 with a tick at the threshold, and a faint one at the recorded one."""
    value, point = compare_numbers(triage.probability, triage.threshold, reached=triage.positive)
    old = (
        f'<u class="old" style="left:{100 * recorded:.2f}%"></u>'
        if recorded != triage.threshold
        else ""
    )
    place = min(max(100 * triage.threshold, 12), 88)
    return (
        f'<div class="cxr-scale" role="img" aria-label="{value} of 1, threshold {point}">'
        f'<i style="width:{100 * triage.probability:.2f}%"></i>{old}'
        f'<u style="left:{100 * triage.threshold:.2f}%"></u>'
        f'<em style="left:{place:.2f}%">threshold {point}</em></div>'
    )


def facts_list(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values below each other."""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts)
    return f"<dl>{items}</dl>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    label: str,
    marked: Sequence[int] = (),
) -> str:
    """A table of cells that are HTML already.

    Args:
        head: Names of the columns, as text.
        rows: Cells.
        numbers: Columns that hold numbers, from 0.
        label: What the table is, for a screen reader.
        marked: Rows with a dashed line below, from 0.
    """
    kinds = [' class="n"' if column in numbers else "" for column in range(len(head))]
    heads = "".join(
        f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        ('<tr class="under">' if number in marked else "<tr>")
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<table aria-label="{text(label)}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def result_kind(record: Record) -> str:
    """`normal`, `abnormal` or `rejected`."""
    if record["status"] == "rejected":
        return "rejected"
    return "abnormal" if record["triage"]["positive"] else "normal"
