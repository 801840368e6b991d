"""Coded concepts of DICOM outputs.

A label's public concept comes with the record (labels.py says from where). A label without one, or
with one that DICOM cannot write, gets a code of this project's own scheme, whose designator starts
with 99 as PS3.16 8 asks of private schemes: it says no more than the label does.

Concepts of the templates are written out with their sources instead of looked up, so that the page
of code says what the file will hold.
"""

import hashlib
from typing import Any, Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from lambdas.report.dicom_instance import MANUFACTURER, long_string
from lambdas.shared.records import Record

LOCAL_SCHEME: Final = "99CXRBATCH"

SCORE: Final = CodedConcept("246262008", "SCT", "Score")
"""PS3.16, SNOMED CT concepts: for a number in [0, 1] that is no probability."""

PROBABILITY: Final = CodedConcept("122157", "DCM", "Probability")

XR: Final = CodedConcept("43468-8", "LN", "XR unspecified body region")
"""PS3.16 CID 100: what TID 1500 offers for projection radiography."""

_CODE_CHARACTERS: Final = 16
"""Of Code Value and Coding Scheme Designator (SH)."""


def concept(label: str, code: Record | None) -> CodedConcept:
    """The concept of a label.

    Args:
        label: As the model names it.
        code: `system`, `value`, `meaning` of a public terminology; None where there is none.
    """
    if code and all(_is_short(code[name]) for name in ("system", "value")):
        meaning = long_string(code["meaning"]) or long_string(label) or code["value"]
        return CodedConcept(code["value"], code["system"], meaning)
    value = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:12].upper()
    return CodedConcept(value, LOCAL_SCHEME, long_string(label) or value)


def scheme_identification() -> CodingSchemeIdentificationItem:
    """Who is responsible for the local codes (SOP Common module)."""
    return CodingSchemeIdentificationItem(
        LOCAL_SCHEME,
        name="Labels of cxr-batch models without a public code",
        responsible_organization=MANUFACTURER,
    )


def _is_short(value: Any) -> bool:
    return 0 < len(value) <= _CODE_CHARACTERS and long_string(value) == value
