"""The radiograph on the page: a grey JPEG, boxes as vector lines, numbers, side letters."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from PIL import Image
from reportlab.lib.colors import Color
from reportlab.pdfbase import pdfdoc

from lambdas.report.keys import Rectangle, place_keys, scale_box
from lambdas.report.location import Sides
from lambdas.report.palette import HALO, FindingStyle, Rgb, finding_style
from lambdas.report.typography import BOLD, register_fonts
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.records import Record

Canvas = Any

JPEG_QUALITY: Final = 88
"""About 0.2 byte a pixel for a radiograph; its blocks do not show at the size of print."""

LINE_PT: Final = 1.2
HALO_PT: Final = 2.5
KEY_PT: Final = (12.0, 10.0)
"""Width and height of a number's rectangle."""
KEY_TEXT_PT: Final = 7.5
LETTER_PT: Final = 12.0
LETTER_INSET_PT: Final = 5.0


def jpeg_bytes(pixels: FloatImage) -> bytes:
    """Grey JPEG of an image (H, W) in [0, 1]."""
    target = io.BytesIO()
    Image.fromarray(to_grey8(pixels)).save(target, "JPEG", quality=JPEG_QUALITY)
    return target.getvalue()


def to_grey8(pixels: FloatImage) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H, W) in [0, 1] to 0 … 255, rounded; values outside are clipped."""
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def draw_radiograph(
    canvas: Canvas,
    *,
    pixels: FloatImage,
    findings: Sequence[Record],
    sides: Sides,
    area: tuple[float, float, float, float],
) -> None:
    """Draw the image with its findings.

    Args:
        canvas: reportlab's.
        pixels: (H, W) in [0, 1].
        findings: Of the record, in its order.
        sides: From `sides_of`; its letters mark the edges.
        area: Left, bottom, width and height of the drawn image on the page, in points.
    """
    register_fonts()
    left, bottom, width, height = area
    _draw_jpeg(canvas, pixels, area)
    canvas.saveState()
    # The same frame as boxes have in a record: origin top left; y is turned where it is drawn.
    canvas.translate(left, bottom)
    boxes = [scale_box(each["box_normalised"], width=width, height=height) for each in findings]
    letters = _letter_places(sides, width, height)
    keys = place_keys(
        boxes, frame=(width, height), key=KEY_PT, taken=[place for _, place in letters]
    )
    # The lowest score first, so that the most certain finding lies on top.
    for index in reversed(range(len(boxes))):
        _draw_box(canvas, boxes[index], finding_style(index), height)
    for letter, place in letters:
        _draw_letter(canvas, letter, place, height)
    for index in reversed(range(len(boxes))):
        place = keys[index]
        draw_key(canvas, index, x=place.x_min, top=height - place.y_min)
    canvas.restoreState()


def draw_key(canvas: Canvas, index: int, *, x: float, top: float) -> None:
    """A finding's number on its colour; `x` and `top` are its upper left corner, in points."""
    look = finding_style(index)
    width, height = KEY_PT
    canvas.setDash()
    canvas.setLineWidth(0.6)
    canvas.setStrokeColor(rgb(HALO))
    canvas.setFillColor(rgb(look.colour))
    canvas.rect(x, top - height, width, height, stroke=1, fill=1)
    canvas.setFillColor(rgb(look.ink))
    canvas.setFont(BOLD, KEY_TEXT_PT)
    canvas.drawCentredString(x + width / 2, top - height / 2 - 0.365 * KEY_TEXT_PT, str(index + 1))


def draw_line_sample(
    canvas: Canvas, look: FindingStyle, *, x: float, y: float, width: float
) -> None:
    """A piece of the box's line, as the table shows it."""
    _styled(canvas, look, lambda: canvas.line(x, y, x + width, y))


def rgb(colour: Rgb) -> Color:
    """As reportlab has it."""
    return Color(*(channel / 255 for channel in colour))


def _draw_box(canvas: Canvas, box: Rectangle, look: FindingStyle, height: float) -> None:
    size = (box.x_max - box.x_min, box.y_max - box.y_min)
    _styled(
        canvas, look, lambda: canvas.rect(box.x_min, height - box.y_max, *size, stroke=1, fill=0)
    )


def _styled(canvas: Canvas, look: FindingStyle, stroke: Any) -> None:
    """Stroke twice: the halo, solid and wide, then the line in its colour and style."""
    canvas.setLineCap(0)
    canvas.setLineJoin(0)
    canvas.setDash()
    canvas.setLineWidth(HALO_PT)
    canvas.setStrokeColor(rgb(HALO))
    stroke()
    canvas.setDash(list(look.dash))
    canvas.setLineWidth(LINE_PT)
    canvas.setStrokeColor(rgb(look.colour))
    stroke()


def _letter_places(sides: Sides, width: float, height: float) -> list[tuple[str, Rectangle]]:
    """Side letters at half height, where a film has skin or nothing, not its burned-in marker."""
    if sides.letters is None or width < 6 * LETTER_PT:
        return []
    top = (height - LETTER_PT) / 2
    half = 0.45 * LETTER_PT
    centres = (LETTER_INSET_PT + half, width - LETTER_INSET_PT - half)
    return [
        (letter, Rectangle(centre - half, top, centre + half, top + LETTER_PT))
        for letter, centre in zip(sides.letters, centres, strict=True)
    ]


def _draw_letter(canvas: Canvas, letter: str, place: Rectangle, height: float) -> None:
    canvas.setFillColor(rgb(HALO))
    canvas.rect(
        place.x_min,
        height - place.y_max,
        place.x_max - place.x_min,
        place.y_max - place.y_min,
        stroke=0,
        fill=1,
    )
    canvas.setFillColor(rgb((255, 255, 255)))
    canvas.setFont(BOLD, LETTER_PT - 2)
    baseline = height - (place.y_min + place.y_max) / 2 - 0.365 * (LETTER_PT - 2)
    canvas.drawCentredString((place.x_min + place.x_max) / 2, baseline, letter)


def _draw_jpeg(canvas: Canvas, pixels: FloatImage, area: tuple[float, ...]) -> None:
    """Place the JPEG as it is; `Canvas.drawImage` would decode it and make it a quarter larger."""
    content = jpeg_bytes(pixels)
    name = hashlib.sha256(content).hexdigest()[:32]
    image = pdfdoc.PDFImageXObject(name)
    image.height, image.width = pixels.shape
    image.bitsPerComponent = 8
    image.colorSpace = "DeviceGray"
    image._filters = ("DCTDecode",)
    image.streamContent = content
    document = canvas._doc
    canvas._currentPageHasImages = 1
    document.Reference(image, document.getXObjectName(name))
    document.addForm(name, image)
    left, bottom, width, height = area
    canvas.saveState()
    canvas.translate(left, bottom)
    canvas.scale(width, height)
    canvas.doForm(name)
    canvas.restoreState()
