"""Phantoms side by side, with reader 1's boxes and labels drawn, for the eye."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.phantoms import vocabulary as v
from training.phantoms.dataset import StudyRecord
from training.phantoms.draw import Phantom

TILE_PX = 480
CAPTION_PX = 18

COLOURS = (
    "#ffb000", "#4cc9f0", "#ff5d5d", "#7ae582", "#c77dff", "#f7a072", "#00d5b8", "#ffd6e0",
    "#9bf6ff", "#fdffb6", "#b8c0ff", "#ff99c8", "#caffbf", "#e4c1f9", "#d0d1ff", "#f1c0e8",
    "#a0c4ff", "#ffc6ff",
)  # fmt: skip
"""One colour per label, in vocabulary order."""


def draw_tile(phantom: Phantom, record: StudyRecord, *, boxes: bool = True) -> Image.Image:
    """One phantom as an RGB tile of TILE_PX, with a caption."""
    grey = Image.fromarray((phantom.pixels >> 8).astype(np.uint8))
    grey.thumbnail((TILE_PX, TILE_PX - CAPTION_PX), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE_PX, TILE_PX), "#101010")
    left = (TILE_PX - grey.width) // 2
    tile.paste(grey.convert("RGB"), (left, CAPTION_PX))
    pen = ImageDraw.Draw(tile)
    font = ImageFont.load_default(12)
    split = record.rows[0]["split"]
    kind = "" if phantom.findings else " · Normal"
    caption = f"{phantom.plan.index} · {phantom.sex} {phantom.age} · {phantom.view} · {split}{kind}"
    pen.text((4, 1), caption, fill="#e0e0e0", font=font)
    if boxes:
        for finding in record.report["findings"]:
            for x1, y1, x2, y2 in finding.get("boxes", []):
                label = finding["labels"][0]
                colour = COLOURS[list(v.ENTRIES).index(label)]
                edges = (
                    left + x1 * grey.width,
                    CAPTION_PX + y1 * grey.height,
                    left + x2 * grey.width,
                    CAPTION_PX + y2 * grey.height,
                )
                pen.rectangle(edges, outline=colour, width=2)
                spot = (edges[0] + 3, edges[1] + 2)
                pen.text(spot, label, fill=colour, font=font, stroke_width=2, stroke_fill="black")
    return tile


def write_contact_sheet(path: Path, tiles: Sequence[Image.Image], *, columns: int = 5) -> None:
    """Write tiles as one PNG, row by row; at least one tile."""
    across = min(columns, len(tiles))
    rows = -(-len(tiles) // across)
    sheet = Image.new("RGB", (across * TILE_PX, rows * TILE_PX), "#101010")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % across * TILE_PX, number // across * TILE_PX))
    sheet.save(path)
