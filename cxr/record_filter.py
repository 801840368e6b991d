"""Which records, and which of their findings, are wanted."""

import dataclasses
from dataclasses import dataclass
from datetime import date

from lambdas.lake.layout import Scope
from lambdas.lake.rows import RecordRows


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Each part that is set must hold; an empty filter lets all through.

    Attributes:
        model_set: 16 hex.
        since: First day, UTC.
        until: Last day, UTC.
        status: analysed or rejected.
        labels: Of triage; any of them.
        min_probability: Of the positive label, at least.
        max_probability: Of the positive label, at most.
        findings: The image must have one of these.
        min_score: It must have a finding (one of these, if any are named) with this score.
    """

    model_set: str | None = None
    since: date | None = None
    until: date | None = None
    status: str | None = None
    labels: frozenset[str] = frozenset()
    min_probability: float | None = None
    max_probability: float | None = None
    findings: frozenset[str] = frozenset()
    min_score: float | None = None

    @property
    def scope(self) -> Scope:
        """The part of it that days and model sets decide."""
        return Scope(self.model_set, since=self.since, until=self.until)

    @property
    def chooses_records(self) -> bool:
        """Whether it leaves out records of a day and model set that it lets through."""
        plain = RecordFilter(self.model_set, self.since, self.until)
        return self != plain

    def apply(self, rows: RecordRows) -> RecordRows | None:
        """The record with the findings that are wanted; None if the record is not."""
        record = rows.record
        if self.status not in (None, record["status"]):
            return None
        if self.labels and record["label"] not in self.labels:
            return None
        if not self._has_probability(record["probability"]):
            return None
        if not self.findings and self.min_score is None:
            return rows
        findings = tuple(
            finding
            for finding in rows.findings
            if (not self.findings or finding["finding"] in self.findings)
            and (self.min_score is None or finding["score"] >= self.min_score)
        )
        return dataclasses.replace(rows, findings=findings) if findings else None

    def _has_probability(self, probability: float | None) -> bool:
        if self.min_probability is None and self.max_probability is None:
            return True
        if probability is None:
            return False
        return (self.min_probability or 0.0) <= probability and (
            self.max_probability is None or probability <= self.max_probability
        )
