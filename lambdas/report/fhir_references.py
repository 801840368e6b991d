"""Whose image a FHIR output is about, as the caller knows it.

No identifier is taken from the image: without these references a FHIR output names nobody.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from lambdas.shared.errors import InvalidRequestError

_ID: Final = r"[A-Za-z0-9\-.]{1,64}"
"""R4, datatypes: id."""


@dataclass(frozen=True, slots=True)
class FhirReferences:
    """References to resources of the caller's server.

    Attributes:
        patient: Such as `Patient/123`, or a URL that ends so.
        imaging_study: Such as `ImagingStudy/456`, or a URL that ends so.

    Raises:
        InvalidRequestError: A value is no such reference.
    """

    patient: str | None = None
    imaging_study: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no reference to a resource of the right type."""
        for name, kind in (("patient", "Patient"), ("imaging_study", "ImagingStudy")):
            value = getattr(self, name)
            if value is not None and not is_reference(value, kind):
                # the value may be a name: it is not quoted
                raise InvalidRequestError(
                    f"the {name} reference is not valid; expected {kind}/ID, a URL that ends so, "
                    "or urn:uuid:…"
                )


NOBODY: Final = FhirReferences()


def is_reference(value: str, kind: str) -> bool:
    """Whether a value is a reference to a resource of this type."""
    literal = rf"(https?://\S+/)?{kind}/{_ID}(/_history/{_ID})?"
    return bool(re.fullmatch(rf"{literal}|urn:uuid:[0-9a-f\-]{{36}}", value))


def references_in(content: bytes) -> FhirReferences:
    """The references that a fhir.json carries; none where it cannot be read."""
    try:
        report = json.loads(content)["entry"][0]["resource"]
        subject, studies = report.get("subject", {}), report.get("imagingStudy") or [{}]
        return FhirReferences(subject.get("reference"), studies[0].get("reference"))
    except (ValueError, LookupError, TypeError, AttributeError, InvalidRequestError):
        return NOBODY
