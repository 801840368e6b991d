"""The boxes as a Grayscale Softcopy Presentation State: most viewers draw these, few draw an SR's.

The same boxes as in the Structured Report, in the same frame (`dicom_region`) and under the same
tracking UIDs, each with its number, label and score; below them what every display must say. The
image keeps its own look: its LUTs are repeated (`dicom_display`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from highdicom import PresentationLUTShapeValues, PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextJustificationValues,
    TextObject,
)
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from lambdas.report import words
from lambdas.report.dicom_context import StudyContext
from lambdas.report.dicom_display import Display
from lambdas.report.dicom_instance import (
    MANUFACTURER,
    SERIES_NUMBER,
    add_equipment,
    add_instance,
    add_patient_and_study,
    add_series,
    long_string,
    result_uid,
    to_bytes,
)
from lambdas.report.dicom_region import (
    box_outline,
    identified_image,
    name_image_class,
    tracking,
)
from lambdas.report.formats import DICOM_GSPS
from lambdas.report.keys import Rectangle, place_keys
from lambdas.report.palette import COLOURS, finding_style
from lambdas.shared.records import Record

MODALITY: Final = "PR"
CONTENT_LABEL: Final = "AI_BOXES"
CONTENT_DESCRIPTION: Final = "AI boxes. Research use only. Not read by a radiologist."

TEXT_SHARE: Final = 0.02
"""Height of a line of text, as a share of the longer side of the image."""
ASPECT_OF_LETTER: Final = 0.6
"""Mean width of a letter over the height of its line; viewers choose the font."""
TEXT_CHARACTERS: Final = 120
NOTE_COLOUR: Final = (255, 255, 255)


def presentation_state(record: Record, context: StudyContext, *, written_at: datetime) -> bytes:
    """Draw the findings of an analysed image.

    Args:
        record: Of the image.
        context: Of its source.
        written_at: For `dicom_instance.TIMING_ATTRIBUTES`.
    """
    image = identified_image(context)
    annotations, layers = _annotations(record, context.display, image)
    shape = "INVERSE" if context.display.inverse else "IDENTITY"
    dataset = GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        series_instance_uid=result_uid(record, f"{DICOM_GSPS} series"),
        series_number=SERIES_NUMBER[MODALITY],
        sop_instance_uid=result_uid(record, f"{DICOM_GSPS} instance"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=MANUFACTURER,
        device_serial_number=record["model_set"],
        content_label=CONTENT_LABEL,
        content_description=CONTENT_DESCRIPTION,
        graphic_annotations=annotations,
        graphic_layers=layers,
        presentation_lut_transformation=PresentationLUTTransformation(
            presentation_lut_shape=PresentationLUTShapeValues(shape)
        ),
    )
    area = dataset.DisplayedAreaSelectionSequence[0]
    area.PresentationPixelAspectRatio = list(context.display.aspect_ratio)
    dataset.update({element.tag: element for element in context.display.modality})
    if context.display.voi is not None:
        dataset.SoftcopyVOILUTSequence = [context.display.voi]
    name_image_class(dataset, context)
    add_patient_and_study(dataset, context)
    add_series(dataset, record, role=DICOM_GSPS, modality=MODALITY, what="boxes")
    add_equipment(dataset, record)
    add_instance(
        dataset,
        record,
        role=DICOM_GSPS,
        sop_class_uid=GrayscaleSoftcopyPresentationStateStorage,
        written_at=written_at,
    )
    return to_bytes(dataset)


def _annotations(
    record: Record, display: Display, image: Dataset
) -> tuple[list[GraphicAnnotation], list[GraphicLayer]]:
    """A layer for each colour in use, as a layer has one colour, and one for the notes."""
    places = _label_places(record, display)
    used = min(len(record["findings"]), len(COLOURS))
    layers = [
        GraphicLayer(
            f"AI_FINDINGS_{index + 1}",
            order=index + 1,
            description="Boxes of findings",
            display_color=CIELabColor.from_rgb(*finding_style(index).colour),
        )
        for index in range(used)
    ]
    notes = GraphicLayer(
        "AI_NOTES",
        order=used + 1,
        description="What every display must say",
        display_color=CIELabColor.from_rgb(*NOTE_COLOUR),
    )
    annotations = [
        GraphicAnnotation(
            referenced_images=[image],
            graphic_layer=layer,
            graphic_objects=[_box(record, number) for number in numbers],
            text_objects=[_label(record, number, places[number - 1]) for number in numbers],
        )
        for index, layer in enumerate(layers)
        for numbers in [range(index + 1, len(record["findings"]) + 1, len(COLOURS))]
    ]
    annotations.append(
        GraphicAnnotation(
            referenced_images=[image], graphic_layer=notes, text_objects=_notes(record)
        )
    )
    return annotations, [*layers, notes]


def _box(record: Record, number: int) -> GraphicObject:
    identifier, uid = tracking(record, number)
    return GraphicObject(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=box_outline(record["findings"][number - 1]["box"]),
        units=AnnotationUnitsValues.PIXEL,
        tracking_id=identifier,
        tracking_uid=uid,
    )


def _label(record: Record, number: int, place: Rectangle) -> TextObject:
    return TextObject(
        text_value=_label_text(record, number),
        units=AnnotationUnitsValues.PIXEL,
        bounding_box=(place.x_min, place.y_min, place.x_max, place.y_max),
        text_justification=TextJustificationValues.LEFT,
    )


def _label_text(record: Record, number: int) -> str:
    finding = record["findings"][number - 1]
    score, _ = words.compare_numbers(finding["score"], finding["threshold"], reached=True)
    return f"{number} {long_string(finding['label'], TEXT_CHARACTERS)} {score}"


def _label_places(record: Record, display: Display) -> list[Rectangle]:
    """Room for each label beside its box, on as little of any box as possible."""
    frame = (float(display.columns), float(display.rows))
    height = TEXT_SHARE * max(frame)
    texts = [_label_text(record, number + 1) for number in range(len(record["findings"]))]
    widths = [min(ASPECT_OF_LETTER * height * len(text), frame[0]) for text in texts]
    boxes = [Rectangle(**finding["box"]) for finding in record["findings"]]
    return place_keys(boxes, frame=frame, key=(0, height), widths=widths)


def _notes(record: Record) -> Sequence[TextObject]:
    """Lines from the lower edge upwards, in shares of the displayed area."""
    triage = record["triage"]
    number, point = words.compare_numbers(
        triage["probability"], triage["threshold"], reached=triage["positive"]
    )
    lines = [
        f"AI triage: {triage['label']} ({words.number_name(triage)} {number}, "
        f"operating point {point})",
        *words.findings_summary(record),
        f"{words.RESEARCH_ONLY} Not read by a radiologist.",
    ]
    return [
        TextObject(
            text_value=long_string(line, 2 * TEXT_CHARACTERS),
            units=AnnotationUnitsValues.DISPLAY,
            bounding_box=(
                0.01,
                round(0.99 - TEXT_SHARE * (below + 1), 3),
                0.99,
                round(0.99 - TEXT_SHARE * below, 3),
            ),
            text_justification=TextJustificationValues.LEFT,
        )
        for below, line in enumerate(reversed(lines))
    ]
