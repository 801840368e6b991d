"""A phantom as a DICOM file: digital X-ray, 12 bit, obviously fictional patient tags.

Source: DICOM PS3.3 A.26 (Digital X-Ray Image IOD), C.8.11.3 (DX image), C.7.6.3 (pixels).
"""

from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from training.phantoms.draw import Phantom

BITS_STORED = 12
UID_ROOT = "2.25."
"""UIDs derived from a UUID-sized number (PS3.5 B.2): no registered root is needed."""


def dicom_dataset(
    phantom: Phantom,
    *,
    patient_id: str,
    study_date: date,
    inverted: bool | None = None,
) -> Dataset:
    """Build the data set.

    Args:
        phantom: The study.
        patient_id: Text; goes into PatientID.
        study_date: Date of study, series and content.
        inverted: True stores MONOCHROME1 (air bright), False MONOCHROME2; None takes every third
            study inverted.

    Returns:
        A data set with file meta information, pixels uncompressed.
    """
    plan = phantom.plan
    mirrored = plan.index % 3 == 2 if inverted is None else inverted
    values = (phantom.pixels >> (16 - BITS_STORED)).astype(np.uint16)
    top = (1 << BITS_STORED) - 1
    if mirrored:
        values = (top - values).astype(np.uint16)
    key = f"{patient_id}/{plan.seed}/{plan.index}"
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["DERIVED", "PRIMARY"]
    data.SOPClassUID = DigitalXRayImageStorageForPresentation
    data.SOPInstanceUID = _uid(f"{key}/image")
    data.StudyInstanceUID = _uid(f"{key}/study")
    data.SeriesInstanceUID = _uid(f"{key}/series")
    stamp = study_date.strftime("%Y%m%d")
    data.StudyDate = data.SeriesDate = data.ContentDate = data.AcquisitionDate = stamp
    data.StudyTime = data.ContentTime = data.AcquisitionTime = "120000"
    data.AccessionNumber = f"PHANTOM{plan.index:07d}"
    data.Modality = "DX"
    data.PresentationIntentType = "FOR PRESENTATION"
    data.Manufacturer = "Phantom generator"
    data.InstitutionName = "No Such Hospital"
    data.StudyDescription = "SYNTHETIC CHEST PHANTOM"
    data.SeriesDescription = f"CHEST {plan.view.replace('_', ' ').upper()}"
    data.PatientName = f"Phantom^{'Adam' if phantom.sex == 'M' else 'Eva'}^{plan.index:07d}"
    data.PatientID = patient_id
    data.PatientBirthDate = f"{plan.patient.birth_year}0101"
    data.PatientSex = phantom.sex
    data.PatientAge = f"{phantom.age:03d}Y"
    data.BodyPartExamined = "CHEST"
    data.ViewPosition = "PA" if plan.view == "PA" else "AP"
    data.PatientOrientation = ["L", "F"]
    data.ImageLaterality = "U"
    data.StudyID = f"{plan.index}"
    data.SeriesNumber = 1
    data.InstanceNumber = 1
    data.ImagerPixelSpacing = [f"{phantom.pixel_mm:.6f}"] * 2
    data.PixelSpacing = [f"{phantom.pixel_mm:.6f}"] * 2
    data.PixelSpacingCalibrationType = "GEOMETRY"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME1" if mirrored else "MONOCHROME2"
    data.PresentationLUTShape = "INVERSE" if mirrored else "IDENTITY"
    data.Rows, data.Columns = values.shape
    data.BitsAllocated = 16
    data.BitsStored = BITS_STORED
    data.HighBit = BITS_STORED - 1
    data.PixelRepresentation = 0
    data.PixelIntensityRelationship = "LOG"
    data.PixelIntensityRelationshipSign = 1 if mirrored else -1
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0", "1", "US"
    data.WindowCenter, data.WindowWidth = str((top + 1) // 2), str(top + 1)
    data.BurnedInAnnotation = "NO"
    data.LossyImageCompression = "00"
    data.KVP = "120"
    data.ViewCodeSequence = Sequence([_view_code(plan.view)])
    data.PixelData = values.astype("<u2").tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    return data


def write_dicom(path: Path, phantom: Phantom, *, patient_id: str, study_date: date) -> None:
    """Write a phantom as a DICOM file; see `dicom_dataset`."""
    data = dicom_dataset(phantom, patient_id=patient_id, study_date=study_date)
    data.save_as(path, enforce_file_format=True)


def _view_code(view: str) -> Dataset:
    """Projection, PS3.16 CID 4010."""
    code = Dataset()
    front = view == "PA"
    code.CodeValue = "399348003" if front else "399184005"
    code.CodingSchemeDesignator = "SCT"
    code.CodeMeaning = "postero-anterior" if front else "antero-posterior"
    return code


def _uid(text: str) -> str:
    """A UID that depends on the text alone."""
    return UID_ROOT + str(int.from_bytes(sha256(text.encode()).digest()[:15], "big"))
