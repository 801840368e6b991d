"""Where an identifier may stand, and nowhere else."""

import json

from tests.deidentification.harvest import found_in
from tests.deidentification.planted import (
    ACCESSION,
    ALL,
    BIRTH_DATE,
    KEY,
    NAME,
    OF_PATIENT_AND_STUDY,
    PATIENT_ID,
    REFERENCED,
    STUDY_UID,
)

MUST_CARRY = {NAME, PATIENT_ID, ACCESSION, STUDY_UID}
"""Without these a DICOM output would belong to no patient and no study; a birth date may be
invalid, and is then left empty."""


def assert_clean(name: str, content: bytes | str) -> None:
    """No identifier at all, and no key."""
    assert found_in(content, ALL) == set(), name


def assert_record_is_clean(content: bytes) -> None:
    """But for the source's key."""
    record = json.loads(content)
    assert KEY in record["source"].pop("key")
    assert record["source_tags"] == {}
    assert_clean("record.json", json.dumps(record))


def assert_result_is_clean(name: str, content: bytes) -> None:
    """One file of a result, by its name."""
    if name.endswith("/record.json"):
        assert_record_is_clean(content)
    elif "/dicom/" in name:
        found = found_in(content, ALL)
        assert found <= OF_PATIENT_AND_STUDY | REFERENCED, name
        assert found >= MUST_CARRY, name
    else:
        assert_clean(name, content)


def carries_birth_date(files: dict[str, bytes]) -> bool:
    """Whether some DICOM output has the date that its source has."""
    return any(
        found_in(content, {BIRTH_DATE}) for name, content in files.items() if "/dicom/" in name
    )
