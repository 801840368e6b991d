"""What a person says of a result: review.json beside record.json, which it never changes.

review.schema.json is the contract. A review is a list of revisions; saving adds one, on the version
that the person had in front of them, so that nobody's words are overwritten unseen. It belongs to
one record of one model set: after other models have made a new record, it is no longer that
record's.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jsonschema

from lambdas.shared.boxes import UnitBox
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import UNIT_DECIMALS, Record

SCHEMA_VERSION: Final = "1.0"

Review = dict[str, Any]

Agreement = Literal["agree", "disagree"]
Verdict = Literal["agree", "disagree", "corrected"]

MAX_LABEL_CHARACTERS: Final = 100


class ReviewConflictError(InvalidRequestError):
    """Somebody saved a review after this one was begun."""


@dataclass(frozen=True, slots=True)
class FindingReview:
    """What is said of one finding of the record.

    Attributes:
        verdict: None where not judged.
        corrected_box: Where the finding is; only beside `corrected`.
    """

    verdict: Verdict | None = None
    corrected_box: UnitBox | None = None


@dataclass(frozen=True, slots=True)
class AddedFinding:
    """A finding that the models missed."""

    label: str
    box: UnitBox


@dataclass(frozen=True, slots=True)
class Revision:
    """One person's view of a whole result.

    Attributes:
        triage: Of the record's label; None where not judged.
        findings: One for each finding of the record, in its order.
        added: What the models missed.
        note: Free text; None for none.
        reviewer: As the person chose to be called; None where they did not say.
    """

    triage: Agreement | None
    findings: tuple[FindingReview, ...]
    added: tuple[AddedFinding, ...] = ()
    note: str | None = None
    reviewer: str | None = None

    @classmethod
    def blank(cls, record: Record) -> "Revision":
        """Nothing judged yet."""
        return cls(triage=None, findings=tuple(FindingReview() for _ in record["findings"]))


def version_of(review: Review | None) -> int:
    """Number of the last revision; 0 without a review."""
    return len(review["revisions"]) if review else 0


def last_revision(review: Review) -> Revision:
    """The revision that counts."""
    last = review["revisions"][-1]
    return Revision(
        triage=last["triage"],
        findings=tuple(
            FindingReview(
                verdict=entry["verdict"],
                corrected_box=UnitBox(**entry["corrected_box"]) if entry["corrected_box"] else None,
            )
            for entry in last["findings"]
        ),
        added=tuple(
            AddedFinding(entry["label"], UnitBox(**entry["box_normalised"]))
            for entry in last["added"]
        ),
        note=last["note"],
        reviewer=last["reviewer"],
    )


def abnormal_after(revision: Revision, record: Record) -> bool | None:
    """Whether the image is abnormal, says the reviewer; None where they did not judge."""
    if revision.triage is None:
        return None
    positive = bool(record["triage"]["positive"])
    return positive if revision.triage == "agree" else not positive


def findings_after(revision: Revision, record: Record) -> tuple[AddedFinding, ...]:
    """What is there, says the reviewer: accepted and corrected findings, then the added ones."""
    kept = []
    for entry, said in zip(record["findings"], revision.findings, strict=True):
        if said.verdict == "agree":
            kept.append(AddedFinding(entry["label"], UnitBox(**entry["box_normalised"])))
        elif said.verdict == "corrected" and said.corrected_box is not None:
            kept.append(AddedFinding(entry["label"], said.corrected_box))
    return (*kept, *revision.added)


def contradiction(revision: Revision, record: Record) -> str | None:
    """Why a revision cannot be meant as it stands, and what to do; None where it can."""
    if abnormal_after(revision, record) is not False:
        return None
    left = {finding.label for finding in findings_after(revision, record)}
    if not left:
        return None
    return (
        f"{', '.join(sorted(left))} on an image that is said not to be "
        f"{record['triage']['positive_label']}: disagree with the findings, or change the triage"
    )


def missing(revision: Revision) -> str | None:
    """What a revision leaves open; None where it judges triage and every finding."""
    open_parts = [] if revision.triage else ["the triage"]
    unjudged = sum(said.verdict is None for said in revision.findings)
    if unjudged:
        open_parts.append(f"{unjudged} finding{'s' if unjudged > 1 else ''}")
    return f"{' and '.join(open_parts)} not judged" if open_parts else None


def add_revision(
    review: Review | None, revision: Revision, *, record: Record, saved_at: str
) -> Review:
    """A review with one revision more; the one given is not changed.

    Args:
        review: As loaded; None for the first.
        revision: To add.
        record: That it is about.
        saved_at: ISO 8601 with offset.

    Raises:
        InvalidRequestError: The revision contradicts itself, or does not fit the record.
    """
    if record["status"] != "analysed":
        raise InvalidRequestError("a rejected image has no result to review")
    if len(revision.findings) != len(record["findings"]):
        raise InvalidRequestError("the review is of another record; open the result again")
    if (problem := contradiction(revision, record)) is not None:
        raise InvalidRequestError(problem)
    entry = {
        "version": version_of(review) + 1,
        "saved_at": saved_at,
        "reviewer": _text(revision.reviewer),
        "triage": revision.triage,
        "findings": [
            {
                "label": finding["label"],
                "box_normalised": dict(finding["box_normalised"]),
                "verdict": said.verdict,
                "corrected_box": _edges(said.corrected_box),
            }
            for finding, said in zip(record["findings"], revision.findings, strict=True)
        ],
        "added": [
            {"label": added.label.strip(), "box_normalised": _edges(added.box)}
            for added in revision.added
        ],
        "note": _text(revision.note),
    }
    changed = {
        "schema_version": SCHEMA_VERSION,
        "image_id": record["image_id"],
        "model_set": record["model_set"],
        "revisions": [*(review["revisions"] if review else ()), entry],
    }
    problems = [problem.message for problem in review_validator().iter_errors(changed)]
    if problems:
        raise InvalidRequestError("the review cannot be saved: " + "; ".join(problems))
    return changed


def parse_review(content: bytes, *, record: Record) -> Review | None:
    """A review.json that is about this record; None where it is about another, or is broken."""
    try:
        review = json.loads(content)
    except ValueError:
        return None
    if not review_validator().is_valid(review):
        return None
    last = review["revisions"][-1]
    same = (
        review["image_id"] == record["image_id"]
        and review["model_set"] == record["model_set"]
        and [_identity(entry) for entry in last["findings"]]
        == [_identity(entry) for entry in record["findings"]]
    )
    return review if same and _boxes_have_area(last) else None


def to_json(review: Review) -> bytes:
    """As it is written: UTF-8, two spaces, newline."""
    return (json.dumps(review, indent=2, ensure_ascii=False) + "\n").encode()


@functools.cache
def review_validator() -> jsonschema.Draft202012Validator:
    """Validator of review.schema.json."""
    schema = json.loads(Path(__file__).with_name("review.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def _identity(finding: Mapping[str, Any]) -> tuple[object, ...]:
    return finding["label"], *finding["box_normalised"].values()


def _boxes_have_area(revision: Mapping[str, Any]) -> bool:
    boxes: Sequence[Mapping[str, float]] = [
        *(entry["corrected_box"] for entry in revision["findings"] if entry["corrected_box"]),
        *(entry["box_normalised"] for entry in revision["added"]),
    ]
    return all(box["x_min"] < box["x_max"] and box["y_min"] < box["y_max"] for box in boxes)


def _edges(box: UnitBox | None) -> dict[str, float] | None:
    if box is None:
        return None
    return {edge: round(value, UNIT_DECIMALS) for edge, value in asdict(box).items()}


def _text(text: str | None) -> str | None:
    return (text or "").strip() or None
