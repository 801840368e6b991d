"""What is taken from a source: what the modules require, repaired where the standard allows."""

from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from lambdas.report.dicom_context import is_uid, read_context
from lambdas.shared.errors import MissingTagError
from tests.builders import chest_dataset, saved
from tests.lambdas.report.dicom_cases import IMAGE_UID, STUDY, STUDY_UID, study_dicom

REQUIRED = {
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
}
"""Type 2 of the Patient and General Study modules, PS3.3 C.7.1.1 and C.7.2.1."""


def hostile(**attributes: Any) -> bytes:
    """A source whose values nobody has checked; bytes are written as they are."""
    with pydicom.config.disable_value_validation():
        return study_dicom(**attributes)


def with_raw_name(raw: bytes, charset: str | None) -> bytes:
    """A source whose Patient Name has these bytes."""
    replacements = {b"X" * (len(raw) + len(raw) % 2): raw, b"ISO_IR 101": (charset or "").encode()}
    name, any_charset = (placeholder.decode() for placeholder in replacements)
    data = study_dicom(PatientName=name, SpecificCharacterSet=any_charset)
    for placeholder, value in replacements.items():
        assert data.count(placeholder) == 1
        data = data.replace(placeholder, value.ljust(len(placeholder)))
    return data


def test_required_attributes_are_copied() -> None:
    context = read_context(study_dicom())
    assert set(context.attributes) == REQUIRED
    expected = {name: STUDY[name] for name in REQUIRED if name in STUDY}
    assert context.attributes == expected | {"PatientName": "SMITH^JOHN", "PatientID": "MRN-0042"}
    assert (context.study_instance_uid, context.sop_instance_uid) == (STUDY_UID, IMAGE_UID)
    assert not context.burned_in


@pytest.mark.parametrize("value", ["YES", "", None, "maybe"])
def test_burned_in_names_are_expected_unless_denied(value: str | None) -> None:
    assert read_context(hostile(BurnedInAnnotation=value)).burned_in


@pytest.mark.parametrize(
    ("keyword", "value", "taken"),
    [
        ("StudyDate", "2025.06.07", "20250607"),  # ACR-NEMA
        ("StudyDate", "20250631", ""),  # no such day
        ("StudyDate", "07/06/2025", ""),
        ("StudyDate", "2025", ""),
        ("PatientBirthDate", "00000000", ""),
        ("StudyTime", "10:11:12", "101112"),  # ACR-NEMA
        ("StudyTime", "1011", "1011"),
        ("StudyTime", "101160", "101160"),  # a leap second
        ("StudyTime", "251112", ""),
        ("StudyTime", "about noon", ""),
        ("PatientSex", "m", "M"),
        ("PatientSex", "MALE", ""),
        ("PatientID", "A" * 65, ""),
        ("PatientID", "one\\two", ""),  # two values
        ("PatientID", "line\nfeed", ""),
        ("PatientID", " padded ", "padded"),
        ("AccessionNumber", "A" * 17, ""),
        ("StudyID", "", ""),
        ("PatientName", "Nobody", "Nobody"),
        ("PatientName", "a^b^c^d^e^f", ""),  # six components
        ("PatientName", "a=b=c=d", ""),  # four groups
        ("PatientName", "A" * 65, ""),
        ("PatientName", None, ""),
    ],
)
def test_value_that_breaks_its_representation_is_left_empty(
    keyword: str, value: str | None, taken: str
) -> None:
    assert read_context(hostile(**{keyword: value})).attributes[keyword] == taken


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("ISO_IR 192", "utf-8", "Müller^Jürgen"),
        ("ISO_IR 100", "latin-1", "Müller^Jürgen"),
        ("ISO_IR 144", "iso8859-5", "Жюли^Юлия"),
        ("GB18030", "gb18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_declared_character_sets_are_understood(charset: str, codec: str, name: str) -> None:
    data = with_raw_name(name.encode(codec), charset)
    assert read_context(data).attributes["PatientName"] == name


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        (None, "Müller".encode("latin-1")),  # not declared: which set it is would be a guess
        ("ISO_IR 999", "Müller".encode("latin-1")),
        ("ISO_IR 192", "Müller".encode("latin-1")),  # declared, but something else
        ("ISO_IR 6", b"\xff\xfe\x00"),
    ],
)
def test_name_that_cannot_be_decoded_for_sure_is_left_empty(
    charset: str | None, raw: bytes
) -> None:
    assert read_context(with_raw_name(raw, charset)).attributes["PatientName"] == ""


def test_ascii_needs_no_character_set() -> None:
    data = study_dicom(PatientName="SMITH^JOHN", SpecificCharacterSet=None)
    assert read_context(data).attributes["PatientName"] == "SMITH^JOHN"


def test_identity_in_the_meta_information_serves_where_the_data_set_has_none() -> None:
    data = study_dicom()
    without = data.replace(b"\x08\x00\x18\x00UI\x08\x00" + IMAGE_UID.encode() + b"\0", b"", 1)
    assert len(without) < len(data)
    assert read_context(without).sop_instance_uid == IMAGE_UID


def test_file_of_no_study_says_what_to_do() -> None:
    dataset = chest_dataset()
    with pytest.raises(MissingTagError, match=r"SeriesInstanceUID.*send the image again"):
        read_context(saved(dataset, syntax=ImplicitVRLittleEndian, preamble=False))


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("1.2.840.10008.5.1.4.1.1.1.1", True),
        ("2.25.0", True),
        ("1", False),
        ("1.02", False),
        ("1..2", False),
        ("1.2.", False),
        ("1.2.\N{ARABIC-INDIC DIGIT THREE}", False),
        ("1." + "2" * 63, False),
    ],
)
def test_uid(value: str, valid: bool) -> None:
    assert is_uid(value) is valid


@settings(max_examples=60, deadline=None)
@given(
    texts=st.dictionaries(
        st.sampled_from(
            ["AccessionNumber", "PatientID", "PatientName", "ReferringPhysicianName", "StudyID"]
        ),
        st.text(max_size=80) | st.lists(st.text(max_size=9), max_size=3),
        max_size=3,
    ),
    codes=st.dictionaries(
        st.sampled_from(["PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"]),
        st.text(st.characters(max_codepoint=127), max_size=20)
        | st.text("0123456789:.", max_size=9),
        max_size=3,
    ),
)
def test_no_value_stops_the_reading(texts: dict[str, Any], codes: dict[str, Any]) -> None:
    dataset = chest_dataset(**STUDY)
    with pydicom.config.disable_value_validation():
        for keyword, value in (texts | codes).items():
            dataset.pop(keyword, None)  # an element keeps the mode that it was made in
            setattr(dataset, keyword, value)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        data = saved(dataset)
    attributes = read_context(data).attributes
    written = Dataset()
    for keyword, value in attributes.items():
        setattr(written, keyword, value)  # pydicom checks each against its representation
    assert set(attributes) == REQUIRED


def test_what_is_wrong_with_a_value_is_not_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    planted = "SMITH JOHN 19500101"
    read_context(hostile(StudyDate=planted, PatientSex=planted, StudyTime=planted))
    assert planted not in caplog.text
    assert capfd.readouterr() == ("", "")
