"""Stand-ins for the models: fast, picklable, and badly behaved where an image's bytes say so.

An image here is a file that starts with a zero byte, so that it is no text. What follows decides:
`abnormal`, `rejected`, `raise`, `die`, `die-once PATH`, `sleep SECONDS PATH`; all else is normal.
`dicom` at the end gives the image a study that DICOM outputs can join.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr.wanted import PLAIN, Wanted
from cxr.worker import Analyse
from lambdas.report.fhir_references import FhirReferences
from lambdas.report.formats import FHIR, FORMAT_FILES, FORMATS, output_roles
from lambdas.shared.boxes import UnitBox
from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ModelMismatchError, UnreadableImageError
from lambdas.shared.findings import Finding, Triage
from lambdas.shared.radiograph import ImageFacts
from lambdas.shared.records import Record, Source, analysed_record, complete, rejected_record

MODEL_SET = "0123456789abcdef"
WARNING = "Thresholds not valid on patients: the triage model was trained on nothing."
FINDINGS = ("Cardiomegaly", "Pleural effusion")


def image(behaviour: str = "normal") -> bytes:
    return b"\0" + behaviour.encode()


@dataclass(frozen=True)
class FakeAnalysis:
    record: Record
    files: dict[str, bytes]


@dataclass(frozen=True)
class FakeAnalyser:
    detect_all: bool = False
    model_set: str = MODEL_SET
    warnings: tuple[str, ...] = (WARNING,)
    load_fails: bool = False
    dies_at_load: bool = False

    @contextlib.contextmanager
    def open(self) -> Iterator[Analyse]:
        if self.load_fails:
            raise ModelMismatchError("model bundle x: sha256 differs; copy the bundle again")
        if self.dies_at_load:
            os.kill(os.getpid(), signal.SIGKILL)
        yield self.analyse

    def analyse(self, data: bytes, source: Source, wanted: Wanted = PLAIN, /) -> FakeAnalysis:
        verb, *arguments = data[1:].decode("utf-8", "replace").split(" ") if data else ["rejected"]
        if verb == "raise":
            raise RuntimeError("the graph met something new")
        if verb == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "die-once" and not Path(arguments[0]).exists():
            Path(arguments[0]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if verb == "sleep":
            Path(arguments[1]).touch()
            time.sleep(float(arguments[0]))
        detect_all = self.detect_all or wanted.detect_all
        record = record_of(source, verb, detect_all=detect_all, model_set=self.model_set)
        files = {"report.pdf": b"%PDF-1.4 of " + data, "thumbnail.jpg": b"\xff\xd8\xff of " + data}
        possible = FORMATS if arguments[-1:] == ["dicom"] else {FHIR}
        for name in sorted(wanted.formats & possible):
            content = fhir_of(wanted.references) if name == FHIR else b"DICM of " + data
            files[FORMAT_FILES[name]] = content
        record |= {
            "outputs": output_roles(files),
            "left_out": [
                {"format": name, "reason": "no study to join"}
                for name in sorted(wanted.formats - possible)
            ],
        }
        return FakeAnalysis(record, files)


def fhir_of(references: FhirReferences) -> bytes:
    """As much of a fhir.json as names somebody."""
    report: dict[str, Any] = {"resourceType": "DiagnosticReport"}
    if references.patient:
        report["subject"] = {"reference": references.patient}
    if references.imaging_study:
        report["imagingStudy"] = [{"reference": references.imaging_study}]
    return json.dumps({"entry": [{"resource": report}]}).encode()


def bundle(task: str) -> Bundle:
    """As much of a bundle as a record repeats."""
    facts: dict[str, Any] = {
        "task": task,
        "name": "fake",
        "version": "1",
        "architecture": "none",
        "sha256": "0" * 64,
        "trained_on": {"kind": "nothing", "description": "fake"},
        "labels": [{"name": name, "code": None} for name in FINDINGS],
    }
    return Bundle(folder=Path("fake"), facts=facts, digest="0" * 64)


def record_of(
    source: Source, kind: str, *, detect_all: bool = False, model_set: str = MODEL_SET
) -> Record:
    """A valid record of a kind."""
    models: dict[str, Any] = {
        "classifier": bundle("classification"),
        "detector": bundle("detection"),
        "model_set": model_set,
    }
    if kind == "rejected":
        error = UnreadableImageError("no image; send the radiograph", code="not_an_image")
        record = rejected_record(source=source, facts=None, error=error, **models)
    else:
        positive = kind == "abnormal"
        record = analysed_record(
            source=source,
            facts=ImageFacts(
                "png", 100, 100, 8, "MONOCHROME2", "PA", None, None, None, 1, source.sha256
            ),
            triage=Triage(
                label="Abnormal" if positive else "Normal",
                positive_label="Abnormal",
                probability=0.9 if positive else 0.1,
                threshold=0.5,
                calibrated=False,
                positive=positive,
            ),
            findings=[
                Finding(label, None, score, 0.3, UnitBox(0.1, 0.1, 0.5, 0.5))
                for label, score in zip(FINDINGS, (0.91, 0.42), strict=True)
                if positive
            ],
            detection_performed=positive or detect_all,
            **models,
        )
    return complete(
        record,
        outputs={"report": "report.pdf", "thumbnail": "thumbnail.jpg"},
        timings={"finished_at": "2026-01-01T00:00:00+00:00"},
    )


def make_fake(folder: Path, *, detect_all: bool) -> FakeAnalyser:
    """As `bundles_analyser`: the folder's name may ask for other models."""
    return FakeAnalyser(
        detect_all=detect_all,
        model_set="f" * 16 if folder.name == "other" else MODEL_SET,
        load_fails=folder.name == "broken",
        dies_at_load=folder.name == "huge",
    )
