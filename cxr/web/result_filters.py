"""Narrow thousands of results down to those that somebody wants to look at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from cxr.keys import shown
from cxr.results import ABNORMAL, NORMAL, REJECTED
from cxr.stored_results import StoredResult
from cxr.web.markup import markdown

KINDS: Final = (ABNORMAL, NORMAL, REJECTED)

EVERY, DONE, OPEN = "All", "Reviewed", "Not reviewed"


@dataclass(frozen=True, slots=True)
class Filters:
    """What must hold of a result to be shown; empty filters nothing.

    Attributes:
        words: Each must stand in the image's path, its id or the reason of its rejection.
        kinds: Of `KINDS`.
        findings: Labels of which one must be among the findings.
        reviewed: Whether it must, or must not, have a review.
        numbers: Lowest and highest probability; a result without one passes only the whole range.
    """

    words: str = ""
    kinds: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    reviewed: bool | None = None
    numbers: tuple[float, float] = (0.0, 1.0)


def filtered(rows: Sequence[StoredResult], filters: Filters) -> list[StoredResult]:
    """The rows that pass, in their order."""
    return [row for row in rows if _passes(row, filters)]


def _passes(row: StoredResult, filters: Filters) -> bool:
    result = row.result
    if filters.kinds and result.kind not in filters.kinds:
        return False
    if filters.findings and not set(filters.findings) & {label for label, _ in result.findings}:
        return False
    if filters.reviewed is not None and row.reviewed != filters.reviewed:
        return False
    if filters.numbers != (0.0, 1.0):
        lowest, highest = filters.numbers
        if result.probability is None or not lowest <= result.probability <= highest:
            return False
    where = f"{shown(result.key)} {result.image_id} {result.rejection_message or ''}".casefold()
    return all(word in where for word in filters.words.casefold().split())


def show_filters(rows: Sequence[StoredResult]) -> Filters:
    """The controls; returns what they say."""
    labels = Counter(label for row in rows for label, _ in row.result.findings)
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        words = st.text_input(
            "Search",
            key="filter-words",
            placeholder="path, id, reason",
            persist_state="session",
            width=220,
        )
        kinds = st.pills(
            "Result",
            KINDS,
            selection_mode="multi",
            format_func=str.capitalize,
            key="filter-kinds",
            persist_state="session",
        )
        reviewed = st.segmented_control(
            "Reviews",
            [EVERY, DONE, OPEN],
            default=EVERY,
            required=True,
            key="filter-reviewed",
            persist_state="session",
        )
        findings = st.multiselect(
            "Findings",
            [label for label, _ in labels.most_common()],
            format_func=lambda label: f"{markdown(label)} ({labels[label]})",
            key="filter-findings",
            persist_state="session",
            width=300,
        )
        numbers = st.slider(
            "Probability or score",
            0.0,
            1.0,
            (0.0, 1.0),
            step=0.01,
            key="filter-numbers",
            persist_state="session",
            width=220,
        )
    return Filters(
        words=words or "",
        kinds=tuple(kinds or ()),
        findings=tuple(findings or ()),
        reviewed={DONE: True, OPEN: False}.get(str(reviewed)),
        numbers=(float(numbers[0]), float(numbers[1])),
    )
