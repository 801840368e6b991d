"""Codes and numbers as FHIR writes them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from lambdas.shared.records import Record

Json = dict[str, Any]

SYSTEMS: Final[Mapping[str, str]] = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
    "LN": "http://loinc.org",
}
"""FHIR's name of each code system that a record names as DICOM does (HL7 Terminology)."""

RADIOLOGY: Final = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}
IMAGING: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
    "code": "imaging",
}
REPORT_CODE: Final = {"system": SYSTEMS["LN"], "code": "18748-4"}
"""Diagnostic imaging study, as IHE RAD.IMR has it. No LOINC code names the result of an AI."""
NORMALITY: Final = {"system": SYSTEMS["DCM"], "code": "121402", "display": "Normality"}
PROBABILITY: Final = {"system": SYSTEMS["DCM"], "code": "122157", "display": "Probability"}
SCORE: Final = {"system": SYSTEMS["SCT"], "code": "246262008", "display": "Score"}
PRESENT: Final = {"system": SYSTEMS["SCT"], "code": "52101004", "display": "Present"}

_CODE: Final = re.compile(r"\S+( \S+)*")
"""R4, datatypes: code."""


def codeable_concept(label: str, code: Record | None) -> Json:
    """The label as text, with its public concept where FHIR knows the code system."""
    concept: Json = {"text": one_line(label)}
    if code and code["system"] in SYSTEMS and _CODE.fullmatch(code["value"]):
        coding = {
            "system": SYSTEMS[code["system"]],
            "code": code["value"],
            "display": one_line(code["meaning"]),
        }
        concept["coding"] = [coding]
    return concept


def unitless(name: str, value: float, *, coding: Json | None = None) -> Json:
    """An observation's component: a number with what it is called."""
    code = {"text": name} | ({"coding": [coding]} if coding else {})
    quantity = {"value": value, "system": "http://unitsofmeasure.org", "code": "1"}
    return {"code": code, "valueQuantity": quantity}


def one_line(text: str) -> str:
    """A text fit for a name: never empty, as FHIR's strings are not."""
    return " ".join(printable(text).split()) or "(blank)"


def printable(text: str) -> str:
    """Without control characters, which FHIR's strings must not hold."""
    return "".join(character if character.isprintable() else " " for character in text)
