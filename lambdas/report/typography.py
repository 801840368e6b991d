"""Typefaces, text styles and the cleaning of text from outside.

DejaVu Sans is shipped because the fonts that every PDF viewer has know Latin-1 only; reportlab
embeds the glyphs a report uses. Fonts are parsed once for a process: that takes longer than a
report.
"""

import functools
import unicodedata
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR: Final = "DejaVuSans"
BOLD: Final = "DejaVuSans-Bold"

TEXT: Final = "#1a1a1a"
FAINT: Final = "#595959"
"""Contrast 7 to 1 on white: still legible in grey print."""
RULE: Final = "#bfbfbf"

LONG_TEXT_CHARACTERS: Final = 1500
"""A message longer than this is cut: no reason needs more, and a page must hold it."""


def font_path(name: str) -> Path:
    """File of a shipped typeface."""
    return Path(__file__).with_name("fonts") / f"{name}.ttf"


@functools.cache
def register_fonts() -> None:
    """Make the shipped typefaces known to reportlab, once for a process."""
    for name in (REGULAR, BOLD):
        # Shaping needs another library and would change nothing for these scripts.
        pdfmetrics.registerFont(TTFont(name, str(font_path(name)), shapable=False))
    # So that <b> in a paragraph finds the bold face; there is no italic one.
    pdfmetrics.registerFontFamily(
        REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD
    )


@functools.cache
def style(
    size: float, *, bold: bool = False, colour: str = TEXT, leading: float | None = None
) -> ParagraphStyle:
    """Style of a paragraph.

    Args:
        size: In points.
        bold: Weight.
        colour: As `#rrggbb`.
        leading: Distance of lines in points; 1.3 times the size if None.
    """
    register_fonts()
    return ParagraphStyle(
        f"{size} {bold} {colour} {leading}",
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=leading or 1.3 * size,
        textColor=colour_of(colour),
        splitLongWords=1,  # an identifier without a blank must not leave its column
    )


@functools.cache
def colour_of(hex_colour: str) -> Color:
    """Parsed once."""
    return HexColor(hex_colour)


def plain(text: str, *, limit: int = LONG_TEXT_CHARACTERS) -> str:
    """Text that a font can draw: composed, one line, nothing invisible, cut at `limit`.

    Letters with combining accents are composed (NFC), for no shaping composes them later. Control
    characters become blanks, format characters (which can reverse what a reader sees) vanish, and
    halves of surrogate pairs, left by undecodable names, become U+FFFD.
    """
    kept = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif category == "Cs":
            kept.append("\N{REPLACEMENT CHARACTER}")
        elif category != "Cf":
            kept.append(character)
    shown = " ".join("".join(kept).split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def markup(text: str, *, limit: int = LONG_TEXT_CHARACTERS) -> str:
    """`plain` text as reportlab's paragraphs take it: `&`, `<` and `>` are letters, not markup."""
    return escape(plain(text, limit=limit))
