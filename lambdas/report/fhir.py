"""fhir.json: a result as FHIR R4 (4.0.1), a Bundle (collection) of resources of its own.

    DiagnosticReport ──result──▶ Observation (triage), Observation (one finding each, with its box)
                                      └──device──▶ Device (one for each model)

Everything is preliminary: no person has read it. A rejected image has a cancelled report with the
reason and no observation. Boxes are an extension that image_box.fhir.json defines.

The library has models of R4B, not of R4; only elements that R4 has are used. It accepts any code
for a status, so the tests ask two other validators.
"""

import base64
import hashlib
import html
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation

from lambdas.report import words
from lambdas.report.dicom_instance import name_based_uuid, result_names
from lambdas.report.fhir_references import FhirReferences
from lambdas.report.fhir_terms import (
    IMAGING,
    NORMALITY,
    PRESENT,
    PROBABILITY,
    RADIOLOGY,
    REPORT_CODE,
    SCORE,
    Json,
    codeable_concept,
    one_line,
    printable,
    unitless,
)
from lambdas.shared.records import REPORT_FILE, Record

BOX_EXTENSION: Final = "urn:cxr-batch:fhir:image-box"
IMAGE_ID_SYSTEM: Final = "urn:cxr-batch:image-id"
RESULT_SYSTEM: Final = "urn:cxr-batch:result"
MODEL_SYSTEM: Final = "urn:cxr-batch:model-sha256"

TIMING_ELEMENTS: Final = ("timestamp", "issued")
"""When the output was written; all else is a function of record and references."""

_META: Final = {
    "security": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "AIAST",
            "display": "Artificial Intelligence asserted",
        }
    ]
}
"""HL7 AI Transparency: what an AI asserted and no person has confirmed."""


def fhir_bundle(
    record: Record, *, pdf: bytes, references: FhirReferences, written_at: datetime
) -> bytes:
    """Write a result as FHIR.

    Args:
        record: From `analysed_record` or `rejected_record`.
        pdf: report.pdf, which the report points to.
        references: Of the caller.
        written_at: For `TIMING_ELEMENTS`, with its zone.

    Returns:
        JSON in UTF-8.
    """
    issued = written_at.replace(microsecond=0)
    observations: list[Observation] = []
    devices: list[Device] = []
    if record["status"] == "analysed":
        devices = [_device(model) for model in record["models"]]
        observations = [
            _triage(record, references),
            *(_finding(record, index, references) for index in range(len(record["findings"]))),
        ]
    report = _report(record, observations, references, pdf=pdf, issued=issued)
    bundle = Bundle.model_validate(
        {
            "id": _id(record, "bundle"),
            "meta": _META,
            "identifier": {
                "system": RESULT_SYSTEM,
                "value": f"{record['model_set']}/{record['image_id']}",
            },
            "type": "collection",
            "timestamp": issued,
            "entry": [
                {"fullUrl": f"urn:uuid:{resource.id}", "resource": resource}
                for resource in (report, *observations, *devices)
            ],
        }
    )
    text: str = bundle.model_dump_json(indent=2)
    return f"{text}\n".encode()


def _report(
    record: Record,
    observations: Sequence[Observation],
    references: FhirReferences,
    *,
    pdf: bytes,
    issued: datetime,
) -> DiagnosticReport:
    sentences = _sentences(record)
    triage = record["triage"]
    # R4 asks for SHA-1
    digest = hashlib.sha1(pdf, usedforsecurity=False).digest()
    content = {
        "id": _id(record, "report"),
        "meta": _META,
        "text": _narrative(sentences),
        "identifier": [{"system": IMAGE_ID_SYSTEM, "value": record["image_id"]}],
        "status": "preliminary" if triage else "cancelled",
        "category": [{"coding": [RADIOLOGY]}],
        "code": {"coding": [REPORT_CODE], "text": words.TITLE},
        "issued": issued,
        "conclusion": one_line(" ".join(sentences)),
        "presentedForm": [
            {
                "contentType": "application/pdf",
                "url": REPORT_FILE,
                "size": len(pdf),
                "hash": base64.b64encode(digest).decode(),
                "title": words.TITLE,
            }
        ],
        **_subject(references),
        **_study(references, "imagingStudy"),
    }
    if triage:
        content["result"] = [{"reference": f"urn:uuid:{each.id}"} for each in observations]
        content["conclusionCode"] = [codeable_concept(triage["label"], triage.get("code"))]
    return DiagnosticReport.model_validate(content)


def _triage(record: Record, references: FhirReferences) -> Observation:
    triage = record["triage"]
    number = PROBABILITY if triage["calibrated"] else SCORE
    return Observation.model_validate(
        {
            **_observation(record, "triage", record["models"][0], references),
            "code": {"coding": [NORMALITY], "text": "Triage"},
            "valueCodeableConcept": codeable_concept(triage["label"], triage.get("code")),
            "component": [
                unitless(words.number_name(triage), triage["probability"], coding=number),
                unitless(f"Operating point of {triage['positive_label']}", triage["threshold"]),
            ],
        }
    )


def _finding(record: Record, index: int, references: FhirReferences) -> Observation:
    finding = record["findings"][index]
    return Observation.model_validate(
        {
            **_observation(record, f"finding {index + 1}", record["models"][1], references),
            "extension": [_box(record, finding["box"])],
            "code": codeable_concept(finding["label"], finding["code"]),
            "valueCodeableConcept": {"coding": [PRESENT], "text": "Present, by the model alone"},
            "component": [
                unitless("Score, not a probability", finding["score"], coding=SCORE),
                unitless("Operating threshold", finding["threshold"]),
            ],
        }
    )


def _observation(record: Record, role: str, model: Record, references: FhirReferences) -> Json:
    """What all observations share."""
    return {
        "id": _id(record, role),
        "meta": _META,
        "status": "preliminary",
        "category": [{"coding": [IMAGING]}],
        "device": {"reference": f"urn:uuid:{_device_id(model)}"},
        **_subject(references),
        **_study(references, "derivedFrom"),
    }


def _device(model: Record) -> Device:
    trained = model["trained_on"]
    return Device.model_validate(
        {
            "id": _device_id(model),
            "identifier": [{"system": MODEL_SYSTEM, "value": model["sha256"]}],
            "deviceName": [{"name": one_line(model["name"]), "type": "model-name"}],
            "type": {"text": one_line(f"AI model, {model['task']}, {model['architecture']}")},
            "version": [{"value": one_line(model["version"])}],
            "note": [
                {"text": words.RESEARCH_ONLY},
                {"text": one_line(f"Trained on {trained['kind']}: {trained['description']}")},
            ],
        }
    )


def _box(record: Record, box: Record) -> Json:
    """The extension that image_box.fhir.json defines."""
    image = record["image"]
    edges = {"xMin": "x_min", "yMin": "y_min", "xMax": "x_max", "yMax": "y_max"}
    return {
        "url": BOX_EXTENSION,
        "extension": [
            {
                "url": "image",
                "valueIdentifier": {"system": IMAGE_ID_SYSTEM, "value": record["image_id"]},
            },
            {"url": "columns", "valuePositiveInt": image["width_px"]},
            {"url": "rows", "valuePositiveInt": image["height_px"]},
            *({"url": url, "valueDecimal": box[edge]} for url, edge in edges.items()),
        ],
    }


def _subject(references: FhirReferences) -> Json:
    return {"subject": {"reference": references.patient}} if references.patient else {}


def _study(references: FhirReferences, element: str) -> Json:
    study = references.imaging_study
    return {element: [{"reference": study}]} if study else {}


def _sentences(record: Record) -> list[str]:
    """What the report says in words, the warnings last."""
    if record["status"] == "rejected":
        said = ["Rejected: not assessed.", words.NO_RESULT, record["rejection"]["message"]]
        return [words.sentence(each.rstrip(".")) for each in said] + [words.RESEARCH_ONLY]
    triage = record["triage"]
    number, _ = words.compare_numbers(
        triage["probability"], triage["threshold"], reached=triage["positive"]
    )
    findings = [
        f"{finding['label']} (score {finding['score']:.2f})" for finding in record["findings"]
    ]
    return [
        f"{triage['label']}: {words.number_name(triage)} {number}.",
        words.operating_point(triage),
        words.calibration(triage),
        *([f"Localised: {', '.join(findings)}."] if findings else []),
        *words.findings_summary(record),
        words.detectable(record),
        *record["warnings"],
        words.SUBTITLE,
        words.RESEARCH_ONLY,
    ]


def _narrative(sentences: list[str]) -> Json:
    lines = "".join(f"<p>{html.escape(printable(each))}</p>" for each in sentences)
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{lines}</div>',
    }


def _id(record: Record, role: str) -> str:
    return str(name_based_uuid("fhir", *result_names(record), role))


def _device_id(model: Record) -> str:
    """The same for one model wherever it is named."""
    return str(name_based_uuid("fhir device", model["task"], model["sha256"]))
