"""Structured Report, Presentation State, Encapsulated PDF: read again by others."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pypdfium2
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from lambdas.batch.analyse import Analysis, Models
from lambdas.report.dicom_context import StudyContext, read_context
from lambdas.report.dicom_instance import UID_NAME_SPACE, name_based_uid
from lambdas.report.dicom_sr import structured_report
from lambdas.report.presentation_state import presentation_state
from lambdas.shared.boxes import UnitBox
from lambdas.shared.findings import Code, Finding
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Record
from tests import validators
from tests.builders import film
from tests.lambdas.report import cases
from tests.lambdas.report.dicom_cases import (
    IMAGE_UID,
    SERIES_UID,
    STUDY_UID,
    WRITTEN_AT,
    lasting,
    parsed,
    result,
    study_dicom,
)

FORMATS = ("dicom-sr", "dicom-gsps", "dicom-pdf")
FILES = {"dicom-sr": "dicom/sr.dcm", "dicom-gsps": "dicom/gsps.dcm", "dicom-pdf": "dicom/pdf.dcm"}
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


@pytest.fixture(scope="module")
def source() -> bytes:
    return study_dicom()


@pytest.fixture(scope="module")
def analysis(source: bytes, models: Models, reader: IsolatedReader) -> Analysis:
    made = result(source, models, reader, *FORMATS)
    assert made.record["triage"]["positive"]
    assert len(made.record["findings"]) == 2
    return made


@pytest.fixture(params=FORMATS)
def output(request: pytest.FixtureRequest, analysis: Analysis) -> Dataset:
    return parsed(analysis.files[FILES[request.param]])


def items(dataset: Dataset, value_type: str) -> Iterator[Dataset]:
    """Content items of a type, at any depth."""
    for item in dataset.get("ContentSequence", ()):
        if item.ValueType == value_type:
            yield item
        yield from items(item, value_type)


def named(dataset: Dataset, meaning: str) -> Dataset:
    """The one content item below with this name."""
    (found,) = (
        item
        for item in dataset.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    )
    return found


def analysed_like(context: StudyContext) -> Record:
    """A record with a finding, of an image as large as the source."""
    size = (context.display.rows // 2, context.display.columns // 2)
    return cases.analysed(cases.film(*size), [cases.finding()])


def groups(report: Dataset) -> list[Dataset]:
    return list(named(report, "Imaging Measurements").ContentSequence)


def corners(box: Record) -> list[float]:
    """The closed outline of a box: column, row, column, row, …"""
    x_min, y_min, x_max, y_max = box["x_min"], box["y_min"], box["x_max"], box["y_max"]
    return [x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max, x_min, y_min]


# What the three have in common


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


# Structured Report


def test_report_is_complete_preliminary_and_unverified(analysis: Analysis) -> None:
    report = parsed(analysis.files[FILES["dicom-sr"]])
    flags = (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag)
    assert flags == ("COMPLETE", "PRELIMINARY", "UNVERIFIED")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (image,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (STUDY_UID, SERIES_UID)
    assert image.ReferencedSOPInstanceUID == IMAGE_UID


def test_boxes_are_the_records_to_the_pixel(analysis: Analysis) -> None:
    report = parsed(analysis.files[FILES["dicom-sr"]])
    regions = list(items(report, "SCOORD"))
    assert [region.GraphicType for region in regions] == ["POLYLINE"] * 2
    for region, finding in zip(regions, analysis.record["findings"], strict=True):
        assert list(region.GraphicData) == pytest.approx(corners(finding["box"]), abs=1e-3)
        (reference,) = region.ContentSequence[0].ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == IMAGE_UID


def test_highdicom_reads_findings_codes_and_numbers(analysis: Analysis) -> None:
    report = highdicom.sr.srread(io.BytesIO(analysis.files[FILES["dicom-sr"]]))
    found = report.content.get_planar_roi_measurement_groups()
    assert len(found) == 2
    for group, finding in zip(found, analysis.record["findings"], strict=True):
        assert finding["label"] in group.tracking_identifier
        (number,) = group.get_measurements()
        assert (number.name.meaning, number.value) == ("Score", finding["score"])
        np.testing.assert_allclose(group.roi.value.ravel(), corners(finding["box"]), atol=1e-3)
    uncoded, coded = (group.finding_type for group in found)
    assert (coded.value, coded.scheme_designator) == ("60046008", "SCT")
    assert (uncoded.meaning, uncoded.scheme_designator) == ("Cardiomegaly", "99CXRBATCH")
    (triage,) = report.content.get_image_measurement_groups()
    assert triage.finding_type.meaning == "Abnormal"
    (number,) = triage.get_measurements()
    assert number.value == analysis.record["triage"]["probability"]


def test_private_scheme_is_identified_only_where_it_is_used(source: bytes) -> None:
    code = Code("SCT", "60046008", "Pleural effusion")
    record = cases.analysed(cases.film(), [cases.finding("Effusion", code=code)])
    record["triage"]["code"] = {"system": "SCT", "value": "263654008", "meaning": "Abnormal"}
    context = read_context(source)
    report = parsed(structured_report(record, context, written_at=WRITTEN_AT))
    assert "CodingSchemeIdentificationSequence" not in report
    record["triage"]["code"] = None
    report = parsed(structured_report(record, context, written_at=WRITTEN_AT))
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99CXRBATCH"


@pytest.mark.parametrize(("calibrated", "name"), [(True, "Probability"), (False, "Score")])
def test_number_is_a_probability_only_if_calibrated(
    source: bytes, calibrated: bool, name: str
) -> None:
    record = cases.analysed(cases.film(), calibrated=calibrated)
    context = read_context(source)
    report = parsed(structured_report(record, context, written_at=WRITTEN_AT))
    (triage,) = groups(report)
    assert named(triage, name).MeasuredValueSequence[0].NumericValue == 0.87
    identifier = named(triage, "Tracking Identifier").TextValue
    assert identifier == f"Triage: {name} of Abnormal"


def test_report_names_the_algorithms(analysis: Analysis) -> None:
    report = parsed(analysis.files[FILES["dicom-sr"]])
    for group, model in zip(groups(report)[:2], analysis.record["models"], strict=True):
        assert named(group, "Algorithm Name").TextValue == model["name"]
        assert named(group, "Algorithm Version").TextValue == model["version"]
        texts = [item.TextValue for item in items(group, "TEXT")]
        assert any(model["sha256"] in text for text in texts)


def test_report_says_what_every_display_must(analysis: Analysis) -> None:
    report = parsed(analysis.files[FILES["dicom-sr"]])
    comments = [
        item.TextValue
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"
    ]
    assert comments[0] == "Research use only. Not a medical device. Not a diagnosis."
    assert set(analysis.record["warnings"]) < set(comments)
    assert "not assessed is not absent" in comments[-1]


def test_absence_of_boxes_is_said(source: bytes) -> None:
    record = cases.analysed(cases.film(), [])
    report = parsed(structured_report(record, read_context(source), written_at=WRITTEN_AT))
    assert list(items(report, "SCOORD")) == []
    texts = [item.TextValue for item in items(report, "TEXT")]
    assert "Abnormal: none of the 4 detectable findings localised." in texts


def test_dcmtk_reads_the_report(analysis: Analysis, tmp_path: Path) -> None:
    lines, faults = validators.dsrdump(analysis.files[FILES["dicom-sr"]], tmp_path)
    assert faults == []
    text = "\n".join(lines)
    assert 'Finding")=(60046008,SCT,"Pleural effusion")' in text
    assert "POLYLINE,20/80,140/80,140/240,20/240,20/80" in text


@pytest.mark.slow
def test_template_is_kept(analysis: Analysis, tmp_path: Path) -> None:
    assert validators.dicom_sr_validator(analysis.files[FILES["dicom-sr"]], tmp_path) == []


@pytest.mark.slow
def test_template_is_kept_without_findings(source: bytes, tmp_path: Path) -> None:
    record = cases.analysed(cases.film(), [], probability=0.1, performed=False)
    content = structured_report(record, read_context(source), written_at=WRITTEN_AT)
    assert validators.dicom_sr_validator(content, tmp_path) == []


# Presentation State


def test_presentation_state_draws_the_same_boxes(analysis: Analysis) -> None:
    report = parsed(analysis.files[FILES["dicom-sr"]])
    state = parsed(analysis.files[FILES["dicom-gsps"]])
    drawn = {
        graphic.TrackingUID: list(graphic.GraphicData)
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", ())
    }
    said = {
        named(group, "Tracking Unique Identifier").UID: list(
            named(group, "Image Region").GraphicData
        )
        for group in groups(report)[1:]
    }
    assert drawn == said
    assert len(drawn) == 2


def test_every_box_has_its_label_and_every_display_its_warning(analysis: Analysis) -> None:
    state = parsed(analysis.files[FILES["dicom-gsps"]])
    texts = [
        text.UnformattedTextValue
        for annotation in state.GraphicAnnotationSequence
        for text in annotation.get("TextObjectSequence", ())
    ]
    assert texts[:2] == ["1 Cardiomegaly 0.90", "2 Pleural effusion 0.40"]
    assert any(text.startswith("AI triage: Abnormal (Score of Abnormal ") for text in texts)
    assert any(text.startswith("Research use only. Not a medical device.") for text in texts)


@pytest.mark.parametrize(
    ("photometric", "shape"), [("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")]
)
def test_image_keeps_its_look(
    models: Models, reader: IsolatedReader, photometric: str, shape: str
) -> None:
    data = study_dicom(
        PhotometricInterpretation=photometric,
        RescaleSlope="2",
        RescaleIntercept="-100",
        RescaleType="US",
        WindowCenter="4000",
        WindowWidth="6000",
        PixelSpacing=["0.2", "0.1"],
    )
    state = parsed(result(data, models, reader, "dicom-gsps").files[FILES["dicom-gsps"]])
    assert state.PresentationLUTShape == shape
    assert (state.RescaleSlope, state.RescaleIntercept) == (2, -100)
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (4000, 6000)
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaBottomRightHandCorner) == [280, 320]
    assert list(area.PresentationPixelAspectRatio) == [2, 1]


def test_labels_stay_on_the_image_however_many(source: bytes) -> None:
    display = read_context(source).display
    label = "Very long label " * 20
    findings = [
        Finding(label, None, 0.9, 0.3, UnitBox(i / 40, i / 50, i / 40 + 0.2, i / 50 + 0.3))
        for i in range(30)
    ]
    record = cases.analysed(
        np.zeros((display.rows // 2, display.columns // 2), np.float32), findings
    )
    state = parsed(presentation_state(record, read_context(source), written_at=WRITTEN_AT))
    assert len(state.GraphicLayerSequence) == 8  # seven colours and the notes
    labels = [
        text
        for annotation in state.GraphicAnnotationSequence
        for text in annotation.TextObjectSequence
        if text.BoundingBoxAnnotationUnits == "PIXEL"
    ]
    assert len(labels) == 30
    for text in labels:
        (left, top), (right, bottom) = (
            text.BoundingBoxTopLeftHandCorner,
            text.BoundingBoxBottomRightHandCorner,
        )
        assert 0 <= left < right <= display.columns + 1e-3
        assert 0 <= top < bottom <= display.rows + 1e-3


@pytest.mark.parametrize(
    "label", ["", "\x00\n", "back\\slash ^ =", "\ud800", "Ανάλυση 胸部", "x" * 500]
)
def test_any_label_can_be_written(source: bytes, label: str, tmp_path: Path) -> None:
    context = read_context(source)
    size = (context.display.rows // 2, context.display.columns // 2)
    code = Code("SCT", "value too long for it", "meaning")
    record = cases.analysed(
        cases.film(*size), [cases.finding(label), cases.finding(label, code=code)]
    )
    for model in record["models"]:
        model |= {"name": label, "version": label, "architecture": label}
    for write in (structured_report, presentation_state):
        content = write(record, context, written_at=WRITTEN_AT)
        assert parsed(content).PatientID == "MRN-0042"
        assert validators.dciodvfy(content, tmp_path) == []


# Encapsulated PDF


def test_document_is_the_report(analysis: Analysis) -> None:
    document = parsed(analysis.files[FILES["dicom-pdf"]])
    pdf = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert pdf == analysis.files["report.pdf"]
    assert pypdfium2.PdfDocument(pdf).get_page_size(0)[0] > 500
    assert document.BurnedInAnnotation == "NO"
    assert document.SourceInstanceSequence[0].ReferencedSOPInstanceUID == IMAGE_UID
    assert document.VerificationFlag == "UNVERIFIED"


def test_names_that_pixels_may_show_are_declared(models: Models, reader: IsolatedReader) -> None:
    made = result(study_dicom(BurnedInAnnotation=None), models, reader, "dicom-pdf")
    assert parsed(made.files[FILES["dicom-pdf"]]).BurnedInAnnotation == "YES"
