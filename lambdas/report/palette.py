"""How findings are told apart: a colour, a line style and a number, each enough on its own.

Colours are the Okabe-Ito set, which people with the common colour vision deficiencies can tell
apart (https://jfly.uni-koeln.de/color/), in the order that keeps neighbours most different in
grey print. Black is left out: it is the halo.
"""

from dataclasses import dataclass
from typing import Final

Rgb = tuple[int, int, int]

HALO: Final[Rgb] = (0, 0, 0)
"""Drawn wider beneath every line, so that a line shows on bone as well as on lung."""

INK: Final[Rgb] = (0, 0, 0)
"""Number on a key."""

COLOURS: Final[tuple[Rgb, ...]] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (204, 121, 167),  # reddish purple
    (0, 158, 115),  # bluish green
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)

DASHES: Final[tuple[tuple[float, ...], ...]] = (
    (),  # solid
    (6.0, 2.5),  # dashed
    (1.6, 2.0),  # dotted
    (8.0, 2.0, 1.6, 2.0),  # dash and dot
)
"""Lengths of line and gap, in points of the printed page."""


@dataclass(frozen=True, slots=True)
class FindingStyle:
    """Look of one finding's box and key.

    Attributes:
        colour: sRGB, 0 to 255.
        dash: Lengths of line and gap in points; empty for a solid line.
        ink: Colour of the number on a key filled with `colour`.
    """

    colour: Rgb
    dash: tuple[float, ...]
    ink: Rgb


def finding_style(index: int) -> FindingStyle:
    """Look of the finding at this place in the record, counted from 0.

    Seven colours and four line styles give 28 different looks; after that the number alone tells.
    """
    colour = COLOURS[index % len(COLOURS)]
    # Black on blue falls below the contrast of 4.5 that WCAG 2.1 (1.4.3) asks of small text.
    ink = (255, 255, 255) if colour == (0, 114, 178) else INK
    return FindingStyle(colour=colour, dash=DASHES[index % len(DASHES)], ink=ink)
