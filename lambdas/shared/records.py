"""record.json: built, checked against its schema, written the same way every time.

record.schema.json is the contract. Same bytes, key and models give the same record but for
`timings`, so floats are rounded here, once, to what the models can mean.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ContractError, InputError
from lambdas.shared.findings import Finding, Triage
from lambdas.shared.radiograph import ImageFacts

SCHEMA_VERSION: Final = "1.1.0"
"""Of record.schema.json; RECORD.md says what changed when."""
SCORE_DECIMALS: Final = 4
PIXEL_DECIMALS: Final = 1
UNIT_DECIMALS: Final = 6
RECORD_FILE: Final = "record.json"
REPORT_FILE: Final = "report.pdf"
THUMBNAIL_FILE: Final = "thumbnail.jpg"
RESULTS_PREFIX: Final = "results/"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image came from.

    Attributes:
        bucket: None for a file in a folder.
        key: Object key, or path below the folder with `/` between its parts.
        version: Version id, else ETag; None for a file in a folder.
        sha256: Hex digest of the bytes; None where an object was too large to be read.
    """

    bucket: str | None
    key: str
    version: str | None
    sha256: str | None

    @property
    def image_id(self) -> str:
        """32 hex that name this image without saying anything of it."""
        if self.bucket is None:
            return _digest("folder", self.key, self.sha256 or "")
        return image_id_of(self.bucket, self.key, self.version)


def result_key(model_set: str, image_id: str, file: str) -> str:
    """Key of a file of a result in a bucket; digests alone, so it says nothing of the image."""
    return f"{RESULTS_PREFIX}{model_set}/{image_id}/{file}"


def image_id_of(bucket: str, key: str, version: str | None) -> str:
    """32 hex that name one version of an object."""
    return _digest("bucket", bucket, key, version or "")


def analysed_record(
    *,
    source: Source,
    facts: ImageFacts,
    triage: Triage,
    findings: Sequence[Finding],
    detection_performed: bool,
    classifier: Bundle,
    detector: Bundle,
    model_set: str,
) -> Record:
    """The record of an image that was assessed; `outputs` and `timings` are still to be filled.

    Args:
        findings: Highest score first.
        detection_performed: Whether the detector ran; normal images are not sent to it.
    """
    record = _frame(source, model_set, classifier, detector)
    return record | {
        "image": _facts(facts),
        "status": "analysed",
        "triage": {
            "label": triage.label,
            "code": _code(classifier, triage.label),
            "positive_label": triage.positive_label,
            "positive": triage.positive,
            "probability": round(triage.probability, SCORE_DECIMALS),
            "threshold": triage.threshold,
            "calibrated": triage.calibrated,
        },
        "detection": {
            "performed": detection_performed,
            "detectable": list(detector.label_names),
        },
        "findings": [finding_entry(finding, facts) for finding in findings],
    }


def rejected_record(
    *,
    source: Source,
    facts: ImageFacts | None,
    error: InputError,
    classifier: Bundle,
    detector: Bundle,
    model_set: str,
) -> Record:
    """The record of an image that cannot be assessed, with the reason and what to do."""
    record = _frame(source, model_set, classifier, detector)
    return record | {
        "image": _facts(facts) if facts else None,
        "status": "rejected",
        "rejection": {"code": error.code, "message": error.message},
    }


def complete(
    record: Record,
    *,
    outputs: Mapping[str, str],
    timings: Mapping[str, Any],
    left_out: Sequence[Mapping[str, str]] = (),
    source_tags: Mapping[str, str] | None = None,
) -> Record:
    """The final record, checked against the schema.

    Args:
        record: From `analysed_record` or `rejected_record`.
        outputs: Other files beside record.json, by role.
        timings: `finished_at` (ISO 8601 with offset) and durations in ms.
        left_out: `format` and `reason` of each that was asked for and cannot be had.
        source_tags: From `IsolatedReader.read_tags`, where an operator asked for some.

    Raises:
        ContractError: The record breaks its own contract.
    """
    final = record | {
        "source_tags": dict(source_tags or {}),
        "outputs": dict(outputs),
        "left_out": [dict(entry) for entry in left_out],
        "timings": dict(timings),
    }
    # places, not values: the source's key is among them
    wrong = [
        f"{problem.json_path} ({problem.validator})"
        for problem in record_validator().iter_errors(final)
    ]
    if wrong:
        raise ContractError("record.json would break its schema at " + ", ".join(wrong))
    return final


def to_json(record: Record) -> bytes:
    """The one way a record is written: UTF-8, two spaces, keys in the schema's order, newline."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


@functools.cache
def record_validator() -> jsonschema.Draft202012Validator:
    """Validator of record.schema.json."""
    schema = json.loads(Path(__file__).with_name("record.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _frame(source: Source, model_set: str, classifier: Bundle, detector: Bundle) -> Record:
    """Every field, in the order of the schema, as a rejected image has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "image_id": source.image_id,
        "model_set": model_set,
        "source": asdict(source),
        "source_tags": {},
        "image": None,
        "status": "rejected",
        "rejection": None,
        "triage": None,
        "detection": None,
        "findings": [],
        "models": [_model(classifier), _model(detector)],
        "warnings": [*classifier.warnings, *detector.warnings],
        "outputs": {},
        "left_out": [],
        "timings": {},
    }


def _code(bundle: Bundle, name: str) -> Record | None:
    """Concept of a label, as the bundle gives it."""
    codes = {label.name: label.code for label in bundle.labels}
    code = codes.get(name)
    return asdict(code) if code else None


def _model(bundle: Bundle) -> Record:
    names = ("task", "name", "version", "architecture", "sha256", "trained_on")
    return {name: bundle.facts[name] for name in names}


def _facts(facts: ImageFacts) -> Record:
    """As JSON has it: lists for tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(facts).items()
    }


def finding_entry(finding: Finding, facts: ImageFacts) -> Record:
    """A finding as `findings` of a record has it."""
    box = finding.box.in_pixels(width_px=facts.width_px, height_px=facts.height_px)
    return {
        "label": finding.label,
        "code": asdict(finding.code) if finding.code else None,
        "score": round(finding.score, SCORE_DECIMALS),
        "threshold": finding.threshold,
        "box": {edge: round(value, PIXEL_DECIMALS) for edge, value in asdict(box).items()},
        "box_normalised": {
            edge: round(value, UNIT_DECIMALS) for edge, value in asdict(finding.box).items()
        },
    }
