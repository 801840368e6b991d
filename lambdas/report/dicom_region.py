"""The image and its boxes as DICOM objects refer to them.

A box is a closed polyline of five points, column before row, in the pixel grid of the image as
stored: (0, 0) is the upper left corner of the first pixel and (Columns, Rows) the lower right
corner of the last, for structured reports (PS3.3 C.18.6) and presentation states (C.10.5) alike.
That is the frame of a record's `box`, so nothing is rescaled.
"""

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import UID, ComputedRadiographyImageStorage

from lambdas.report.dicom_context import StudyContext
from lambdas.report.dicom_instance import long_string, result_uid
from lambdas.shared.records import Record


def identified_image(context: StudyContext) -> Dataset:
    """The image as highdicom wants it: what it is, but not of whom, which it would log.

    Its class is a stand-in: highdicom looks up what it may copy from an image of the class, fails
    on retired and private ones, and wants frames of those that may have several.
    `name_image_class` puts the class itself into what has been made.
    """
    image = Dataset()
    image.SOPClassUID = ComputedRadiographyImageStorage
    image.SOPInstanceUID = context.sop_instance_uid
    image.SeriesInstanceUID = context.series_instance_uid
    image.StudyInstanceUID = context.study_instance_uid
    image.Columns, image.Rows = context.display.columns, context.display.rows
    image.SamplesPerPixel = 1
    for keyword in context.attributes:
        setattr(image, keyword, None)
    return image


def name_image_class(dataset: Dataset, context: StudyContext) -> None:
    """Replace the stand-in of `identified_image`; the image is all that is referred to."""
    for element in dataset.iterall():
        if element.keyword == "ReferencedSOPClassUID":
            element.value = context.sop_class_uid


def box_outline(box: Record) -> npt.NDArray[np.float64]:
    """Corners of a record's `box`, clockwise from the upper left and back to it.

    Returns:
        (5, 2): column, row.
    """
    left, top, right, bottom = (box[edge] for edge in ("x_min", "y_min", "x_max", "y_max"))
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])


def tracking(record: Record, number: int) -> tuple[str, UID]:
    """Identifier and UID of a finding, the same in every object that shows it.

    Args:
        record: Of the image.
        number: From 1, in the order of the record.
    """
    identifier = f"Finding {number}: {long_string(record['findings'][number - 1]['label'])}"
    return identifier, result_uid(record, f"finding {number}")
