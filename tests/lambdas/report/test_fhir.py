"""fhir.json: read again by validators of other authors, and only what may be said."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fhirclient.models.bundle as r4
import pytest
from fhirclient.models.fhirabstractbase import FHIRValidationError

from lambdas.batch.analyse import Analysis, Models
from lambdas.report import fhir
from lambdas.report.fhir import BOX_EXTENSION, fhir_bundle
from lambdas.report.fhir_references import NOBODY, FhirReferences, references_in
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.findings import Code
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Record
from tests import validators
from tests.lambdas.report import cases
from tests.lambdas.report.dicom_cases import WRITTEN_AT, lasting_fhir, result, study_dicom

MINE = FhirReferences(patient="Patient/123", imaging_study="ImagingStudy/456")
DEFINITION = Path(fhir.__file__).with_name("image_box.fhir.json")


@pytest.fixture(scope="module")
def analysis(models: Models, reader: IsolatedReader) -> Analysis:
    return result(study_dicom(), models, reader, "fhir", references=MINE)


def written(record: Record, references: FhirReferences = NOBODY) -> bytes:
    return fhir_bundle(record, pdf=b"%PDF-1.4", references=references, written_at=WRITTEN_AT)


def resources(content: bytes, kind: str) -> list[dict[str, Any]]:
    entries = json.loads(content)["entry"]
    return [e["resource"] for e in entries if e["resource"]["resourceType"] == kind]


RECORDS = {
    "abnormal with findings": lambda: cases.analysed(
        cases.film(), [cases.finding(code=cases.CARDIOMEGALY), cases.finding("Unheard of")]
    ),
    "abnormal, nothing localised": lambda: cases.analysed(cases.film(), []),
    "normal": lambda: cases.analysed(cases.film(), probability=0.1, performed=False),
    "score alone": lambda: cases.analysed(cases.film(), calibrated=False),
    "rejected": cases.rejected,
    "rejected unread": lambda: cases.rejected("no image; send one.", with_facts=False),
    "hostile words": lambda: cases.analysed(
        cases.film(), [cases.finding("<script>&\x07\n\u2028 \\", code=Code("SCT", " ", "\x00"))]
    ),
}


@pytest.fixture(params=RECORDS)
def record(request: pytest.FixtureRequest) -> Record:
    made: Record = RECORDS[request.param]()
    return made


@pytest.mark.parametrize("references", [NOBODY, MINE], ids=["nobody", "mine"])
def test_valid_r4(record: Record, references: FhirReferences) -> None:
    content = written(record, references)
    bundle = r4.Bundle(json.loads(content))  # R4 models of other authors; strict
    assert bundle.type == "collection"
    assert validators.npm_fhir(content) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", "bogus"),  # fhir.resources accepts it
        ("relevantHistory", []),  # of R5
        ("code", None),
    ],
)
def test_validator_would_find_a_fault(path: str, value: Any) -> None:
    document = json.loads(written(cases.analysed(cases.film())))
    report = document["entry"][0]["resource"]
    if value is None:
        del report[path]
    else:
        report[path] = value
    assert validators.npm_fhir(json.dumps(document).encode()) != []


def test_second_validator_finds_what_the_library_does_not() -> None:
    document = json.loads(written(cases.analysed(cases.film())))
    document["entry"][0]["resource"]["subjectState"] = "gone"
    with pytest.raises(FHIRValidationError):
        r4.Bundle(document)


def test_boxes_are_the_records(analysis: Analysis) -> None:
    _, *observations = resources(analysis.files["fhir.json"], "Observation")
    assert len(observations) == len(analysis.record["findings"]) == 2
    for observation, finding in zip(observations, analysis.record["findings"], strict=True):
        (box,) = observation["extension"]
        values = {part["url"]: part for part in box["extension"]}
        edges = {"x_min": "xMin", "y_min": "yMin", "x_max": "xMax", "y_max": "yMax"}
        assert {e: values[url]["valueDecimal"] for e, url in edges.items()} == finding["box"]
        assert values["columns"]["valuePositiveInt"] == analysis.record["image"]["width_px"]
        assert values["rows"]["valuePositiveInt"] == analysis.record["image"]["height_px"]
        assert values["image"]["valueIdentifier"]["value"] == analysis.record["image_id"]


def test_box_is_what_its_definition_says(analysis: Analysis) -> None:
    content = DEFINITION.read_bytes()
    assert validators.npm_fhir(content) == []
    definition = json.loads(content)
    assert definition["url"] == BOX_EXTENSION
    elements = {element["id"]: element for element in definition["differential"]["element"]}
    assert elements["Extension.url"]["fixedUri"] == BOX_EXTENSION
    declared = {
        element["fixedUri"]: elements[name.replace(".url", ".value[x]")]["type"][0]["code"]
        for name, element in elements.items()
        if re.fullmatch(r"Extension\.extension:\w+\.url", name)
    }
    (box,) = resources(analysis.files["fhir.json"], "Observation")[1]["extension"]
    used = {
        part["url"]: next(key for key in part if key.startswith("value")).removeprefix("value")
        for part in box["extension"]
    }
    assert used == {url: code[0].upper() + code[1:] for url, code in declared.items()}


def test_findings_numbers_and_codes(analysis: Analysis) -> None:
    triage, first, second = resources(analysis.files["fhir.json"], "Observation")
    assert triage["valueCodeableConcept"]["text"] == "Abnormal"
    numbers = [part["valueQuantity"]["value"] for part in triage["component"]]
    record = analysis.record
    assert numbers == [record["triage"]["probability"], record["triage"]["threshold"]]
    assert triage["component"][0]["code"]["coding"][0]["code"] == "246262008"  # not calibrated
    assert first["code"] == {"text": "Cardiomegaly"}
    assert second["code"]["coding"][0] == {
        "system": "http://snomed.info/sct",
        "code": "60046008",
        "display": "Pleural effusion",
    }
    assert second["component"][0]["valueQuantity"]["value"] == record["findings"][1]["score"]


def test_calibrated_number_is_a_probability() -> None:
    (triage,) = resources(written(cases.analysed(cases.film())), "Observation")
    coding = triage["component"][0]["code"]["coding"][0]
    assert (coding["code"], triage["component"][0]["code"]["text"]) == (
        "122157",
        "Probability of Abnormal",
    )


def test_everything_is_preliminary_and_asserted_by_an_ai(analysis: Analysis) -> None:
    content = analysis.files["fhir.json"]
    stated = resources(content, "DiagnosticReport") + resources(content, "Observation")
    assert len(stated) == 4
    for resource in stated:
        assert resource["status"] == "preliminary"
        assert resource["meta"]["security"][0]["code"] == "AIAST"


def test_rejected_image_has_a_cancelled_report_and_no_observation() -> None:
    content = written(cases.rejected())
    (report,) = resources(content, "DiagnosticReport")
    assert report["status"] == "cancelled"
    assert "View Position is 'LL'; submit the frontal image." in report["conclusion"]
    assert "neither normal nor abnormal" in report["conclusion"]
    assert resources(content, "Observation") == resources(content, "Device") == []


def test_references_within_lead_somewhere(record: Record) -> None:
    document = json.loads(written(record))
    known = [entry["fullUrl"] for entry in document["entry"]]
    assert len(set(known)) == len(known)
    assert set(re.findall(r'"reference": "(.*?)"', json.dumps(document))) <= set(known)
    for entry in document["entry"]:
        assert entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}"


def test_report_points_to_the_pdf(analysis: Analysis) -> None:
    (report,) = resources(analysis.files["fhir.json"], "DiagnosticReport")
    (form,) = report["presentedForm"]
    pdf = analysis.files["report.pdf"]
    assert (form["url"], form["size"]) == ("report.pdf", len(pdf))
    assert base64.b64decode(form["hash"]) == hashlib.sha1(pdf, usedforsecurity=False).digest()


def test_narrative_is_well_formed_and_says_the_conclusion(record: Record) -> None:
    (report,) = resources(written(record), "DiagnosticReport")
    div = ElementTree.fromstring(report["text"]["div"])
    said = " ".join(" ".join("".join(part.itertext()).split()) for part in div)
    assert said == report["conclusion"]
    assert "Research use only. Not a medical device. Not a diagnosis." in said


def test_device_is_the_model(analysis: Analysis) -> None:
    content = analysis.files["fhir.json"]
    devices = {device["id"]: device for device in resources(content, "Device")}
    used = [each["device"]["reference"] for each in resources(content, "Observation")]
    models = analysis.record["models"]
    for reference, model in zip(used, (models[0], models[1], models[1]), strict=True):
        device = devices[reference.removeprefix("urn:uuid:")]
        assert device["identifier"][0]["value"] == model["sha256"]
        assert device["deviceName"][0]["name"] == model["name"]
        assert device["version"][0]["value"] == model["version"]


# Whose image it is


def test_caller_names_patient_and_study(analysis: Analysis) -> None:
    content = analysis.files["fhir.json"]
    (report,) = resources(content, "DiagnosticReport")
    assert report["subject"] == {"reference": "Patient/123"}
    assert report["imagingStudy"] == [{"reference": "ImagingStudy/456"}]
    for observation in resources(content, "Observation"):
        assert observation["subject"] == {"reference": "Patient/123"}
        assert observation["derivedFrom"] == [{"reference": "ImagingStudy/456"}]
    assert references_in(content) == MINE


def test_nobody_is_named_otherwise(models: Models, reader: IsolatedReader) -> None:
    data = study_dicom(InstitutionName="PLANTED")
    content = result(data, models, reader, "fhir").files["fhir.json"]
    assert references_in(content) == NOBODY
    identifying = ("SMITH", "MRN-0042", "19500304", "ACC-77", "PLANTED", "ward", "2.25.1")
    assert [word for word in identifying if word in content.decode()] == []
    assert '"subject"' not in content.decode()


def test_same_result_has_the_same_ids_whoever_it_is_about(
    analysis: Analysis, models: Models, reader: IsolatedReader
) -> None:
    again = result(study_dicom(), models, reader, "fhir", references=MINE)
    mine = lasting_fhir(analysis.files["fhir.json"])
    assert mine == lasting_fhir(again.files["fhir.json"])
    other = result(study_dicom(), models, reader, "fhir").files["fhir.json"]
    assert [e["fullUrl"] for e in mine["entry"]] == [
        e["fullUrl"] for e in json.loads(other)["entry"]
    ]


def test_times_are_instants_with_their_zone() -> None:
    document = json.loads(written(cases.rejected()))
    assert document["timestamp"] == "2026-01-02T03:04:05Z"
    assert document["entry"][0]["resource"]["issued"] == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    "values",
    [
        {"patient": "123"},
        {"patient": "ImagingStudy/1"},
        {"patient": "Patient/Jürgen"},
        {"patient": "Patient/" + "1" * 65},
        {"patient": ""},
        {"imaging_study": "Patient/1"},
        {"imaging_study": "https://pacs.example/studies/1"},
    ],
)
def test_what_is_no_reference_is_refused_unquoted(values: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError, match="reference is not valid; expected") as error:
        FhirReferences(**values)
    assert not any(value and value in str(error.value) for value in values.values())


@pytest.mark.parametrize(
    "patient",
    [
        "Patient/123",
        "https://ehr.example/fhir/Patient/a-1.b",
        "Patient/1/_history/2",
        "urn:uuid:70fc9df7-e9bc-51a9-b535-4d2164d52212",
    ],
)
def test_reference(patient: str) -> None:
    assert FhirReferences(patient=patient).patient == patient


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"entry": [{"resource": {"subject": 1}}]}']
)
def test_what_is_no_fhir_output_names_nobody(content: bytes) -> None:
    assert references_in(content) == NOBODY
