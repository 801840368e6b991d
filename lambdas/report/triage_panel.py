"""The panels beside the radiograph: the triage with its operating point, and the image's facts."""

from typing import Final

from lambdas.report import words
from lambdas.report.blocks import CELL_GAP_PT, Block, Canvas, gap, row, section, stack, text
from lambdas.report.typography import FAINT, REGULAR, TEXT, colour_of, markup, style
from lambdas.shared.records import Record

BAR_HEIGHT_PT: Final = 8.0
TICK_PT: Final = 3.0
"""How far the operating point's tick leaves the bar on either side."""
SCALE_TEXT_PT: Final = 6.5
NAME_SHARE: Final = 0.42


def triage_panel(triage: Record, *, width: float) -> Block:
    """Label, number, bar with the operating point, and what the number is."""
    number, _ = words.compare_numbers(
        triage["probability"], triage["threshold"], reached=triage["positive"]
    )
    name = markup(words.number_name(triage), limit=100)
    return stack(
        [
            section("Triage", width=width),
            text(markup(triage["label"], limit=60), style(19, bold=True), width=width, after=2),
            text(f"{name}: <b>{markup(number)}</b>", style(8.5), width=width, after=5),
            _bar(triage, width=width),
            text(words.operating_point(triage), style(7.5), width=width, after=2),
            text(words.calibration(triage), style(7.5, colour=FAINT), width=width),
        ]
    )


def facts_panel(image: Record, *, width: float) -> Block:
    """Facts of the image as stored."""
    usable = width - CELL_GAP_PT
    widths = (NAME_SHARE * usable, (1 - NAME_SHARE) * usable)
    rows = [
        row(
            [
                text(name, style(7, colour=FAINT), width=widths[0]),
                text(markup(value, limit=120), style(7), width=widths[1]),
            ],
            widths=widths,
            padding=1.4,
        )
        for name, value in words.image_facts(image)
    ]
    return stack([section("Image", width=width), *rows])


def _bar(triage: Record, *, width: float) -> Block:
    """The number from 0 to 1, and a tick at the operating point."""
    value, threshold = triage["probability"], triage["threshold"]
    _, point = words.compare_numbers(value, threshold, reached=triage["positive"])

    def draw(canvas: Canvas, x: float, top: float) -> None:
        upper = top - TICK_PT
        lower = upper - BAR_HEIGHT_PT
        canvas.setDash()
        canvas.setFillColor(colour_of("#e3e3e3"))
        canvas.rect(x, lower, width, BAR_HEIGHT_PT, stroke=0, fill=1)
        canvas.setFillColor(colour_of("#4d4d4d"))
        canvas.rect(x, lower, width * value, BAR_HEIGHT_PT, stroke=0, fill=1)
        tick = x + width * threshold
        # White beside the tick, so that it shows on the filled part too.
        for line_width, colour in ((3.0, "#ffffff"), (1.2, "#000000")):
            canvas.setLineWidth(line_width)
            canvas.setStrokeColor(colour_of(colour))
            canvas.line(tick, lower - TICK_PT, tick, upper + TICK_PT)
        _scale(canvas, x, lower - TICK_PT - SCALE_TEXT_PT)

    def _scale(canvas: Canvas, x: float, baseline: float) -> None:
        half = canvas.stringWidth(point, REGULAR, SCALE_TEXT_PT) / 2
        centre = min(max(x + width * threshold, x + half), x + width - half)
        canvas.setFont(REGULAR, SCALE_TEXT_PT)
        canvas.setFillColor(colour_of(TEXT))
        canvas.drawCentredString(centre, baseline, point)
        canvas.setFillColor(colour_of(FAINT))
        if centre - half > x + 8:
            canvas.drawString(x, baseline, "0")
        if centre + half < x + width - 8:
            canvas.drawRightString(x + width, baseline, "1")

    return stack([Block(2 * TICK_PT + BAR_HEIGHT_PT + SCALE_TEXT_PT, draw), gap(6)])
