"""Revisions are added, never changed; a review belongs to one record of one model set."""

import copy
import json

import pytest

from cxr.reviews import (
    FindingReview,
    Revision,
    abnormal_after,
    add_revision,
    contradiction,
    findings_after,
    last_revision,
    missing,
    parse_review,
    review_validator,
    to_json,
    version_of,
)
from lambdas.shared.boxes import UnitBox
from lambdas.shared.errors import InvalidRequestError
from tests.cxr.review_examples import BOX, SAVED_AT, record, review, revision

DENIED = (FindingReview("disagree"), FindingReview("disagree"))


def test_review_reads_as_it_was_saved() -> None:
    of = record()
    content = to_json(review(of))
    parsed = parse_review(content, record=of)
    assert parsed is not None
    review_validator().validate(parsed)
    assert last_revision(parsed) == revision()
    assert version_of(parsed) == 1


def test_record_and_earlier_revisions_stay_as_they_are() -> None:
    of = record()
    before, first = copy.deepcopy(of), review(of)
    kept = copy.deepcopy(first)
    second = add_revision(first, revision(note="again"), record=of, saved_at=SAVED_AT)
    assert of == before
    assert first == kept
    assert second["revisions"][0] == first["revisions"][0]
    assert [entry["version"] for entry in second["revisions"]] == [1, 2]
    assert last_revision(second).note == "again"


def test_what_is_left_after_a_review() -> None:
    of = record()
    found = findings_after(revision(), of)
    assert [(each.label, each.box) for each in found] == [
        ("Cardiomegaly", UnitBox(0.1, 0.1, 0.5, 0.5)),
        ("Pleural effusion", BOX),
        ("Scoliosis", UnitBox(0.4, 0.1, 0.6, 0.9)),
    ]
    assert abnormal_after(revision(), of) is True
    assert abnormal_after(revision(triage="disagree"), of) is False
    assert abnormal_after(Revision.blank(of), of) is None


def test_normal_image_with_findings_is_a_contradiction() -> None:
    of = record()
    said = revision(triage="disagree")
    assert contradiction(said, of) is not None
    with pytest.raises(InvalidRequestError, match="disagree with the findings"):
        review(of, said)
    assert contradiction(revision(triage="disagree", findings=DENIED, added=()), of) is None


def test_missed_finding_needs_the_triage_to_be_disagreed_with() -> None:
    of = record("normal")
    said = revision(triage="agree", findings=())
    assert contradiction(said, of) is not None
    assert contradiction(revision(triage="disagree", findings=()), of) is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (revision(), None),
        (revision(triage=None), "the triage not judged"),
        (revision(findings=(FindingReview(), FindingReview("agree"))), "1 finding not judged"),
        (
            revision(triage=None, findings=(FindingReview(), FindingReview())),
            "the triage and 2 findings not judged",
        ),
    ],
)
def test_what_is_missing_is_said(said: Revision, words: str | None) -> None:
    assert missing(said) == words


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (revision(findings=()), "another record"),
        (revision(findings=(FindingReview("corrected"),) * 2), "cannot be saved"),
        (revision(findings=(FindingReview("agree", BOX),) * 2), "cannot be saved"),
        (revision(note="x" * 4001), "cannot be saved"),
        (revision(reviewer="x" * 101), "cannot be saved"),
    ],
)
def test_what_cannot_be_meant_is_not_saved(said: Revision, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        review(record(), said)


def test_blank_note_and_reviewer_are_none() -> None:
    last = review(record(), revision(note="  ", reviewer=""))["revisions"][-1]
    assert (last["note"], last["reviewer"]) == (None, None)


def test_rejected_image_has_nothing_to_review() -> None:
    with pytest.raises(InvalidRequestError, match="rejected"):
        review(record("rejected"), Revision(None, ()))


def test_review_of_another_record_is_not_this_one() -> None:
    of = record()
    content = to_json(review(of))
    assert parse_review(content, record=record(key="b/2.dcm")) is None
    assert parse_review(content, record=of | {"model_set": "f" * 16}) is None
    moved = copy.deepcopy(of)
    moved["findings"][0]["box_normalised"]["x_min"] = 0.11
    assert parse_review(content, record=moved) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"revisions": []}'])
def test_broken_review_is_none(content: bytes) -> None:
    assert parse_review(content, record=record()) is None


def test_box_without_area_is_none() -> None:
    of = record()
    found = json.loads(to_json(review(of)))
    found["revisions"][0]["added"][0]["box_normalised"]["x_max"] = 0.4
    assert parse_review(json.dumps(found).encode(), record=of) is None
