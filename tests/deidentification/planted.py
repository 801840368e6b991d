"""Images with an identifier in every place that has ever held one, each told from the others."""

import io
from typing import Any, Final

import numpy as np
from PIL import Image, PngImagePlugin
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.builders import chest_dataset, film, png, saved, to_8_bit

NAME: Final = "PLANTEDNAME"
PATIENT_ID: Final = "PLANTEDMRN4711"
BIRTH_DATE: Final = "19310203"
ACCESSION: Final = "PLANTEDACC99"
STUDY_UID: Final = "2.25.47110001"
REFERRER: Final = "PLANTEDREFERRER"
STUDY_ID: Final = "PLANTEDSTUDYID"
STUDY_DATE: Final = "20250607"

OF_PATIENT_AND_STUDY: Final = frozenset(
    {NAME, PATIENT_ID, BIRTH_DATE, ACCESSION, STUDY_UID, REFERRER, STUDY_ID, STUDY_DATE}
)
"""What the Patient and General Study modules must hold, so what DICOM outputs may."""

SERIES_UID: Final = "2.25.47110002"
IMAGE_UID: Final = "2.25.47110003"
REFERENCED: Final = frozenset({SERIES_UID, IMAGE_UID})
"""How DICOM outputs name the image that they are about."""

INSTITUTION: Final = "PLANTEDHOSPITAL"
KEY: Final = "PLANTEDKEY"
NOWHERE: Final = frozenset(
    {
        INSTITUTION,
        "PLANTEDPRIVATE",
        "PLANTEDNESTED",
        "PLANTEDOVERLAY",
        "PLANTEDADDRESS",
        "PLANTEDCOMMENT",
        "PLANTEDSERIAL",
        "PLANTEDSTUDYTEXT",
        "PLANTEDSERIES",
        "PLANTEDOPERATOR",
        "PLANTEDOTHERID",
        "PLANTEDBADDATE",
        "PLANTEDPREAMBLE",
        "PLANTEDTRAILER",
        "PLANTEDEXIF",
        "PLANTEDTEXT",
    }
)
"""What no output of any kind may hold."""

TAGS: Final = OF_PATIENT_AND_STUDY | REFERENCED | NOWHERE
ALL: Final = TAGS | {KEY}

DARK: Final = film()
BRIGHT: Final = np.where(DARK > 1500, 3000 + DARK // 8, DARK).astype(np.uint16)
"""Abnormal to the tiny models, which then give their two findings."""


def planted_images() -> dict[str, bytes]:
    """Files by name: analysed with and without findings, rejected in several ways."""
    return {
        "abnormal.dcm": planted_dicom(BRIGHT),
        "normal.dcm": planted_dicom(DARK),
        "lateral.dcm": planted_dicom(
            DARK,
            ViewPosition="",
            PatientOrientation=None,
            SeriesDescription="PLANTEDSERIES LATERAL",
        ),
        "other_part.dcm": planted_dicom(DARK, BodyPartExamined="FOOT"),
        "invalid_values.dcm": planted_dicom(
            BRIGHT, PatientBirthDate="PLANTEDBADDATE", StudyTime="PLANTEDBADDATE"
        ),
        "truncated.dcm": planted_dicom(BRIGHT)[:-20_000],
        "picture.png": _png(),
        "picture.jpg": _jpeg(),
        "picture.tif": _tiff(),
        "broken.png": _png()[:-4000],
    }


def planted_dicom(pixels: Any = BRIGHT, *, overlay: bool = True, **attributes: Any) -> bytes:
    """A film of a patient who is everywhere in its header."""
    with config.disable_value_validation():
        dataset = chest_dataset(pixels)
        values = {
            "PatientName": f"{NAME}^ZEBEDIAH",
            "PatientID": PATIENT_ID,
            "PatientBirthDate": BIRTH_DATE,
            "PatientSex": "F",
            "PatientAddress": "PLANTEDADDRESS",
            "PatientComments": "PLANTEDCOMMENT",
            "OtherPatientIDs": "PLANTEDOTHERID",
            "AccessionNumber": ACCESSION,
            "InstitutionName": INSTITUTION,
            "InstitutionAddress": INSTITUTION,
            "ReferringPhysicianName": f"{REFERRER}^A",
            "OperatorsName": "PLANTEDOPERATOR^B",
            "DeviceSerialNumber": "PLANTEDSERIAL",
            "StudyDescription": "PLANTEDSTUDYTEXT",
            "SeriesDescription": "PLANTEDSERIES",
            "ImageComments": "PLANTEDCOMMENT",
            "StudyInstanceUID": STUDY_UID,
            "SeriesInstanceUID": SERIES_UID,
            "SOPInstanceUID": IMAGE_UID,
            "StudyDate": STUDY_DATE,
            "StudyTime": "101112",
            "StudyID": STUDY_ID,
            "BurnedInAnnotation": "NO",
        }
        for name, value in (values | attributes).items():
            if value is None:
                del dataset[name]
            else:
                setattr(dataset, name, value)
        _plant_elsewhere(dataset, overlay=overlay)
        content = bytearray(saved(dataset))
    content[:16] = b"PLANTEDPREAMBLE\0"
    return bytes(content)


def _plant_elsewhere(dataset: Dataset, *, overlay: bool) -> None:
    """Private elements, a sequence, an overlay plane, padding after the pixels."""
    block = dataset.private_block(0x0011, "PLANTEDPRIVATE", create=True)
    block.add_new(0x01, "LO", "PLANTEDPRIVATE")
    block.add_new(0x02, "PN", "PLANTEDPRIVATE^X")
    request = Dataset()
    request.RequestedProcedureDescription = "PLANTEDNESTED"
    request.RequestingPhysician = "PLANTEDNESTED"
    dataset.RequestAttributesSequence = Sequence([request])
    if overlay:
        rows, columns = dataset.Rows, dataset.Columns
        bits = np.zeros((rows, columns), np.uint8)
        bits[40:120, 40:200] = 1  # where a film has the patient's name
        dataset.add_new(0x60000010, "US", rows)
        dataset.add_new(0x60000011, "US", columns)
        dataset.add_new(0x60000022, "LO", "PLANTEDOVERLAY")
        dataset.add_new(0x60000040, "CS", "G")
        dataset.add_new(0x60000050, "SS", [1, 1])
        dataset.add_new(0x60000100, "US", 1)
        dataset.add_new(0x60000102, "US", 0)
        dataset.add_new(0x60001500, "LO", "PLANTEDOVERLAY")
        dataset.add_new(0x60003000, "OW", np.packbits(bits, bitorder="little").tobytes())
    dataset.add_new(0xFFFCFFFC, "OB", b"PLANTEDTRAILER")


def _png() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", "PLANTEDTEXT")
    info.add_itxt("Patient", "PLANTEDTEXT")
    return _picture("PNG", pnginfo=info, exif=_exif())


def _jpeg() -> bytes:
    return _picture("JPEG", comment=b"PLANTEDTEXT", exif=_exif(), quality=92)


def _tiff() -> bytes:
    return _picture("TIFF", description="PLANTEDTEXT", artist="PLANTEDTEXT", software="PLANTEDTEXT")


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x8298] = "PLANTEDEXIF"  # description, artist, copyright
    return exif


def _picture(image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(png(to_8_bit(BRIGHT)))).save(stream, image_format, **options)
    return stream.getvalue()
