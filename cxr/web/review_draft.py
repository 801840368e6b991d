"""A review in the making, held in the session until it is saved.

It is made on the review that was there when the result was opened; if somebody saves another
meanwhile, saving says so and nothing is overwritten.
"""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from cxr.reviews import AddedFinding, FindingReview, Review, Revision, last_revision
from cxr.web.case import Case
from cxr.web.film_viewer import Edit, Mark
from lambdas.report.words import compare_numbers
from lambdas.shared.boxes import UnitBox
from lambdas.shared.labels import FINDING_CODES


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


def take_edit(case: Case, edit: Edit) -> None:
    """Put what was done on the image into the draft."""
    draft = draft_of(case)
    revision = draft.revision
    kind, _, digits = (edit.id or "").partition("-")
    index = int(digits) if digits.isdecimal() else -1
    if edit.action == "add" and edit.box is not None:
        label = case.record["detection"]["detectable"][:1] or [next(iter(FINDING_CODES))]
        change(draft, added=(*revision.added, AddedFinding(label[0], edit.box)))
    elif kind == "finding" and 0 <= index < len(revision.findings) and edit.action == "move":
        st.session_state[widget_key(case, "finding", index)] = None
        set_finding(draft, index, FindingReview("corrected", edit.box))
    elif kind == "added" and 0 <= index < len(revision.added):
        if edit.action == "remove":
            remove_added(case, draft, index)
        elif edit.box is not None:
            set_added(draft, index, replace(revision.added[index], box=edit.box))


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


def forget(case: Case) -> None:
    """Begin again from what is stored."""
    st.session_state.get("drafts", {}).pop(case.id, None)
    prefix = f"review-{case.id}-"
    for key in [key for key in st.session_state if str(key).startswith(prefix)]:
        del st.session_state[key]


def remove_added(case: Case, draft: Draft, index: int) -> None:
    """Take back a finding that was added."""
    added = draft.revision.added
    change(draft, added=(*added[:index], *added[index + 1 :]))
    # the widgets below move up by one
    for number in range(len(added)):
        st.session_state.pop(widget_key(case, "added", number), None)


def set_finding(draft: Draft, index: int, said: FindingReview) -> None:
    """Say something of a finding of the record."""
    findings = list(draft.revision.findings)
    findings[index] = said
    change(draft, findings=tuple(findings))


def set_added(draft: Draft, index: int, added: AddedFinding) -> None:
    """Change a finding that was added."""
    every = list(draft.revision.added)
    every[index] = added
    change(draft, added=tuple(every))


def differ(draft: Draft, **values: Any) -> None:
    """Take values in, if they differ from what was said before."""
    if any(getattr(draft.revision, name) != value for name, value in values.items()):
        change(draft, **values)


def change(draft: Draft, **values: Any) -> None:
    """Take values in, and note that there is something to save."""
    draft.revision = replace(draft.revision, **values)
    draft.changed, draft.problem = True, None


def widget_key(case: Case, part: str, index: int) -> str:
    """Of a widget of the panel; all of them begin alike, so that they can be forgotten."""
    return f"review-{case.id}-{part}-{index}"
