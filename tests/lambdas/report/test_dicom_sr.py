"""Structured Report: read again by others."""

import io
from pathlib import Path

import highdicom
import numpy as np
import pytest

from lambdas.batch.analyse import Analysis
from lambdas.report.dicom_context import read_context
from lambdas.report.dicom_sr import structured_report
from lambdas.shared.findings import Code
from tests import validators
from tests.lambdas.report import cases
from tests.lambdas.report.dicom_cases import (
    FILES,
    IMAGE_UID,
    SERIES_UID,
    STUDY_UID,
    WRITTEN_AT,
    corners,
    groups,
    items,
    named,
    parsed,
)


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
