"""report.pdf: one A4 page for most images, from the record and the pixels the models saw.

Neither the source key nor any clock stands in it: keys may name a patient, and the same record
must give the same bytes.
"""

import functools
import io
from collections.abc import Sequence
from typing import Any, Final

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas as PdfCanvas

from lambdas.report import words
from lambdas.report.blocks import Block, Canvas, gap, hairline, paginate, row, section, stack, text
from lambdas.report.findings_table import findings_blocks
from lambdas.report.location import Sides, sides_of
from lambdas.report.overlay import draw_radiograph
from lambdas.report.triage_panel import facts_panel, triage_panel
from lambdas.report.typography import (
    BOLD,
    FAINT,
    REGULAR,
    TEXT,
    colour_of,
    markup,
    register_fonts,
    style,
)
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.records import Record

PAGE_WIDTH_PT, PAGE_HEIGHT_PT = A4
MARGIN_PT: Final = 40.0
TOP_PT: Final = 34.0
FOOTER_PT: Final = 46.0
"""From the page's lower edge to the lowest line of content."""
WIDTH_PT: Final = PAGE_WIDTH_PT - 2 * MARGIN_PT

SIDE_WIDTH_PT: Final = 152.0
COLUMN_GAP_PT: Final = 14.0
PICTURE_WIDTH_PT: Final = WIDTH_PT - SIDE_WIDTH_PT - COLUMN_GAP_PT
PICTURE_HEIGHT_PT: Final = 392.0
"""349 points wide are 123 mm, 248 dpi for an image of 1,200 pixels: finer than print resolves."""

WIDE_ASPECT: Final = 1.6
"""Wider images get the whole width of the page, and the panels stand below them."""

MODEL_WIDTHS_PT: Final = (48.0, 98.0, 98.0, 172.0, 75.0)


def render_pdf(record: Record, *, pixels: FloatImage | None) -> bytes:
    """The report of one image.

    Args:
        record: As record.schema.json has it; `outputs` and `timings` may be empty and are not
            printed.
        pixels: `Radiograph.pixels`, (H, W) in [0, 1]; None for a rejected image.

    Returns:
        PDF; the same record and pixels give the same bytes.

    Raises:
        ValueError: An analysed record without pixels.
    """
    register_fonts()
    blocks = [*_head(record), *_banner(record)]
    if record["status"] == "rejected":
        blocks += _rejection(record)
    elif pixels is None:
        raise ValueError("an analysed record needs the radiograph's pixels for its report")
    else:
        blocks += _assessment(record, pixels)
    blocks += _models(record)
    continued = [_continuation(record), *_banner(record)]
    height = PAGE_HEIGHT_PT - TOP_PT - FOOTER_PT
    return _write(record, paginate(blocks, height=height, continued=continued))


def _head(record: Record) -> list[Block]:
    rejected = record["status"] == "rejected"
    subtitle = words.SUBTITLE_REJECTED if rejected else words.SUBTITLE
    line = text(subtitle, style(8, colour=FAINT), width=WIDTH_PT, after=5)
    identifier = f"Image {record['image_id']}"

    def draw(canvas: Canvas, x: float, top: float) -> None:
        line.draw(canvas, x, top)
        canvas.setFillColor(colour_of(TEXT))
        canvas.setFont(BOLD, 8)
        canvas.drawRightString(x + WIDTH_PT, top - 8, identifier)

    title = text(words.TITLE, style(15, bold=True), width=WIDTH_PT, after=1)
    return [title, Block(line.height, draw)]


def _continuation(record: Record) -> Block:
    line = f"{words.TITLE}, continued \N{MIDDLE DOT} image {record['image_id']}"
    return text(line, style(8, colour=FAINT), width=WIDTH_PT, after=6)


def _banner(record: Record) -> list[Block]:
    """What every reader must see first; one block for each line, so that it can be broken."""
    lines = [
        _banner_line(words.RESEARCH_ONLY, bold=True),
        *(_banner_line(warning) for warning in record["warnings"]),
    ]
    return [*lines, gap(9)]


def _banner_line(sentence: str, *, bold: bool = False) -> Block:
    inner = text(markup(sentence), style(8.5, bold=bold), width=WIDTH_PT - 20)
    height = inner.height + 4

    def draw(canvas: Canvas, x: float, top: float) -> None:
        canvas.setFillColor(colour_of("#fdf1dc"))
        # Half a point of overlap hides the seam between two lines of one banner.
        canvas.rect(x, top - height, WIDTH_PT, height + 0.5, stroke=0, fill=1)
        canvas.setFillColor(colour_of("#b34e00"))
        canvas.rect(x, top - height, 4, height + 0.5, stroke=0, fill=1)
        inner.draw(canvas, x + 12, top - 2)

    return Block(height, draw)


def _assessment(record: Record, pixels: FloatImage) -> list[Block]:
    sides = sides_of(record["image"]["patient_orientation"])
    return [
        *_picture_and_panels(record, pixels, sides),
        gap(8),
        *findings_blocks(record, sides, width=WIDTH_PT),
        gap(8),
    ]


def _picture_and_panels(record: Record, pixels: FloatImage, sides: Sides) -> list[Block]:
    aspect = pixels.shape[1] / pixels.shape[0]
    note = f"{words.sentence(sides.note)} {words.PREVIEW}"
    triage = triage_panel(record["triage"], width=SIDE_WIDTH_PT)
    if aspect > WIDE_ASPECT:
        picture = _picture(record, pixels, sides, width=WIDTH_PT)
        caption = text(markup(note), style(6.8, colour=FAINT), width=WIDTH_PT, after=8)
        facts = facts_panel(record["image"], width=PICTURE_WIDTH_PT)
        return [picture, gap(3), caption, _beside(triage, facts, left_width=SIDE_WIDTH_PT)]
    picture = _picture(record, pixels, sides, width=PICTURE_WIDTH_PT)
    caption = text(markup(note), style(6.8, colour=FAINT), width=PICTURE_WIDTH_PT)
    return [
        _beside(
            stack([picture, gap(3), caption]),
            stack([triage, gap(12), facts_panel(record["image"], width=SIDE_WIDTH_PT)]),
            left_width=PICTURE_WIDTH_PT,
        )
    ]


def _beside(left: Block, right: Block, *, left_width: float) -> Block:
    def draw(canvas: Canvas, x: float, top: float) -> None:
        left.draw(canvas, x, top)
        right.draw(canvas, x + left_width + COLUMN_GAP_PT, top)

    return Block(max(left.height, right.height), draw)


def _picture(record: Record, pixels: FloatImage, sides: Sides, *, width: float) -> Block:
    """The image as large as its frame lets it be, on a grey ground where it is narrower."""
    rows, columns = pixels.shape
    scale = min(width / columns, PICTURE_HEIGHT_PT / rows)
    drawn = (columns * scale, rows * scale)

    def draw(canvas: Canvas, x: float, top: float) -> None:
        canvas.setFillColor(colour_of("#eeeeee"))
        canvas.rect(x, top - drawn[1], width, drawn[1], stroke=0, fill=1)
        draw_radiograph(
            canvas,
            pixels=pixels,
            findings=record["findings"],
            sides=sides,
            area=(x + (width - drawn[0]) / 2, top - drawn[1], *drawn),
        )

    return Block(drawn[1], draw)


def _rejection(record: Record) -> list[Block]:
    rejection = record["rejection"]
    code = rejection["code"]
    body = functools.partial(text, look=style(9.5), width=WIDTH_PT)
    blocks = [
        text("Rejected: not assessed", style(20, bold=True), width=WIDTH_PT, after=3),
        text(words.NO_RESULT, style(9.5), width=WIDTH_PT, after=14),
        section("Reason", width=WIDTH_PT),
        body(markup(words.sentence(f"{words.rejection_meaning(code)} (code {code})")), after=4),
        body(markup(rejection["message"]), after=14),
        section("What to do", width=WIDTH_PT),
        body(markup(words.next_step(code)), after=14),
    ]
    if record["image"]:
        return [*blocks, facts_panel(record["image"], width=WIDTH_PT / 2), gap(14)]
    digest = record["source"]["sha256"]
    if digest is None:  # too large to be read
        return blocks
    return [
        *blocks,
        section("Image", width=WIDTH_PT),
        body(
            f"Of a refused file only the digest is kept. SHA-256 {words.short_digest(digest)}.",
            after=14,
        ),
    ]


def _models(record: Record) -> list[Block]:
    head_style, cell_style = style(6.8, bold=True, colour=FAINT), style(6.8)
    names = ("Task", "Model, version", "Architecture", "Trained on", "SHA-256")
    head = row(
        [
            text(name, head_style, width=width)
            for name, width in zip(names, MODEL_WIDTHS_PT, strict=True)
        ],
        widths=MODEL_WIDTHS_PT,
        padding=1.5,
    )
    rows = [
        row(
            [
                text(markup(value, limit=300), cell_style, width=width)
                for value, width in zip(words.model_row(model), MODEL_WIDTHS_PT, strict=True)
            ],
            widths=MODEL_WIDTHS_PT,
            padding=1.5,
            head=head,
        )
        for model in record["models"]
    ]
    title = "Models" if record["status"] == "analysed" else "Models (not run on this image)"
    # A table of two rows is not worth breaking.
    return [stack([section(title, width=WIDTH_PT), head, *rows])]


def _write(record: Record, pages: Sequence[Sequence[Block]]) -> bytes:
    target = io.BytesIO()
    # invariant: no date and no random id; reportlab would write both.
    canvas: Any = PdfCanvas(target, pagesize=A4, invariant=1, pageCompression=1, lang="en")
    canvas.setTitle(f"{words.TITLE} {record['image_id']}")
    canvas.setAuthor(words.AUTHOR)
    canvas.setSubject(words.RESEARCH_ONLY)
    canvas.setCreator(words.AUTHOR)
    canvas.setViewerPreference("DisplayDocTitle", "true")
    for number, page in enumerate(pages, start=1):
        top = PAGE_HEIGHT_PT - TOP_PT
        for block in page:
            block.draw(canvas, MARGIN_PT, top)
            top -= block.height
        _footer(canvas, record, page=f"Page {number} of {len(pages)}")
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def _footer(canvas: Canvas, record: Record, *, page: str) -> None:
    hairline(canvas, MARGIN_PT, 38, width=WIDTH_PT)
    canvas.setFillColor(colour_of(FAINT))
    canvas.setFont(BOLD, 7)
    canvas.drawString(MARGIN_PT, 28, words.RESEARCH_ONLY)
    canvas.setFont(REGULAR, 7)
    canvas.drawRightString(MARGIN_PT + WIDTH_PT, 28, page)
    canvas.setFont(REGULAR, 6.5)
    ids = f"Image {record['image_id']} \N{MIDDLE DOT} model set {record['model_set']}"
    canvas.drawString(MARGIN_PT, 18.5, ids)
