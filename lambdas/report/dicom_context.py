"""What DICOM outputs take from their source: its identity, its patient and study, how it is shown.

Exactly the attributes that the Patient and General Study modules require (PS3.3 C.7.1.1, C.7.2.1;
types 1 and 2) are copied, and no other: no optional one, no private one, no free text of a study,
a series or a device. A value that breaks its value representation, or cannot be decoded for sure,
is left empty, as type 2 allows. Without the UIDs there is no study to belong to, so no output.
"""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Final

from pydicom import config
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset, FileDataset
from pydicom.valuerep import PersonName

from lambdas.report.dicom_display import Display, display_of
from lambdas.shared.dicom import parse_dicom, text
from lambdas.shared.errors import MissingTagError

MAX_UID_CHARACTERS: Final = 64
MAX_NAME_CHARACTERS: Final = 64
"""Of each component group of a person's name; PS3.5 6.2."""

_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", re.ASCII)
_DATE: Final = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)
"""With dots: ACR-NEMA's form, which PS3.5 6.2 asks readers to understand."""
_TIME: Final = re.compile(
    r"(\d\d):?(?:(\d\d):?(?:(\d\d)(?:\.(\d{1,6}))?)?)?",
    re.ASCII,
)

_ASCII_SETS: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
"""Terms of the default repertoire; PS3.3 C.12.1.1.2."""


@dataclass(frozen=True, slots=True)
class StudyContext:
    """One DICOM image as its derived objects refer to it.

    Attributes:
        sop_class_uid: Of the image.
        sop_instance_uid: Of the image.
        series_instance_uid: Of the image.
        study_instance_uid: Of the image and of everything derived from it.
        attributes: Required attributes of Patient and General Study by keyword, in the order of
            their tags; empty where the source has none, or none that may be repeated.
        burned_in: Whether the pixels may show who the patient is.
        display: How the image is shown.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    attributes: Mapping[str, str]
    burned_in: bool
    display: Display


def read_context(data: bytes) -> StudyContext:
    """Read what DICOM outputs need of their source.

    Args:
        data: A DICOM file that has been read as a radiograph before, within the limits of
            `isolated_reader`: what took the parser too long there does not come here.

    Raises:
        MissingTagError: The file lacks a UID without which it belongs to no study.
        InputError: The file cannot be parsed.
    """
    with _silence():
        dataset = parse_dicom(data)
        meta = getattr(dataset, "file_meta", Dataset())
        return StudyContext(
            sop_class_uid=_uid("SOPClassUID", dataset, meta.get("MediaStorageSOPClassUID")),
            sop_instance_uid=_uid(
                "SOPInstanceUID", dataset, meta.get("MediaStorageSOPInstanceUID")
            ),
            series_instance_uid=_uid("SeriesInstanceUID", dataset),
            study_instance_uid=_uid("StudyInstanceUID", dataset),
            attributes={name: rule(dataset, name) for name, rule in _ATTRIBUTES.items()},
            burned_in=text(dataset, "BurnedInAnnotation") != "NO",
            display=display_of(dataset),
        )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep pydicom from warning of values out of form: it quotes them, also into the log."""
    log = logging.getLogger("pydicom")
    was_disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = was_disabled


def is_uid(value: str) -> bool:
    """Whether a value is a UID; PS3.5 9.1."""
    return len(value) <= MAX_UID_CHARACTERS and bool(_UID.fullmatch(value))


def _uid(keyword: str, dataset: FileDataset, otherwise: Any = None) -> str:
    """A UID of the image; `otherwise` from the meta information, which must be equal (PS3.10)."""
    for value in (_value(dataset, keyword), otherwise):
        if isinstance(value, str) and is_uid(uid := value.strip(" \0")):
            return uid
    raise MissingTagError(
        f"the source has no valid {keyword}, so a DICOM output would belong to no study; "
        "send the image again from the archive",
        code="missing_attribute",
    )


def _value(dataset: FileDataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # a malformed value says nothing
        return None


def _plain(dataset: FileDataset, keyword: str) -> str:
    """A single text without control characters; empty where it is none or cannot be decoded."""
    value = _value(dataset, keyword)
    if not isinstance(value, str | PersonName):
        return ""
    try:
        plain = str(value).strip(" \0")
    except Exception:  # names are decoded only here
        return ""
    if not plain.isascii() and not _character_set_is_known(dataset):
        return ""
    # U+FFFD stands where bytes were no text; a backslash parts values
    readable = all(character.isprintable() and character not in "\\\ufffd" for character in plain)
    return plain if readable else ""


def _character_set_is_known(dataset: FileDataset) -> bool:
    """Whether Specific Character Set (0008,0005) says how what is not ASCII is encoded."""
    value = _value(dataset, "SpecificCharacterSet")
    terms = {value} if isinstance(value, str) else set(value or ())
    return bool(terms - _ASCII_SETS) and all(term in python_encoding for term in terms)


def _short(dataset: FileDataset, keyword: str) -> str:
    value = _plain(dataset, keyword)
    return value if len(value) <= 16 else ""


def _long(dataset: FileDataset, keyword: str) -> str:
    value = _plain(dataset, keyword)
    return value if len(value) <= 64 else ""


def _person(dataset: FileDataset, keyword: str) -> str:
    """Up to three groups (alphabetic, ideographic, phonetic) of up to five components."""
    value = _plain(dataset, keyword)
    groups = value.split("=")
    fits = len(groups) <= 3 and all(
        len(group) <= MAX_NAME_CHARACTERS and group.count("^") <= 4 for group in groups
    )
    return value if fits else ""


def _date(dataset: FileDataset, keyword: str) -> str:
    match = _DATE.fullmatch(_plain(dataset, keyword))
    if not match:
        return ""
    try:
        date(*map(int, match.groups()))
    except ValueError:
        return ""
    return "".join(match.groups())


def _time(dataset: FileDataset, keyword: str) -> str:
    match = _TIME.fullmatch(_plain(dataset, keyword))
    if not match:
        return ""
    hour, minute, second, fraction = match.groups()
    try:
        time(int(hour), int(minute or 0), min(int(second or 0), 59))  # 60: a leap second
    except ValueError:
        return ""
    whole = hour + (minute or "") + (second or "")
    return f"{whole}.{fraction}" if fraction else whole


def _sex(dataset: FileDataset, keyword: str) -> str:
    value = _plain(dataset, keyword).upper()
    return value if value in ("M", "F", "O") else ""


_ATTRIBUTES: Final = {
    "StudyDate": _date,
    "StudyTime": _time,
    "AccessionNumber": _short,
    "ReferringPhysicianName": _person,
    "PatientName": _person,
    "PatientID": _long,
    "PatientBirthDate": _date,
    "PatientSex": _sex,
    "StudyID": _short,
}
"""Type 2 attributes of the two modules in the order of their tags; type 1 is the study's UID."""
