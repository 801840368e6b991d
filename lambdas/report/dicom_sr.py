"""The findings as a DICOM Structured Report: TID 1500 Measurement Report in Comprehensive 3D SR.

One measurement group for the triage of the whole image (TID 1501), one for each finding with its
box (TID 1410; `dicom_region` has the frame). The document is complete, preliminary and unverified:
nobody has read it.
"""

from datetime import datetime
from typing import Final

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from lambdas.report import words
from lambdas.report.dicom_codes import (
    LOCAL_SCHEME,
    PROBABILITY,
    SCORE,
    XR,
    concept,
    scheme_identification,
)
from lambdas.report.dicom_context import StudyContext
from lambdas.report.dicom_instance import (
    MANUFACTURER,
    SERIES_NUMBER,
    add_equipment,
    add_instance,
    add_patient_and_study,
    add_series,
    device_uid,
    result_uid,
    text_value,
    to_bytes,
)
from lambdas.report.dicom_region import (
    box_outline,
    identified_image,
    name_image_class,
    tracking,
)
from lambdas.report.formats import DICOM_SR
from lambdas.shared.records import Record

MODALITY: Final = "SR"

_COMMENT: Final = CodedConcept("121106", "DCM", "Comment")
_CONTAINS: Final = RelationshipTypeValues.CONTAINS


def structured_report(record: Record, context: StudyContext, *, written_at: datetime) -> bytes:
    """Write the report of an analysed image.

    Args:
        record: Of the image.
        context: Of its source.
        written_at: For `dicom_instance.TIMING_ATTRIBUTES`.
    """
    image = identified_image(context)
    measurements: list[
        MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations
    ] = [
        _triage(record, image),
        *(_finding(record, number, image) for number in range(1, len(record["findings"]) + 1)),
    ]
    content = MeasurementReport(
        observation_context=_observer(record),
        procedure_reported=XR,
        imaging_measurements=measurements,
        title=codes.DCM.ImagingMeasurementReport,
    )
    *head, results = content[0].ContentSequence
    content[0].ContentSequence = ContentSequence([*head, *_comments(record), results])
    dataset = Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_instance_uid=result_uid(record, f"{DICOM_SR} series"),
        series_number=SERIES_NUMBER[MODALITY],
        sop_instance_uid=result_uid(record, f"{DICOM_SR} instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    if LOCAL_SCHEME in _schemes(record):
        dataset.CodingSchemeIdentificationSequence = [scheme_identification()]
    name_image_class(dataset, context)
    add_patient_and_study(dataset, context)
    add_series(dataset, record, role=DICOM_SR, modality=MODALITY, what="findings")
    add_equipment(dataset, record)
    add_instance(
        dataset,
        record,
        role=DICOM_SR,
        sop_class_uid=Comprehensive3DSRStorage,
        written_at=written_at,
    )
    return to_bytes(dataset)


def _observer(record: Record) -> ObservationContext:
    """TID 1004: the device is one pair of models."""
    device = DeviceObserverIdentifyingAttributes(
        uid=device_uid(record),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER,
        serial_number=record["model_set"],
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _triage(record: Record, image: Dataset) -> MeasurementsAndQualitativeEvaluations:
    triage = record["triage"]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            identifier=text_value(f"Triage: {words.number_name(triage)}"),
            uid=result_uid(record, "triage"),
        ),
        finding_type=concept(triage["label"], triage.get("code")),
        algorithm_id=_algorithm(
            record["models"][0],
            words.operating_point(triage),
            words.calibration(triage),
        ),
        finding_sites=[FindingSite(anatomic_location=codes.SCT.Chest)],
        measurements=[
            _number(PROBABILITY if triage["calibrated"] else SCORE, triage["probability"])
        ],
        source_images=[
            SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID),
        ],
    )


def _finding(
    record: Record, number: int, image: Dataset
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    finding = record["findings"][number - 1]
    identifier, uid = tracking(record, number)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(identifier=identifier, uid=uid),
        finding_type=concept(finding["label"], finding["code"]),
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=box_outline(finding["box"]),
            source_image=SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
        ),
        geometric_purpose=codes.SCT.BoundedBy,
        algorithm_id=_algorithm(
            record["models"][1], f"Operating threshold of this finding: {finding['threshold']:g}"
        ),
        measurements=[_number(SCORE, finding["score"])],
    )


def _algorithm(model: Record, *parameters: str) -> AlgorithmIdentification:
    """TID 4019: name and version, then what a reader of the number must know."""
    trained = model["trained_on"]
    return AlgorithmIdentification(
        name=text_value(model["name"]),
        version=text_value(model["version"]),
        family=codes.DCM.ArtificialIntelligence,
        parameters=[
            *parameters,
            text_value(f"Architecture: {model['architecture']}"),
            text_value(f"Trained on {trained['kind']}: {trained['description']}"),
            f"SHA-256 of the model: {model['sha256']}",
        ],
    )


def _number(name: CodedConcept, value: float) -> Measurement:
    return Measurement(name=name, value=value, unit=codes.UCUM.NoUnits)


def _comments(record: Record) -> list[TextContentItem]:
    """What every reader must know, and what the absence of a finding means.

    TID 1500 has no place for it but is extensible.
    """
    sentences = (
        words.RESEARCH_ONLY,
        words.SUBTITLE,
        *record["warnings"],
        *words.findings_summary(record),
        words.detectable(record),
    )
    return [
        TextContentItem(name=_COMMENT, value=text_value(text), relationship_type=_CONTAINS)
        for text in sentences
    ]


def _schemes(record: Record) -> set[str]:
    """Designators of the schemes that a report uses for labels."""
    triage = record["triage"]
    labels = [(triage["label"], triage.get("code"))]
    labels += [(finding["label"], finding["code"]) for finding in record["findings"]]
    return {concept(label, code).scheme_designator for label, code in labels}
