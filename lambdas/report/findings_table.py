"""The findings: a table whose keys are those on the radiograph, or why there is none."""

from collections.abc import Sequence
from typing import Final

from lambdas.report import words
from lambdas.report.blocks import Block, Canvas, gap, row, section, stack, text
from lambdas.report.location import Sides, location_words
from lambdas.report.overlay import KEY_PT, draw_key, draw_line_sample
from lambdas.report.palette import finding_style
from lambdas.report.typography import FAINT, markup, style
from lambdas.shared.records import Record

COLUMNS: Final = ("No.", "Finding", "Score", "Threshold", "Location", "Box, px (x, y \u2013 x, y)")
WIDTHS_PT: Final = (34.0, 146.0, 31.0, 43.0, 130.0, 101.0)

LABEL_CHARACTERS: Final = 160
"""A label longer than this is cut; the record has it whole."""

SCORE_NOTE: Final = (
    "Scores run from 0 to 1 and are no probabilities. Zones are thirds of the image's height, "
    "sides halves of its width."
)


def findings_blocks(record: Record, sides: Sides, *, width: float) -> list[Block]:
    """The section on findings.

    Args:
        record: Of an analysed image.
        sides: From `sides_of`.
        width: In points; the table's own width is the page's.
    """
    blocks = [section("Findings", width=width)]
    blocks += [
        text(markup(sentence), style(9, bold=not record["findings"]), width=width, after=4)
        for sentence in words.findings_summary(record)
    ]
    if record["findings"]:
        head = _head()
        blocks += [
            head,
            *(
                _finding_row(each, index, sides, head)
                for index, each in enumerate(record["findings"])
            ),
            gap(3),
            text(SCORE_NOTE, style(6.8, colour=FAINT), width=width, after=1.5),
        ]
    return [*blocks, text(markup(words.detectable(record)), style(7.5), width=width)]


def _head() -> Block:
    look = style(6.8, bold=True, colour=FAINT)
    cells = [text(name, look, width=width) for name, width in zip(COLUMNS, WIDTHS_PT, strict=True)]
    head = row(cells, widths=WIDTHS_PT, padding=1.5)
    return Block(head.height, head.draw, with_next=True)


def _finding_row(finding: Record, index: int, sides: Sides, head: Block) -> Block:
    score, threshold = words.compare_numbers(finding["score"], finding["threshold"], reached=True)
    values = (
        score,
        threshold,
        location_words(finding["box_normalised"], sides),
        words.box_words(finding["box"]),
    )
    cells: Sequence[Block] = [
        _key(index),
        _name(finding),
        *(
            text(markup(value), style(7.8), width=width)
            for value, width in zip(values, WIDTHS_PT[2:], strict=True)
        ),
    ]
    return row(cells, widths=WIDTHS_PT, padding=2.2, head=head)


def _name(finding: Record) -> Block:
    width = WIDTHS_PT[1]
    lines = [
        text(markup(finding["label"], limit=LABEL_CHARACTERS), style(7.8, bold=True), width=width)
    ]
    if code := words.code_words(finding["code"]):
        look = style(6.2, colour=FAINT)
        lines.append(text(markup(code, limit=LABEL_CHARACTERS), look, width=width))
    return stack(lines)


def _key(index: int) -> Block:
    """The number as on the radiograph, and a piece of its line."""

    def draw(canvas: Canvas, x: float, top: float) -> None:
        draw_key(canvas, index, x=x + 0.5, top=top)
        draw_line_sample(
            canvas,
            finding_style(index),
            x=x + KEY_PT[0] + 3,
            y=top - KEY_PT[1] / 2,
            width=WIDTHS_PT[0] - KEY_PT[0] - 3,
        )

    return Block(KEY_PT[1], draw)
