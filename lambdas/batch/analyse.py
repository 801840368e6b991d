"""All stages on one image, in memory: what the command, the page and bulk processing call."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lambdas.classify.classify import classify
from lambdas.detect.detect import detect
from lambdas.report.fhir_references import NOBODY, FhirReferences
from lambdas.report.finish import Analysis, Found, finish
from lambdas.shared.bundle import BundlePair, load_pair
from lambdas.shared.errors import InputError
from lambdas.shared.findings import Finding, Triage
from lambdas.shared.flow import FIRST_STAGE, Stage, next_stage
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import Source


@dataclass(frozen=True)
class Models:
    """The pair of models that make results."""

    classifier: OnnxModel
    detector: OnnxModel

    @cached_property
    def pair(self) -> BundlePair:
        """Their bundles."""
        return BundlePair(self.classifier.bundle, self.detector.bundle)

    @property
    def model_set(self) -> str:
        """16 hex that name what made a result."""
        return self.pair.model_set


def load_models(folder: Path, *, threads: int | None = None) -> Models:
    """Open the bundles `classifier` and `detector` in a folder.

    Raises:
        ContractError: A bundle is missing, malformed, or not what it says.
    """
    pair = load_pair(folder)
    return Models(
        OnnxModel(pair.classifier, threads=threads), OnnxModel(pair.detector, threads=threads)
    )


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
    stage: Stage | None = FIRST_STAGE
    while stage is not None and stage != "report":
        if stage == "classify":
            try:
                radiograph = reader.read(data)
            except InputError as error:
                rejection = error
            clock.lap("read_ms")
            if radiograph is not None:
                triage = classify(radiograph, model=models.classifier)
                clock.lap("classify_ms")
        elif radiograph is not None:
            findings = detect(radiograph, model=models.detector)
            clock.lap("detect_ms")
        stage = next_stage(
            stage,
            rejected=rejection is not None,
            positive=triage is not None and triage.positive,
            detect_all=detect_all,
        )
    return finish(
        Found(radiograph, triage, findings, rejection),
        source=source,
        pair=models.pair,
        data=data,
        timings=clock.laps,
        formats=formats,
        references=references,
        source_tags=reader.read_tags(data, passthrough),
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
