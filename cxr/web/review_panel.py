"""What a reviewer says: agree, disagree, move a box, add one, a note; saved as a new version.

The draft lives in the session until it is saved. It is made on the review that was there when the
result was opened; if somebody saves another meanwhile, saving says so and nothing is overwritten.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st

from cxr.reviews import (
    MAX_LABEL_CHARACTERS,
    AddedFinding,
    FindingReview,
    Review,
    ReviewConflictError,
    Revision,
    add_revision,
    contradiction,
    last_revision,
    missing,
    version_of,
)
from cxr.web.case import Case
from cxr.web.film_viewer import Edit, Mark
from cxr.web.markup import block, key_tag, markdown, text
from lambdas.report.words import compare_numbers
from lambdas.shared.boxes import UnitBox
from lambdas.shared.errors import CxrError
from lambdas.shared.labels import FINDING_CODES

AGREE, DISAGREE = "Agree", "Disagree"

_VERDICTS: Final = {"agree": AGREE, "disagree": DISAGREE}
_SAID: Final = {AGREE: "agree", DISAGREE: "disagree"}

HOW_TO: Final = (
    "Click a box on the image to choose it; drag it or its corners to correct it, or use the arrow "
    "keys (with Shift for its size). Add box draws a finding that the models missed."
)


@dataclass
class Draft:
    """A review in the making.

    Attributes:
        review: As it was when the draft was begun; None where there was none.
        tag: Of its content.
        revision: What is said so far.
        changed: Whether anything was said since.
        problem: Why saving failed; None where it did not.
    """

    review: Review | None
    tag: str | None
    revision: Revision
    changed: bool = False
    problem: str | None = None


def draft_of(case: Case) -> Draft:
    """The draft of this session, begun on what is stored where there is none."""
    drafts: dict[str, Draft] = st.session_state.setdefault("drafts", {})
    if case.id not in drafts:
        assert case.reviewing is not None, "a draft needs a place for reviews"
        loaded = case.reviewing.load()
        revision = last_revision(loaded.review) if loaded.review else Revision.blank(case.record)
        drafts[case.id] = Draft(loaded.review, loaded.tag, revision)
    return drafts[case.id]


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


def take_edit(case: Case, edit: Edit) -> None:
    """Put what was done on the image into the draft."""
    draft = draft_of(case)
    revision = draft.revision
    kind, _, digits = (edit.id or "").partition("-")
    index = int(digits) if digits.isdecimal() else -1
    if edit.action == "add" and edit.box is not None:
        label = case.record["detection"]["detectable"][:1] or [next(iter(FINDING_CODES))]
        _change(draft, added=(*revision.added, AddedFinding(label[0], edit.box)))
    elif kind == "finding" and 0 <= index < len(revision.findings) and edit.action == "move":
        st.session_state[_key(case, "finding", index)] = None
        _set_finding(draft, index, FindingReview("corrected", edit.box))
    elif kind == "added" and 0 <= index < len(revision.added):
        if edit.action == "remove":
            _remove(case, draft, index)
        elif edit.box is not None:
            _set_added(draft, index, replace(revision.added[index], box=edit.box))


def review_marks(case: Case, draft: Draft) -> list[Mark]:
    """Boxes as the reviewer has them so far."""
    marks = []
    findings = zip(case.record["findings"], draft.revision.findings, strict=True)
    for index, (entry, said) in enumerate(findings):
        score, _ = compare_numbers(entry["score"], entry["threshold"], reached=True)
        verdict = {None: "not judged", "corrected": "box corrected"}.get(
            said.verdict, f"{said.verdict}d"
        )
        marks.append(
            Mark(
                id=f"finding-{index}",
                number=index + 1,
                label=entry["label"],
                title=entry["label"],
                detail=f"Score {score}; {verdict}",
                box=said.corrected_box or UnitBox(**entry["box_normalised"]),
                state="denied" if said.verdict == "disagree" else "",
                editable=True,
            )
        )
    for index, added in enumerate(draft.revision.added):
        marks.append(
            Mark(
                id=f"added-{index}",
                number=len(case.record["findings"]) + index + 1,
                label=f"{added.label} (added)",
                title=added.label,
                detail="Added by the reviewer; Delete removes it",
                box=added.box,
                editable=True,
            )
        )
    return marks


def _triage(case: Case, draft: Draft) -> None:
    said = draft.revision.triage
    key = _key(case, "triage", 0)
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
    _differ(draft, triage=_SAID.get(chosen or ""))


def _finding(case: Case, draft: Draft, index: int, entry: dict[str, Any]) -> None:
    said = draft.revision.findings[index]
    score, _ = compare_numbers(entry["score"], entry["threshold"], reached=True)
    key = _key(case, "finding", index)
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
                _set_finding(draft, index, verdict)
        elif said.verdict == "corrected":
            block("<small>Box corrected</small>")
            st.button(
                "Undo",
                key=f"{key}-undo",
                type="tertiary",
                on_click=_set_finding,
                args=(draft, index, FindingReview()),
            )
        elif said.verdict is not None:
            _set_finding(draft, index, FindingReview())


def _added(case: Case, draft: Draft, index: int, added: AddedFinding) -> None:
    number = len(case.record["findings"]) + index + 1
    known = [*case.record["detection"]["detectable"], *FINDING_CODES, added.label]
    key = _key(case, "added", index)
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
        st.button("Remove", key=f"{key}-remove", on_click=_remove, args=(case, draft, index))
    label = " ".join((label or "").split())[:MAX_LABEL_CHARACTERS]
    if label and label != added.label:
        _set_added(draft, index, replace(added, label=label))


def _words(case: Case, draft: Draft) -> None:
    key = _key(case, "note", 0)
    _default(key, draft.revision.note or "")
    note = st.text_area(
        "Note", key=key, max_chars=4000, height=80, placeholder="Nothing that names the patient"
    )
    key = _key(case, "reviewer", 0)
    _default(key, draft.revision.reviewer or st.session_state.get("reviewer", ""))
    reviewer = st.text_input("Reviewer", key=key, max_chars=100, placeholder="optional")
    st.session_state["reviewer"] = reviewer
    _differ(draft, note=(note or "").strip() or None)
    draft.revision = replace(draft.revision, reviewer=(reviewer or "").strip() or None)


def _saving(case: Case, draft: Draft) -> None:
    version = version_of(draft.review)
    problem = contradiction(draft.revision, case.record)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Save as version {version + 1}",
            key=_key(case, "save", 0),
            disabled=problem is not None or not draft.changed,
            on_click=_save,
            args=(case, draft),
        )
        st.button(
            "Load what is stored",
            key=_key(case, "reload", 0),
            on_click=_forget,
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
    except ReviewConflictError as error:
        draft.problem = str(error)
    except CxrError as error:
        draft.problem = str(error)
    else:
        _forget(case)
        st.toast(f"Saved as version {version_of(review)}")


def _forget(case: Case) -> None:
    """Begin again from what is stored."""
    st.session_state.get("drafts", {}).pop(case.id, None)
    prefix = f"review-{case.id}-"
    for key in [key for key in st.session_state if str(key).startswith(prefix)]:
        del st.session_state[key]


def _remove(case: Case, draft: Draft, index: int) -> None:
    added = draft.revision.added
    _change(draft, added=(*added[:index], *added[index + 1 :]))
    # the widgets below move up by one
    for number in range(len(added)):
        st.session_state.pop(_key(case, "added", number), None)


def _set_finding(draft: Draft, index: int, said: FindingReview) -> None:
    findings = list(draft.revision.findings)
    findings[index] = said
    _change(draft, findings=tuple(findings))


def _set_added(draft: Draft, index: int, added: AddedFinding) -> None:
    every = list(draft.revision.added)
    every[index] = added
    _change(draft, added=tuple(every))


def _differ(draft: Draft, **values: Any) -> None:
    if any(getattr(draft.revision, name) != value for name, value in values.items()):
        _change(draft, **values)


def _change(draft: Draft, **values: Any) -> None:
    draft.revision = replace(draft.revision, **values)
    draft.changed, draft.problem = True, None


def _default(key: str, value: object) -> None:
    """Give a widget its value the first time; afterwards it keeps what the person chose."""
    if key not in st.session_state:
        st.session_state[key] = value


def _key(case: Case, part: str, index: int) -> str:
    return f"review-{case.id}-{part}-{index}"
