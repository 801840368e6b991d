"""What every DICOM output has in common: identity, patient and study, equipment, encoding.

UIDs are `2.25.` and the decimal value of a name-based UUID (PS3.5 B.2; RFC 9562, version 5) in the
name space below. The name holds the record, so the same result has the same UIDs wherever and
whenever it is made, and another result never has them.
Two runs differ only in `TIMING_ATTRIBUTES`.
"""

import hashlib
import io
import uuid
from datetime import datetime
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from lambdas.report.dicom_context import StudyContext
from lambdas.shared.radiograph import PIPELINE_VERSION
from lambdas.shared.records import Record, to_json

UID_NAME_SPACE: Final = uuid.UUID("6f0b3c1e-3c7f-4f0a-9a55-6d1c6f1d7b52")
"""Drawn once for this project; never to be changed."""

OUTPUT_VERSION: Final = 1
"""Bumped by any change to what a DICOM or FHIR output says of a record: its UIDs change with it,
so that one UID never names two contents."""

TIMING_ATTRIBUTES: Final = (
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContentDate",
    "ContentTime",
    "PresentationCreationDate",
    "PresentationCreationTime",
)
"""When an output was written, by the clock of the machine that wrote it; all else is a function of
source and record."""

MANUFACTURER: Final = "cxr-batch"
SERIES_NUMBER: Final = {"SR": 9001, "PR": 9002, "DOC": 9003}
"""By modality; high, so that the series stand below those of the images."""

UTF_8: Final = "ISO_IR 192"

_TEXT: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Value representations that a character set concerns; PS3.5 6.1.2.2."""

_OF_ONE_RUN: Final = frozenset({"outputs", "left_out", "source_tags", "timings"})
"""Fields of a record that depend on what was asked for and when, not on what was found."""

_LONG_CHARACTERS: Final = 64
_TEXT_CHARACTERS: Final = 10_000


def name_based_uuid(*names: str) -> uuid.UUID:
    """The UUID that these names always have."""
    return uuid.uuid5(UID_NAME_SPACE, "\n".join(names))


def name_based_uid(*names: str) -> UID:
    """The UID that these names always have."""
    return UID(f"2.25.{name_based_uuid(*names).int}")


def result_names(record: Record) -> tuple[str, ...]:
    """Names of one result: image, models, and a digest of all that its outputs can say."""
    lasting = {name: value for name, value in record.items() if name not in _OF_ONE_RUN}
    digest = hashlib.sha256(to_json(lasting)).hexdigest()
    return record["image_id"], record["model_set"], digest, f"outputs {OUTPUT_VERSION}"


def result_uid(record: Record, role: str) -> UID:
    """UID of one thing of a result.

    Args:
        record: Of the result; `outputs` and `timings` do not matter.
        role: Such as `dicom-sr instance` or `finding 1`.
    """
    return name_based_uid(*result_names(record), role)


def device_uid(record: Record) -> UID:
    """UID of what made a result: one pair of models."""
    return name_based_uid("device", record["model_set"])


def software_versions(record: Record) -> list[str]:
    """Pipeline and models, one value each."""
    models = (f"{model['name']} {model['version']}" for model in record["models"])
    return [f"pipeline {PIPELINE_VERSION}", *(long_string(model) for model in models)]


def long_string(value: str, characters: int = _LONG_CHARACTERS) -> str:
    """A text fit for LO (or SH, with 16 characters): one line, no backslash, cut."""
    plain = "".join(
        character if character.isprintable() and character != "\\" else " " for character in value
    )
    return " ".join(plain.split())[:characters].strip()


def text_value(value: str) -> str:
    """A text fit for UT: one line, never empty."""
    return long_string(value, _TEXT_CHARACTERS) or "(blank)"


def add_patient_and_study(dataset: Dataset, context: StudyContext) -> None:
    """Write the Patient and General Study modules, nothing optional."""
    for keyword, value in context.attributes.items():
        setattr(dataset, keyword, value)
    dataset.StudyInstanceUID = context.study_instance_uid


def add_series(dataset: Dataset, record: Record, *, role: str, modality: str, what: str) -> None:
    """Write the series: one for each kind of output of a result.

    Args:
        role: Name of the format.
        modality: `SR`, `PR` or `DOC`.
        what: Ends the description that a worklist shows.
    """
    dataset.Modality = modality
    dataset.SeriesInstanceUID = result_uid(record, f"{role} series")
    dataset.SeriesNumber = SERIES_NUMBER[modality]
    dataset.SeriesDescription = f"AI, research use only: {what}"


def add_equipment(dataset: Dataset, record: Record) -> None:
    """Write the General Equipment module as its enhanced form asks for it."""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.DeviceSerialNumber = record["model_set"]
    dataset.SoftwareVersions = software_versions(record)


def add_instance(
    dataset: Dataset, record: Record, *, role: str, sop_class_uid: str, written_at: datetime
) -> None:
    """Write identity and times; of the content's times those that the data set has already."""
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = result_uid(record, f"{role} instance")
    dataset.InstanceNumber = 1
    dataset.InstanceCreationDate = dataset.InstanceCreationTime = None
    for keyword in TIMING_ATTRIBUTES:
        if keyword in dataset:
            form = "%Y%m%d" if keyword.endswith("Date") else "%H%M%S"
            setattr(dataset, keyword, written_at.strftime(form))
    # highdicom's own name, with a time in microseconds
    dataset.pop("ContributingEquipmentSequence", None)


def referenced_instance(context: StudyContext) -> Dataset:
    """Reference to the image."""
    item = Dataset()
    item.ReferencedSOPClassUID = context.sop_class_uid
    item.ReferencedSOPInstanceUID = context.sop_instance_uid
    return item


def to_bytes(dataset: Dataset) -> bytes:
    """A DICOM file (PS3.10) in Explicit VR Little Endian; in UTF-8 where ASCII does not do."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = name_based_uid("implementation")
    meta.ImplementationVersionName = f"CXR_BATCH_{OUTPUT_VERSION}"
    file: Any = Dataset()
    file.update({element.tag: element for element in dataset})
    if any(not str(element.value).isascii() for element in file.iterall() if element.VR in _TEXT):
        file.SpecificCharacterSet = UTF_8
    file.file_meta = meta
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
