"""Blocks of a fixed width, stacked and broken into pages.

A page needs to know how many follow it ("page 1 of 2"), so blocks are measured first and drawn
afterwards. reportlab's own flow would draw everything twice for that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reportlab.platypus import Paragraph

from lambdas.report.typography import RULE, colour_of, style

Canvas = Any
Draw = Callable[[Canvas, float, float], None]

CELL_GAP_PT: Final = 6.0


@dataclass(frozen=True)
class Block:
    """Something of known height.

    Attributes:
        height: In points.
        draw: Takes the canvas, the left edge and the upper edge, in points from the page's lower
            left corner.
        with_next: Must not be the last block of a page, as a heading must not.
        head: Drawn above this block when it opens a page, as a table's head is.
    """

    height: float
    draw: Draw
    with_next: bool = False
    head: "Block | None" = None


def gap(height: float) -> Block:
    """Empty space."""
    return Block(height, lambda canvas, x, top: None)


def text(
    content: str, look: Any, *, width: float, after: float = 0.0, with_next: bool = False
) -> Block:
    """A paragraph.

    Args:
        content: reportlab's paragraph markup; text from outside goes through `markup` first.
        look: From `typography.style`.
        width: In points.
        after: Space below, in points.
        with_next: As `Block.with_next`.
    """
    paragraph = Paragraph(content, look)
    _, height = paragraph.wrap(width, 1e6)

    def draw(canvas: Canvas, x: float, top: float) -> None:
        paragraph.drawOn(canvas, x, top - height)

    return Block(height + after, draw, with_next=with_next)


def stack(blocks: Sequence[Block]) -> Block:
    """Blocks below each other, as one that is never broken."""

    def draw(canvas: Canvas, x: float, top: float) -> None:
        for block in blocks:
            block.draw(canvas, x, top)
            top -= block.height

    return Block(sum(block.height for block in blocks), draw)


def section(title: str, *, width: float) -> Block:
    """A heading over a hairline; it never ends a page."""
    heading = text(title, style(9.5, bold=True), width=width)

    def draw(canvas: Canvas, x: float, top: float) -> None:
        heading.draw(canvas, x, top)
        hairline(canvas, x, top - heading.height - 1.5, width=width)

    return Block(heading.height + 5, draw, with_next=True)


def row(
    cells: Sequence[Block],
    *,
    widths: Sequence[float],
    padding: float = 2.5,
    head: Block | None = None,
    rule: bool = True,
) -> Block:
    """Cells beside each other, aligned at the top, with a hairline below.

    Args:
        cells: Each made for its width.
        widths: Of the columns, in points, without the gaps between them.
        padding: Space above and below, in points.
        head: As `Block.head`.
        rule: Whether to draw the hairline.
    """
    height = max(cell.height for cell in cells) + 2 * padding
    full_width = sum(widths) + CELL_GAP_PT * (len(widths) - 1)

    def draw(canvas: Canvas, x: float, top: float) -> None:
        left = x
        for cell, width in zip(cells, widths, strict=True):
            cell.draw(canvas, left, top - padding)
            left += width + CELL_GAP_PT
        if rule:
            hairline(canvas, x, top - height, width=full_width)

    return Block(height, draw, head=head, with_next=False)


def hairline(canvas: Canvas, x: float, y: float, *, width: float) -> None:
    """A thin grey line."""
    canvas.setStrokeColor(colour_of(RULE))
    canvas.setLineWidth(0.4)
    canvas.setDash()
    canvas.line(x, y, x + width, y)


def paginate(
    blocks: Sequence[Block], *, height: float, continued: Sequence[Block] = ()
) -> list[list[Block]]:
    """Break a stack of blocks into pages.

    Args:
        blocks: From top to bottom; one taller than a page gets a page of its own.
        height: Of a page, in points.
        continued: Opens every page after the first.
    """
    pages: list[list[Block]] = []
    page: list[Block] = []
    for group in _groups(blocks):
        needed = sum(block.height for block in group)
        if page and sum(block.height for block in page) + needed > height:
            pages.append(page)
            page = [*continued]
            if group[0].head:
                page.append(group[0].head)
        page.extend(group)
    return [*pages, page]


def _groups(blocks: Sequence[Block]) -> list[list[Block]]:
    """Runs of blocks that stay together."""
    groups: list[list[Block]] = []
    open_group = False
    for block in blocks:
        if open_group:
            groups[-1].append(block)
        else:
            groups.append([block])
        open_group = block.with_next
    return groups
