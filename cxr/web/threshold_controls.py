"""The two sliders that move operating points, and what validation says of each step."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from cxr.operating_curve import finding_figures, triage_figures, triage_steps
from cxr.web import markup
from cxr.web.case import Case
from cxr.web.engine import LOWEST_SCORE
from cxr.web.markup import block, text

OWN: Final = "Operating points"
TRIED: Final = "Own threshold"

START_SCORE: Final = 0.5

NO_MODELS: Final = (
    "This result was made by other models than those loaded here, so what other thresholds stand "
    "for is not known."
)
NO_CURVE: Final = (
    "No validation figures exist for this threshold: the model's model.json has no operating curve."
)


def triage_threshold(case: Case) -> float:
    """The slider of the triage; returns the threshold tried."""
    shipped = float(case.record["triage"]["threshold"])
    steps = triage_steps(case.classifier, shipped=shipped)
    key = f"triage-{case.id}"
    tried = float(
        st.select_slider(
            "Operating point of the triage",
            steps,
            value=shipped,
            format_func=lambda step: f"{step:g}",
            key=key,
            help="Tries another threshold on this image; record and report stay as they are.",
        )
    )
    _triage_meaning(case.classifier, tried)
    if tried != shipped:
        st.button(
            f"Back to the operating point, {shipped:g}",
            key=f"{key}-back",
            on_click=_put_back,
            args=(key, shipped),
            type="tertiary",
        )
    return tried


def _put_back(key: str, shipped: float) -> None:
    st.session_state[key] = shipped


def _triage_meaning(facts: Mapping[str, Any] | None, threshold: float) -> None:
    """Sensitivity and specificity, in words."""
    if facts is None:
        block(f"<small>{text(NO_MODELS)}</small>")
        return
    figures = triage_figures(facts, threshold)
    if figures is None:
        block(f"<small>{text(NO_CURVE)}</small>")
        return
    positive = facts["operating_point"]["positive_label"]
    rows = (
        ("Sensitivity", figures.sensitivity, figures.n_positive, f"{positive.lower()} studies"),
        ("Specificity", figures.specificity, figures.n_negative, "other studies"),
    )
    cells = "".join(
        f"<span>{name}</span><b>{value:.3f}</b>"
        f'<span class="soft">of {f"{count} " if count else ""}{text(what)}</span>'
        for name, value, count, what in rows
    )
    block(
        f'<div class="cxr-figures">{cells}</div>'
        f"<small>Shares rightly called {text(positive)}, and rightly not, at this threshold. "
        f"Measured on {text(figures.data)}.</small>"
    )


def finding_threshold(case: Case) -> float | None:
    """The heading of the findings and the slider of their scores.

    Returns:
        The threshold tried; None for the operating points.
    """
    key = f"scores-{case.id}"
    with st.container(horizontal=True, vertical_alignment="center"):
        block("<h2>Findings</h2>")
        mode = st.segmented_control(
            "Boxes from",
            [OWN, TRIED],
            default=OWN,
            required=True,
            key=f"{key}-mode",
            label_visibility="collapsed",
            help="At its operating point each finding has a threshold of its own. An own threshold "
            "holds for all of them, on this screen only.",
        )
    if mode != TRIED:
        return None
    tried = float(
        st.slider(
            "Show boxes with a score from",
            LOWEST_SCORE,
            1.0,
            value=START_SCORE,
            step=0.01,
            format="%.2f",
            key=key,
        )
    )
    _finding_meaning(case.detector, tried)
    return tried


def _finding_meaning(facts: Mapping[str, Any] | None, threshold: float) -> None:
    if facts is None:
        block(f"<small>{text(NO_MODELS)}</small>")
        return
    figures = finding_figures(facts, threshold)
    if not figures:
        block(f"<small>{text(NO_CURVE)}</small>")
        return
    rows = [
        (
            f"{text(label)}<small>{each.boxes} boxes</small>",
            f"{each.threshold:.2f}",
            f"{each.sensitivity:.2f}",
            f"{each.false_boxes_per_image:.2f}",
        )
        for label, each in figures.items()
    ]
    with st.expander("What this threshold stands for"):
        block(
            markup.table(
                ("Finding", "At", "Found", "False boxes an image"),
                rows,
                numbers=(1, 2, 3),
                label="Validation figures near this threshold",
            )
            + f"<small>Nearest measured threshold. {text(facts['operating_curve']['data'])}."
            "</small>"
        )
