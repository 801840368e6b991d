"""What a result shall hold beyond the plain one, by the options and by an earlier result."""

from dataclasses import dataclass
from typing import Final

from lambdas.report.fhir_references import NOBODY, FhirReferences


@dataclass(frozen=True, slots=True)
class Wanted:
    """Additions to a plain result.

    Attributes:
        formats: From `parse_formats`.
        references: Whom a FHIR output is about.
        detect_all: Whether findings are wanted even if the image is normal.
        passthrough: DICOM attributes for the record, from `parse_passthrough`.
    """

    formats: frozenset[str] = frozenset()
    references: FhirReferences = NOBODY
    detect_all: bool = False
    passthrough: frozenset[str] = frozenset()


PLAIN: Final = Wanted()
