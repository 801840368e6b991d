"""The end of every flow: record and files of one image, from whatever its stages found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lambdas.report.fhir_references import NOBODY, FhirReferences
from lambdas.report.formats import left_out, output_roles
from lambdas.report.report import report
from lambdas.shared.bundle import BundlePair
from lambdas.shared.errors import InputError
from lambdas.shared.findings import Finding, Triage
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import (
    Record,
    Source,
    analysed_record,
    complete,
    rejected_record,
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What became of one image.

    Attributes:
        record: Final; written last, as record.json.
        files: Every other file of the result, by name.
    """

    record: Record
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Found:
    """What the stages before the report found: a rejection, or a triage and perhaps findings.

    Attributes:
        radiograph: None for a rejected image.
        triage: None for a rejected image.
        findings: None unless detection was performed.
        rejection: None unless the image was rejected.
    """

    radiograph: Radiograph | None = None
    triage: Triage | None = None
    findings: tuple[Finding, ...] | None = None
    rejection: InputError | None = None


def draft_record(found: Found, *, source: Source, pair: BundlePair) -> Record:
    """The record before its outputs and timings are known."""
    if found.radiograph is None or found.triage is None:
        if found.rejection is None:
            raise ValueError("an image without radiograph and triage has been rejected")
        return rejected_record(
            source=source,
            facts=None,
            error=found.rejection,
            classifier=pair.classifier,
            detector=pair.detector,
            model_set=pair.model_set,
        )
    return analysed_record(
        source=source,
        facts=found.radiograph.facts,
        triage=found.triage,
        findings=found.findings or (),
        detection_performed=found.findings is not None,
        classifier=pair.classifier,
        detector=pair.detector,
        model_set=pair.model_set,
    )


def finish(
    found: Found,
    *,
    source: Source,
    pair: BundlePair,
    data: bytes | None,
    timings: Mapping[str, Any],
    formats: frozenset[str] = frozenset(),
    references: FhirReferences = NOBODY,
    source_tags: Mapping[str, str] | None = None,
) -> Analysis:
    """Draw the report and the other files, and close the record.

    Args:
        found: By the stages before.
        source: Where the image came from.
        pair: The bundles that made the result.
        data: The file; None where it was too large to be read.
        timings: Durations in ms so far; the report's own is added.
        formats: Optional outputs, from `lambdas.report.formats.parse_formats`.
        references: Whose image it is, for FHIR.
        source_tags: From `IsolatedReader.read_tags`.

    Raises:
        ContractError: What we shipped contradicts itself; no image is to blame.
    """
    begun = datetime.now(UTC)
    record = draft_record(found, source=source, pair=pair)
    files = report(
        record, radiograph=found.radiograph, data=data, formats=formats, references=references
    )
    finished = datetime.now(UTC)
    final = complete(
        record,
        outputs=output_roles(files),
        timings={
            "finished_at": finished.isoformat(timespec="seconds"),
            **timings,
            "report_ms": round((finished - begun).total_seconds() * 1000, 1),
        },
        left_out=left_out(record, data=data, formats=formats),
        source_tags=source_tags,
    )
    return Analysis(final, files)
