"""Records to review and reviews of them."""

import hashlib
from typing import Any

from cxr.reviews import AddedFinding, FindingReview, Review, Revision, add_revision
from lambdas.shared.boxes import UnitBox
from lambdas.shared.records import Record, Source
from tests.cxr.fakes import record_of

SAVED_AT = "2026-11-23T10:00:00+00:00"
BOX = UnitBox(0.2, 0.3, 0.6, 0.7)


def record(kind: str = "abnormal", *, key: str = "a/1.dcm", data: bytes = b"film") -> Record:
    """Of a fake analysis; an abnormal one has two findings."""
    source = Source(None, key, None, hashlib.sha256(data).hexdigest())
    return record_of(source, kind)


def revision(**changes: Any) -> Revision:
    """A whole one: agrees with triage and the first finding, corrects the second, adds a third."""
    values: dict[str, Any] = {
        "triage": "agree",
        "findings": (FindingReview("agree"), FindingReview("corrected", BOX)),
        "added": (AddedFinding("Scoliosis", UnitBox(0.4, 0.1, 0.6, 0.9)),),
        "note": "seen on the lateral as well",
        "reviewer": "R1",
    }
    return Revision(**(values | changes))


def review(of: Record, *revisions: Revision) -> Review:
    """Saved one after the other."""
    found: Review | None = None
    for each in revisions or (revision(),):
        found = add_revision(found, each, record=of, saved_at=SAVED_AT)
    assert found is not None
    return found
