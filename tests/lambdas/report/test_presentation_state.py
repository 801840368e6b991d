"""Presentation State and Encapsulated PDF: what a viewer shows, read again by others."""

from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from lambdas.batch.analyse import Analysis, Models
from lambdas.report.dicom_context import read_context
from lambdas.report.dicom_sr import structured_report
from lambdas.report.presentation_state import presentation_state
from lambdas.shared.boxes import UnitBox
from lambdas.shared.findings import Code, Finding
from lambdas.shared.isolated_reader import IsolatedReader
from tests import validators
from tests.lambdas.report import cases
from tests.lambdas.report.dicom_cases import (
    FILES,
    IMAGE_UID,
    WRITTEN_AT,
    groups,
    named,
    parsed,
    result,
    study_dicom,
)


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
