"""The panel of a reviewer: agree, disagree, name what was added, a note; saved as a new version."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from cxr.reviews import (
    MAX_LABEL_CHARACTERS,
    AddedFinding,
    FindingReview,
    add_revision,
    contradiction,
    missing,
    version_of,
)
from cxr.web.case import Case
from cxr.web.markup import block, key_tag, markdown, text
from cxr.web.review_draft import (
    Draft,
    differ,
    draft_of,
    forget,
    remove_added,
    set_added,
    set_finding,
    widget_key,
)
from lambdas.report.words import compare_numbers
from lambdas.shared.errors import CxrError
from lambdas.shared.labels import FINDING_CODES

AGREE, DISAGREE = "Agree", "Disagree"

_VERDICTS: Final = {"agree": AGREE, "disagree": DISAGREE}
_SAID: Final = {AGREE: "agree", DISAGREE: "disagree"}

HOW_TO: Final = (
    "Click a box on the image to choose it; drag it or its corners to correct it, or use the arrow "
    "keys (with Shift for its size). Add box draws a finding that the models missed."
)


def show_review(case: Case) -> None:
    """The panel of a reviewer."""
    try:
        draft = draft_of(case)
    except CxrError as error:
        st.error(str(error))
        return
    block(f"<h2>Review</h2><small>{text(HOW_TO)}</small>")
    _triage(case, draft)
    for index, entry in enumerate(case.record["findings"]):
        _finding(case, draft, index, entry)
    for index, added in enumerate(draft.revision.added):
        _added(case, draft, index, added)
    _words(case, draft)
    _saving(case, draft)
    _history(draft)


def _triage(case: Case, draft: Draft) -> None:
    said = draft.revision.triage
    key = widget_key(case, "triage", 0)
    _default(key, _VERDICTS.get(said or ""))
    label = case.record["triage"]["label"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        block(f"<p>Triage: <b>{text(label)}</b></p>")
        chosen = st.segmented_control(
            f"Triage: {markdown(label)}",
            [AGREE, DISAGREE],
            key=key,
            label_visibility="collapsed",
        )
    differ(draft, triage=_SAID.get(chosen or ""))


def _finding(case: Case, draft: Draft, index: int, entry: dict[str, Any]) -> None:
    said = draft.revision.findings[index]
    score, _ = compare_numbers(entry["score"], entry["threshold"], reached=True)
    key = widget_key(case, "finding", index)
    _default(key, _VERDICTS.get(said.verdict or ""))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        block(f"<p>{key_tag(index + 1)} <b>{text(entry['label'])}</b> {score}</p>")
        chosen = st.segmented_control(
            f"{index + 1} {markdown(entry['label'])}",
            [AGREE, DISAGREE],
            key=key,
            label_visibility="collapsed",
        )
        if chosen is not None:
            verdict = FindingReview("agree" if chosen == AGREE else "disagree")
            if verdict != said:
                set_finding(draft, index, verdict)
        elif said.verdict == "corrected":
            block("<small>Box corrected</small>")
            st.button(
                "Undo",
                key=f"{key}-undo",
                type="tertiary",
                on_click=set_finding,
                args=(draft, index, FindingReview()),
            )
        elif said.verdict is not None:
            set_finding(draft, index, FindingReview())


def _added(case: Case, draft: Draft, index: int, added: AddedFinding) -> None:
    number = len(case.record["findings"]) + index + 1
    known = [*case.record["detection"]["detectable"], *FINDING_CODES, added.label]
    key = widget_key(case, "added", index)
    _default(key, added.label)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(f'<div class="cxr">{key_tag(number)} <b>Added</b></div>', width="content")
        label = st.selectbox(
            f"Finding {number}",
            list(dict.fromkeys(known)),
            key=key,
            accept_new_options=True,
            label_visibility="collapsed",
        )
        st.button("Remove", key=f"{key}-remove", on_click=remove_added, args=(case, draft, index))
    label = " ".join((label or "").split())[:MAX_LABEL_CHARACTERS]
    if label and label != added.label:
        set_added(draft, index, replace(added, label=label))


def _words(case: Case, draft: Draft) -> None:
    key = widget_key(case, "note", 0)
    _default(key, draft.revision.note or "")
    note = st.text_area(
        "Note", key=key, max_chars=4000, height=80, placeholder="Nothing that names the patient"
    )
    key = widget_key(case, "reviewer", 0)
    _default(key, draft.revision.reviewer or st.session_state.get("reviewer", ""))
    reviewer = st.text_input("Reviewer", key=key, max_chars=100, placeholder="optional")
    st.session_state["reviewer"] = reviewer
    differ(draft, note=(note or "").strip() or None)
    draft.revision = replace(draft.revision, reviewer=(reviewer or "").strip() or None)


def _saving(case: Case, draft: Draft) -> None:
    version = version_of(draft.review)
    problem = contradiction(draft.revision, case.record)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Save as version {version + 1}",
            key=widget_key(case, "save", 0),
            disabled=problem is not None or not draft.changed,
            on_click=_save,
            args=(case, draft),
        )
        st.button(
            "Load what is stored",
            key=widget_key(case, "reload", 0),
            on_click=forget,
            args=(case,),
            help="Gives up what is not saved.",
        )
    if problem:
        st.warning(f"This cannot be saved: {problem}.")
    if draft.problem:
        st.error(draft.problem)
    open_parts = missing(draft.revision)
    if open_parts and draft.changed and not problem:
        block(f"<small>Exports leave this review out as it is: {text(open_parts)}.</small>")


def _history(draft: Draft) -> None:
    if not draft.review:
        block("<small>Not reviewed yet.</small>")
        return
    rows = "".join(
        f"<dt>Version {entry['version']}</dt><dd>{text(entry['saved_at'])}"
        f"{text(' by ' + entry['reviewer']) if entry['reviewer'] else ''}</dd>"
        for entry in reversed(draft.review["revisions"])
    )
    block(f"<dl>{rows}</dl>")


def _save(case: Case, draft: Draft) -> None:
    assert case.reviewing is not None
    saved_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        review = add_revision(draft.review, draft.revision, record=case.record, saved_at=saved_at)
        case.reviewing.save(review, draft.tag)
    except CxrError as error:  # also where somebody else was quicker
        draft.problem = str(error)
    else:
        forget(case)
        st.toast(f"Saved as version {version_of(review)}")


def _default(key: str, value: object) -> None:
    """Give a widget its value the first time; afterwards it keeps what the person chose."""
    if key not in st.session_state:
        st.session_state[key] = value
