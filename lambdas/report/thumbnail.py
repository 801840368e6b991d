"""thumbnail.jpg: the radiograph with its boxes, small enough for a list of thousands."""

import functools
import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from lambdas.report.keys import place_keys, scale_box
from lambdas.report.overlay import to_grey8
from lambdas.report.palette import HALO, finding_style
from lambdas.report.typography import BOLD, font_path
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.records import Record

LONG_SIDE_PX: Final = 360
JPEG_QUALITY: Final = 85
KEY_PX: Final = (15, 13)
KEY_TEXT_PX: Final = 11
TILE_PX: Final = (360, 360)


def render_thumbnail(record: Record, *, pixels: FloatImage | None) -> bytes:
    """A small JPEG of one image.

    Args:
        record: As `render_pdf` takes it.
        pixels: `Radiograph.pixels`, (H, W) in [0, 1]; None for a rejected image.

    Returns:
        JPEG whose longer side is `LONG_SIDE_PX`; a tile that says so for a rejected image.
    """
    if record["status"] == "rejected" or pixels is None:
        return _jpeg(_rejected_tile())
    image = _resized(pixels)
    _draw_findings(image, record)
    return _jpeg(image)


def _resized(pixels: FloatImage) -> Image.Image:
    rows, columns = pixels.shape
    scale = LONG_SIDE_PX / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    grey = Image.fromarray(to_grey8(pixels))
    return grey.resize(size, Image.Resampling.LANCZOS).convert("RGB")


def _draw_findings(image: Image.Image, record: Record) -> None:
    """Solid lines: at this size the dashes of the page would only look broken."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    boxes = [
        scale_box(each["box_normalised"], width=width - 1, height=height - 1)
        for each in record["findings"]
    ]
    keys = place_keys(boxes, frame=(width, height), key=KEY_PX)
    for index in reversed(range(len(boxes))):
        box = boxes[index]
        edges = (round(box.x_min), round(box.y_min), round(box.x_max), round(box.y_max))
        outer = (edges[0] - 1, edges[1] - 1, edges[2] + 1, edges[3] + 1)
        draw.rectangle(outer, outline=HALO, width=4)
        draw.rectangle(edges, outline=finding_style(index).colour, width=2)
    for index in reversed(range(len(keys))):
        look, key = finding_style(index), keys[index]
        place = (key.x_min, key.y_min, key.x_max - 1, key.y_max - 1)
        draw.rectangle(place, fill=look.colour, outline=HALO)
        centre = ((key.x_min + key.x_max) / 2, (key.y_min + key.y_max) / 2)
        draw.text(centre, str(index + 1), fill=look.ink, font=_font(KEY_TEXT_PX), anchor="mm")


def _rejected_tile() -> Image.Image:
    tile = Image.new("RGB", TILE_PX, (232, 232, 232))
    draw = ImageDraw.Draw(tile)
    draw.rectangle((0, 0, TILE_PX[0] - 1, TILE_PX[1] - 1), outline=(160, 160, 160), width=2)
    centre = (TILE_PX[0] / 2, TILE_PX[1] / 2)
    draw.text(centre, "rejected", fill=(70, 70, 70), font=_font(34), anchor="mm")
    return tile


def _jpeg(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "JPEG", quality=JPEG_QUALITY)
    return target.getvalue()


@functools.cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path(BOLD)), size_px)
