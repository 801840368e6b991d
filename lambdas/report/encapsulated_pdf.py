"""report.pdf as a DICOM object in the study of its source: Encapsulated PDF (PS3.3 A.45.1)."""

from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from lambdas.report.dicom_context import StudyContext
from lambdas.report.dicom_instance import (
    add_equipment,
    add_instance,
    add_patient_and_study,
    add_series,
    referenced_instance,
    to_bytes,
)
from lambdas.report.formats import DICOM_PDF
from lambdas.report.words import TITLE
from lambdas.shared.records import Record

MODALITY: Final = "DOC"


def encapsulated_pdf(
    record: Record, context: StudyContext, *, pdf: bytes, written_at: datetime
) -> bytes:
    """Wrap the report of an analysed image.

    Args:
        record: Of the image.
        context: Of its source.
        pdf: report.pdf.
        written_at: For `dicom_instance.TIMING_ATTRIBUTES`.
    """
    dataset = Dataset()
    add_patient_and_study(dataset, context)
    add_series(dataset, record, role=DICOM_PDF, modality=MODALITY, what="report")
    add_equipment(dataset, record)
    dataset.ConversionType = "WSD"
    dataset.ContentDate = dataset.ContentTime = None
    dataset.AcquisitionDateTime = None  # type 2; the exposure's own is no required attribute
    dataset.BurnedInAnnotation = "YES" if context.burned_in else "NO"
    dataset.SourceInstanceSequence = [referenced_instance(context)]
    dataset.DocumentTitle = TITLE
    dataset.ConceptNameCodeSequence = []
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.add_new("EncapsulatedDocument", "OB", pdf + b"\0" * (len(pdf) % 2))
    add_instance(
        dataset,
        record,
        role=DICOM_PDF,
        sop_class_uid=EncapsulatedPDFStorage,
        written_at=written_at,
    )
    return to_bytes(dataset)
