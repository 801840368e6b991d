"""What the three DICOM outputs have in common: study, UIDs, what is copied, validity."""

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from lambdas.batch.analyse import Analysis, Models
from lambdas.report.dicom_context import read_context
from lambdas.report.dicom_instance import UID_NAME_SPACE, name_based_uid
from lambdas.report.dicom_sr import structured_report
from lambdas.report.presentation_state import presentation_state
from lambdas.shared.isolated_reader import IsolatedReader
from tests import validators
from tests.builders import film
from tests.lambdas.report.dicom_cases import (
    FILES,
    FORMATS,
    IMAGE_UID,
    SERIES_UID,
    STUDY_UID,
    WRITTEN_AT,
    analysed_like,
    lasting,
    parsed,
    result,
    study_dicom,
)

COPIED = {
    "PatientName": "SMITH^JOHN",
    "PatientID": "MRN-0042",
    "PatientBirthDate": "19500304",
    "PatientSex": "F",
    "StudyInstanceUID": STUDY_UID,
    "StudyDate": "20250607",
    "StudyTime": "101112.5",
    "AccessionNumber": "ACC-77",
    "StudyID": "S-5",
    "ReferringPhysicianName": "Doctor^Who",
}


@pytest.fixture(params=FORMATS)
def output(request: pytest.FixtureRequest, analysis: Analysis) -> Dataset:
    return parsed(analysis.files[FILES[request.param]])


def test_output_belongs_to_the_study_and_patient_of_its_source(output: Dataset) -> None:
    assert {keyword: str(output[keyword].value) for keyword in COPIED} == COPIED
    assert output.SeriesInstanceUID != SERIES_UID
    assert output.SOPInstanceUID == output.file_meta.MediaStorageSOPInstanceUID != IMAGE_UID


def test_nothing_else_is_copied(models: Models, reader: IsolatedReader) -> None:
    planted = "PLANTED^SECRET"
    block = Dataset()
    block.add_new(0x00091001, "LO", planted)
    data = study_dicom(
        PatientComments=planted,
        OtherPatientIDs=planted,
        PatientAge="070Y",
        PatientAddress=planted,
        EthnicGroup="PLANTED",
        InstitutionName=planted,
        StationName="PLANTED",
        OperatorsName=planted,
        StudyDescription=planted,
        SeriesDescription=planted,
        ImageComments=planted,
        AdmissionID=planted,
        IssuerOfPatientID=planted,
        RescaleSlope="1",
        RescaleIntercept="0",
        RescaleType=planted,
        WindowCenter="2000",
        WindowWidth="4000",
        WindowCenterWidthExplanation=planted,
        ReferencedStudySequence=[block],
    )
    dataset = pydicom.dcmread(io.BytesIO(data))
    private = dataset.private_block(0x0011, "PLANTED MAKER", create=True)
    private.add_new(0x01, "LO", planted)
    stream = io.BytesIO()
    dataset.save_as(stream)
    made = result(stream.getvalue(), models, reader, *FORMATS)
    assert set(FILES.values()) < set(made.files)
    for name in FILES.values():
        assert b"PLANTED" not in made.files[name]
        assert "PatientAge" not in parsed(made.files[name])
        assert not any(element.tag.is_private for element in parsed(made.files[name]).iterall())


def test_uids_are_those_of_a_result(models: Models, reader: IsolatedReader, source: bytes) -> None:
    def uids(*formats: str, **options: Any) -> list[UID]:
        made = result(source, models, reader, *formats, **options)
        return [parsed(made.files[FILES[name]]).SOPInstanceUID for name in formats]

    again = uids(*FORMATS)
    assert again == uids(*FORMATS)
    assert len(set(again)) == 3
    assert uids("dicom-sr") == again[:1]  # whatever else is asked for
    assert all(uid.startswith("2.25.") and uid.is_valid for uid in again)


def test_another_result_of_the_same_image_has_other_uids(
    models: Models, reader: IsolatedReader
) -> None:
    dark = study_dicom(film())
    plain, full = (result(dark, models, reader, "dicom-sr", detect_all=x) for x in (False, True))
    assert (len(plain.record["findings"]), len(full.record["findings"])) == (0, 2)
    uids = {parsed(each.files[FILES["dicom-sr"]]).SOPInstanceUID for each in (plain, full)}
    assert len(uids) == 2


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
        "1.2.840.10008.5.1.4.1.1.7.3",  # several frames possible, one there: digitised films
        "1.2.840.10008.5.1.1.29",  # retired
        "1.3.46.670589.2.5.1.1",  # private
    ],
)
def test_source_of_any_class(models: Models, reader: IsolatedReader, sop_class: str) -> None:
    made = result(study_dicom(SOPClassUID=sop_class), models, reader, *FORMATS)
    for name in FILES.values():
        referred = {
            element.value
            for element in parsed(made.files[name]).iterall()
            if element.keyword == "ReferencedSOPClassUID"
        }
        assert referred == {sop_class}


def test_uid_root_is_what_the_page_says() -> None:
    assert str(UID_NAME_SPACE) == "6f0b3c1e-3c7f-4f0a-9a55-6d1c6f1d7b52"
    assert name_based_uid("a", "b") == "2.25.211752108854653096904791376110752685985"


def test_bytes_depend_on_record_source_and_time_alone(source: bytes) -> None:
    context = read_context(source)
    record = analysed_like(context)
    for write in (structured_report, presentation_state):
        first, second = (write(record, context, written_at=WRITTEN_AT) for _ in range(2))
        assert first == second
        assert b"20260102" in first


def test_two_runs_differ_in_documented_times_alone(
    analysis: Analysis, models: Models, reader: IsolatedReader, source: bytes
) -> None:
    again = result(source, models, reader, *FORMATS)
    assert lasting(again.files) == lasting(analysis.files)


def test_object_definitions_are_kept(output: Dataset, analysis: Analysis, tmp_path: Path) -> None:
    (name,) = (file for file in FILES.values() if parsed(analysis.files[file]) == output)
    assert validators.dciodvfy(analysis.files[name], tmp_path) == []


def test_validator_would_find_a_fault(analysis: Analysis, tmp_path: Path) -> None:
    report = parsed(analysis.files[FILES["dicom-sr"]])
    del report.CompletionFlag
    stream = io.BytesIO()
    report.save_as(stream)
    assert validators.dciodvfy(stream.getvalue(), tmp_path) != []


def test_odd_values_are_written_as_the_standard_has_them(
    models: Models, reader: IsolatedReader, tmp_path: Path
) -> None:
    with pydicom.config.disable_value_validation():
        data = study_dicom(
            PatientName="Müller^Jürgen",
            SpecificCharacterSet="ISO_IR 100",
            PatientBirthDate="unknown",
            PatientSex="female",
            StudyDate="2025.06.07",
            StudyTime=None,
            AccessionNumber="A" * 40,
            StudyID=None,
            ReferringPhysicianName=None,
        )
    made = result(data, models, reader, *FORMATS)
    for name in FILES.values():
        output = parsed(made.files[name])
        assert output.PatientName == "Müller^Jürgen"
        assert output.SpecificCharacterSet == "ISO_IR 192"
        assert output.StudyDate == "20250607"
        for keyword in ("PatientBirthDate", "PatientSex", "StudyTime", "AccessionNumber"):
            assert keyword in output
            assert not output[keyword].value
        assert validators.dciodvfy(made.files[name], tmp_path) == []
