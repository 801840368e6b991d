"""DICOM attributes that an operator may choose to carry from the source into the record.

By default a record holds no attribute that says whose image it is. Whoever must join results with a
worklist or an archive can name some of the list below; their values then stand in the record's
`source_tags`, and nowhere else: no report, log, metric or event has them. Names, birth dates,
addresses and free text cannot be chosen.
"""

import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from lambdas.shared.errors import InputError, InvalidRequestError
from lambdas.shared.sniff import SNIFF_BYTES, sniff

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PASSTHROUGH_TAGS: Final = {
    "StudyInstanceUID": "(0020,000D), joins with a PACS",
    "SeriesInstanceUID": "(0020,000E), joins with a PACS",
    "SOPInstanceUID": "(0008,0018), joins with a PACS",
    "AccessionNumber": "(0008,0050), joins with a RIS",
    "PatientID": "(0010,0020), joins with an EHR",
    "IssuerOfPatientID": "(0010,0021), whose PatientID it is",
    "StudyDate": "(0008,0020), YYYYMMDD",
}
"""Keyword, and what it is good for; a name that is not here is refused."""

MAX_VALUE_CHARACTERS: Final = 64
"""The longest of these value representations (UI, LO; PS3.5 6.2); a longer value is no such one."""


def parse_passthrough(text: str) -> frozenset[str]:
    """Read a comma separated list of keywords; an empty text means none.

    Raises:
        InvalidRequestError: A keyword may not be passed through; names those that may.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - set(PASSTHROUGH_TAGS))
    if unknown:
        raise InvalidRequestError(
            f"cannot pass {', '.join(map(repr, unknown))} through; "
            f"choose from {', '.join(PASSTHROUGH_TAGS)}"
        )
    return frozenset(names)


def read_tags(data: bytes, keywords: Collection[str]) -> dict[str, str]:
    """Values of these attributes as text, in the order of the list.

    Attributes that are absent, blank, of several values or out of form are left out, as are all
    where the bytes are no DICOM file that can be read.

    Args:
        data: The whole file.
        keywords: From `parse_passthrough`.
    """
    if sniff(data[:SNIFF_BYTES]) != "dicom":
        return {}
    from lambdas.shared.dicom import parse_dicom  # functions that only read settings go without

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        try:
            dataset = parse_dicom(data)
        except InputError:
            return {}
        wanted = [keyword for keyword in PASSTHROUGH_TAGS if keyword in keywords]
        values = {keyword: _text(dataset, keyword) for keyword in wanted}
    return {keyword: value for keyword, value in values.items() if value}


def _text(dataset: "Dataset", keyword: str) -> str | None:
    """A single value as it is written, without padding."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a malformed value says nothing
        return None
    text = value.strip(" \0") if isinstance(value, str) else ""
    return text if text.isprintable() and len(text) <= MAX_VALUE_CHARACTERS else None
