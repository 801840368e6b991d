"""What is done on the image becomes a draft; nothing is written until it is saved."""

from typing import Any

import numpy as np
import pytest
import streamlit as st

from cxr.reviews import AddedFinding, FindingReview, Review
from cxr.stored_results import LoadedReview
from cxr.web.case import Case, Reviewing
from cxr.web.film_viewer import Edit
from cxr.web.review_draft import draft_of, forget, review_marks, take_edit, widget_key
from lambdas.shared.boxes import UnitBox
from tests.cxr.review_examples import record, review

BOX = UnitBox(0.2, 0.2, 0.4, 0.4)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(st, "session_state", {})
    return case_with(None)


def case_with(stored: Review | None) -> Case:
    def never(review: Review, tag: str | None) -> None:
        raise AssertionError("a draft was written")

    return Case(
        name="1.dcm",
        record=record(),
        film=np.zeros((4, 4), np.float32),
        film_note=None,
        files={},
        reviewing=Reviewing(
            load=lambda: LoadedReview(stored, "tag" if stored else None), save=never
        ),
    )


def test_draft_begins_with_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", {})
    draft = draft_of(case_with(review(record())))
    assert (draft.tag, draft.changed) == ("tag", False)
    assert draft.revision.findings[1].verdict == "corrected"
    assert [mark.number for mark in review_marks(case_with(None), draft)] == [1, 2, 3]


def test_moved_box_corrects_the_finding_and_takes_its_verdict(case: Case) -> None:
    st.session_state[widget_key(case, "finding", 1)] = "Agree"
    take_edit(case, Edit("move", "finding-1", BOX))
    draft = draft_of(case)
    assert draft.revision.findings == (FindingReview(), FindingReview("corrected", BOX))
    assert draft.changed
    assert st.session_state[widget_key(case, "finding", 1)] is None
    assert review_marks(case, draft)[1].box == BOX
    assert "box corrected" in review_marks(case, draft)[1].detail


def test_new_boxes_are_moved_and_removed(case: Case) -> None:
    take_edit(case, Edit("add", None, BOX))
    take_edit(case, Edit("add", None, BOX))
    moved = UnitBox(0.5, 0.5, 0.6, 0.6)
    take_edit(case, Edit("move", "added-1", moved))
    added = draft_of(case).revision.added
    assert added == (AddedFinding("Cardiomegaly", BOX), AddedFinding("Cardiomegaly", moved))
    take_edit(case, Edit("remove", "added-0", None))
    assert draft_of(case).revision.added == (AddedFinding("Cardiomegaly", moved),)


@pytest.mark.parametrize(
    "edit",
    [
        Edit("move", "finding-7", BOX),
        Edit("move", "finding--1", BOX),
        Edit("move", "f1", BOX),
        Edit("remove", "finding-0", None),  # a finding of the record is disagreed with, not removed
        Edit("remove", "added-0", None),
    ],
)
def test_event_that_fits_nothing_changes_nothing(case: Case, edit: Edit) -> None:
    before = draft_of(case).revision
    take_edit(case, edit)
    assert draft_of(case).revision == before
    assert not draft_of(case).changed


def test_forgotten_draft_begins_again(case: Case) -> None:
    take_edit(case, Edit("add", None, BOX))
    key = widget_key(case, "note", 0)
    st.session_state[key] = "typed"
    other: dict[str, Any] = {"elsewhere": 1}
    st.session_state.update(other)
    forget(case)
    assert draft_of(case).revision.added == ()
    assert key not in st.session_state
    assert st.session_state["elsewhere"] == 1
