"""All stages on one image, in memory: what the command, the page and bulk processing call."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from lambdas.classify.classify import classify
from lambdas.detect.detect import detect
from lambdas.report.fhir_references import NOBODY, FhirReferences
from lambdas.report.formats import left_out, output_roles
from lambdas.report.report import report
from lambdas.shared.bundle import load_bundle, model_set
from lambdas.shared.errors import InputError
from lambdas.shared.findings import Finding, Triage
from lambdas.shared.flow import FIRST_STAGE, Stage, next_stage
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import (
    Record,
    Source,
    analysed_record,
    complete,
    rejected_record,
)

CLASSIFIER_FOLDER: Final = "classifier"
DETECTOR_FOLDER: Final = "detector"


@dataclass(frozen=True)
class Models:
    """The pair of models that make results."""

    classifier: OnnxModel
    detector: OnnxModel

    @cached_property
    def model_set(self) -> str:
        """16 hex that name what made a result."""
        return model_set(self.classifier.bundle, self.detector.bundle)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What became of one image.

    Attributes:
        record: Final; written last, as record.json.
        files: Every other file of the result, by name.
    """

    record: Record
    files: dict[str, bytes]


def load_models(folder: Path, *, threads: int | None = None) -> Models:
    """Open the bundles `classifier` and `detector` in a folder.

    Raises:
        ContractError: A bundle is missing, malformed, or not what it says.
    """
    classifier = load_bundle(folder / CLASSIFIER_FOLDER, task="classification")
    detector = load_bundle(folder / DETECTOR_FOLDER, task="detection")
    return Models(OnnxModel(classifier, threads=threads), OnnxModel(detector, threads=threads))


def analyse(
    data: bytes,
    *,
    source: Source,
    models: Models,
    reader: IsolatedReader,
    detect_all: bool = False,
    formats: frozenset[str] = frozenset(),
    passthrough: frozenset[str] = frozenset(),
    references: FhirReferences = NOBODY,
) -> Analysis:
    """Read, triage, localise and report one image. A bad image is a result: a rejected record.

    Args:
        data: The file.
        source: Where it came from; `sha256` is that of `data`.
        models: From `load_models`.
        reader: Decodes in a process of its own.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Optional outputs, from `lambdas.report.formats.parse_formats`.
        passthrough: DICOM attributes that go into the record, from `parse_passthrough`.
        references: Whom a FHIR output is about.

    Raises:
        ContractError: What we shipped contradicts itself; no image is to blame.
    """
    clock = _Clock()
    radiograph: Radiograph | None = None
    rejection: InputError | None = None
    triage: Triage | None = None
    findings: tuple[Finding, ...] | None = None
    files: dict[str, bytes] = {}
    record: Record = {}
    stage: Stage | None = FIRST_STAGE
    while stage is not None:
        if stage == "classify":
            try:
                radiograph = reader.read(data)
            except InputError as error:
                rejection = error
            clock.lap("read_ms")
            if radiograph is not None:
                triage = classify(radiograph, model=models.classifier)
                clock.lap("classify_ms")
        elif stage == "detect" and radiograph is not None:
            findings = detect(radiograph, model=models.detector)
            clock.lap("detect_ms")
        elif stage == "report":
            record = _record(source, models, radiograph, rejection, triage, findings)
            files = report(
                record, radiograph=radiograph, data=data, formats=formats, references=references
            )
            clock.lap("report_ms")
        stage = next_stage(
            stage,
            rejected=rejection is not None,
            positive=triage is not None and triage.positive,
            detect_all=detect_all,
        )
    timings = {"finished_at": datetime.now(UTC).isoformat(timespec="seconds"), **clock.laps}
    final = complete(
        record,
        outputs=output_roles(files),
        timings=timings,
        left_out=left_out(record, data=data, formats=formats),
        source_tags=reader.read_tags(data, passthrough),
    )
    return Analysis(final, files)


def _record(
    source: Source,
    models: Models,
    radiograph: Radiograph | None,
    rejection: InputError | None,
    triage: Triage | None,
    findings: tuple[Finding, ...] | None,
) -> Record:
    classifier, detector = models.classifier.bundle, models.detector.bundle
    if radiograph is None or triage is None:
        if rejection is None:
            raise AssertionError("an image without triage has been rejected")
        return rejected_record(
            source=source,
            facts=None,
            error=rejection,
            classifier=classifier,
            detector=detector,
            model_set=models.model_set,
        )
    return analysed_record(
        source=source,
        facts=radiograph.facts,
        triage=triage,
        findings=findings or (),
        detection_performed=findings is not None,
        classifier=classifier,
        detector=detector,
        model_set=models.model_set,
    )


class _Clock:
    """Durations of the stages in ms."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._start = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round((now - self._start) * 1000, 1)
        self._start = now
