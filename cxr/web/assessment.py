"""What is shown of a result at the thresholds that a person tries; the record itself stays.

The record's findings keep their numbers, so that screen and report agree; what other thresholds
add comes after them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from lambdas.classify.classify import triage_at
from lambdas.shared.findings import Triage
from lambdas.shared.flow import next_stage
from lambdas.shared.records import Record

FindingsFrom = Callable[[float | None], Sequence[Record]]
"""Gives every finding with a score from a threshold on, or at the operating points (None); runs the
detector."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a person tries.

    Attributes:
        triage: Of the probability; None for the record's.
        findings: Of every score; None for each label's operating point.
    """

    triage: float | None = None
    findings: float | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding on the screen.

    Attributes:
        number: On the image and in the table, from 1.
        entry: As `findings` of a record has it.
        recorded: Whether it is in the record, and so in the report.
    """

    number: int
    entry: Record
    recorded: bool


@dataclass(frozen=True)
class Assessment:
    """A result at the thresholds tried.

    Attributes:
        triage: At the threshold tried.
        moved: Whether that is another one than the record's.
        detected: Whether findings were looked for, at these thresholds.
        findings: To show.
        hidden: How many of the record's findings fall below the threshold tried.
        unknown: Why findings that the thresholds ask for are not known; None where they are.
        idle: Whether the detector, which ran, would not have run at the threshold tried.
    """

    triage: Triage
    moved: bool
    detected: bool
    findings: tuple[Shown, ...] = field(default=())
    hidden: int = 0
    unknown: str | None = None
    idle: bool = False


NOT_AT_HAND = (
    "Findings below the operating points are not in a stored result; analyse the image again to "
    "see them."
)
NOT_LOOKED_FOR = (
    "The detector did not run on this image, and a stored result does not have its pixels. Analyse "
    "the image again to see findings."
)


def assess(
    record: Record,
    tried: Thresholds,
    *,
    labels: Sequence[str] = (),
    operating: Mapping[str, float] | None = None,
    findings_from: FindingsFrom | None = None,
) -> Assessment:
    """What the stages say at the thresholds tried.

    Args:
        record: Of an analysed image.
        tried: The thresholds.
        labels: Of the classifier, where its bundle is at hand.
        operating: Thresholds of the detector by label, likewise.
        findings_from: Asks the detector; None where there is no image to show it.
    """
    recorded = triage = recorded_triage(record)
    if tried.triage is not None and tried.triage != recorded.threshold:
        triage = triage_at(recorded, tried.triage, labels=labels)
    performed = bool(record["detection"]["performed"])
    due = next_stage("classify", positive=triage.positive) == "detect"
    lowest = tried.findings
    asked = performed or due or lowest is not None
    # above every operating point there is nothing that the record does not have
    beyond = not performed or (
        lowest is not None and (operating is None or lowest < max(operating.values(), default=0))
    )
    extra: list[Record] = []
    unknown = None
    if asked and beyond:
        if findings_from is None:
            unknown = NOT_AT_HAND if performed else NOT_LOOKED_FOR
        else:
            extra = list(findings_from(lowest))
    known = [
        Shown(number, entry, recorded=True)
        for number, entry in enumerate(record["findings"], start=1)
    ]
    kept = [each for each in known if lowest is None or each.entry["score"] >= lowest]
    told = {_identity(each.entry) for each in known}
    added = [
        Shown(number, entry, recorded=False)
        for number, entry in enumerate(
            (entry for entry in extra if _identity(entry) not in told), start=len(known) + 1
        )
    ]
    return Assessment(
        triage=triage,
        moved=triage.threshold != recorded.threshold,
        detected=performed or (asked and findings_from is not None),
        findings=(*kept, *added),
        hidden=len(known) - len(kept),
        unknown=unknown,
        idle=performed and not due and triage is not recorded,
    )


def recorded_triage(record: Record) -> Triage:
    """The triage of a record, without what the record adds to it."""
    return Triage(**{each.name: record["triage"][each.name] for each in fields(Triage)})


def _identity(entry: Record) -> tuple[object, ...]:
    return entry["label"], entry["score"], *entry["box_normalised"].values()
