"""One row of results, as tables, CSV and the page show it; read from a record.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lambdas.report.formats import FORMAT_FILES, FORMATS
from lambdas.report.words import compare_numbers
from lambdas.shared.records import (
    RECORD_FILE,
    REPORT_FILE,
    THUMBNAIL_FILE,
    Record,
    record_validator,
)

NORMAL, ABNORMAL, REJECTED = "normal", "abnormal", "rejected"


@dataclass(frozen=True, slots=True)
class Result:
    """What a record says, flat.

    Attributes:
        folder: Where record.json lies below --out, `/` between its parts.
        kind: `normal`, `abnormal` or `rejected`.
        label: The classifier's word; None for a rejected image.
        probability: Of the positive label, in [0, 1]; a score only, unless `calibrated`.
        detected: Whether the detector ran.
        detectable: How many findings the detector knows.
        findings: Label and score, highest score first.
        files: Names of the other files in the folder.
        formats: Optional outputs among them.
        left_out: Optional outputs that the image cannot have, and why.
    """

    folder: str
    key: str
    image_id: str
    model_set: str
    sha256: str
    status: str
    kind: str
    label: str | None
    positive_label: str | None
    probability: float | None
    threshold: float | None
    calibrated: bool | None
    detected: bool
    detectable: int
    findings: tuple[tuple[str, float], ...]
    rejection_code: str | None
    rejection_message: str | None
    width_px: int | None
    height_px: int | None
    view: str | None
    files: tuple[str, ...]
    formats: frozenset[str]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]

    @classmethod
    def from_record(cls, record: Record, *, folder: str) -> "Result":
        """From a record that is valid under its schema."""
        triage, image = record["triage"] or {}, record["image"] or {}
        detection, rejection = record["detection"] or {}, record["rejection"] or {}
        kind = REJECTED if rejection else ABNORMAL if triage["positive"] else NORMAL
        return cls(
            folder=folder,
            key=record["source"]["key"],
            image_id=record["image_id"],
            model_set=record["model_set"],
            sha256=record["source"]["sha256"],
            status=record["status"],
            kind=kind,
            label=triage.get("label"),
            positive_label=triage.get("positive_label"),
            probability=triage.get("probability"),
            threshold=triage.get("threshold"),
            calibrated=triage.get("calibrated"),
            detected=bool(detection.get("performed")),
            detectable=len(detection.get("detectable", ())),
            findings=tuple((entry["label"], entry["score"]) for entry in record["findings"]),
            rejection_code=rejection.get("code"),
            rejection_message=rejection.get("message"),
            width_px=image.get("width_px"),
            height_px=image.get("height_px"),
            view=image.get("view"),
            files=tuple(record["outputs"].values()),
            formats=FORMATS.intersection(record["outputs"]),
            left_out=tuple(
                (entry["format"], entry["reason"]) for entry in record.get("left_out", ())
            ),
            warnings=tuple(record["warnings"]),
        )

    @property
    def record_path(self) -> str:
        """Path of record.json below --out."""
        return f"{self.folder}/{RECORD_FILE}"

    @property
    def report_path(self) -> str | None:
        """Path of report.pdf below --out."""
        return f"{self.folder}/{REPORT_FILE}" if REPORT_FILE in self.files else None

    @property
    def thumbnail_path(self) -> str | None:
        """Path of thumbnail.jpg below --out."""
        return f"{self.folder}/{THUMBNAIL_FILE}" if THUMBNAIL_FILE in self.files else None

    @property
    def settled_formats(self) -> frozenset[str]:
        """Optional outputs that were asked for: made, or known to be impossible."""
        return self.formats | {name for name, _ in self.left_out}

    @property
    def format_paths(self) -> dict[str, str]:
        """Path below --out of each optional output, by its name."""
        return {name: f"{self.folder}/{FORMAT_FILES[name]}" for name in sorted(self.formats)}

    @property
    def number_text(self) -> str:
        """The number with as many decimals as keep it on its side of the threshold."""
        return self._numbers()[0]

    @property
    def threshold_text(self) -> str:
        """The operating point with as many decimals as the number."""
        return self._numbers()[1]

    def _numbers(self) -> tuple[str, str]:
        if self.probability is None or self.threshold is None:
            return "", ""
        return compare_numbers(self.probability, self.threshold, reached=self.kind == ABNORMAL)

    @property
    def findings_text(self) -> str:
        """Findings with their scores, or what the absence of any means."""
        if self.findings:
            return "; ".join(f"{label} {score:.2f}" for label, score in self.findings)
        if self.detected:
            return f"none of the {self.detectable} detectable findings localised"
        return ""


def parse_record(content: bytes) -> Record | None:
    """A record.json; None where it is none, or breaks the schema."""
    try:
        record: Record = json.loads(content)
    except ValueError:
        return None
    return record if record_validator().is_valid(record) else None


def number_name(results: Sequence[Result]) -> str:
    """What to call the classifier's number: a probability only if every one is calibrated."""
    numbers = [result for result in results if result.probability is not None]
    calibrated = bool(numbers) and all(result.calibrated for result in numbers)
    return "Probability" if calibrated else "Score"
