"""One self-contained HTML page: sections, tables and figures, no file or host beside it."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE: Final = "#2f6690"
ORANGE: Final = "#d98324"
GREEN: Final = "#3a8f6b"
GREY: Final = "#8a94a0"
RED: Final = "#b3372f"
"""The colours of figures; told apart by the colour-blind, and in print by lightness."""

NO_BREAK_SPACE: Final = "\N{NO-BREAK SPACE}"
"""A cell that holds one is never broken over two lines."""

STATUS_WORDS: Final = {"ok": "ok", "note": "note", "warning": "look", "fault": "fault"}
"""Status of a check and the word that is shown: colour is never the only sign."""

_STYLE: Final = """
:root { color-scheme: light; --ink: #1d2730; --soft: #5b6874; --line: #dde3e8; --wash: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 32px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 21px; margin: 44px 0 10px; padding-top: 14px; border-top: 2px solid var(--ink); }
h3 { font-size: 16px; margin: 26px 0 6px; }
p { margin: 6px 0 12px; max-width: 78ch; }
.lead, figcaption, .small { color: var(--soft); }
nav { margin: 18px 0 8px; padding: 10px 14px; background: var(--wash); border-radius: 6px; }
nav a { color: #2f6690; text-decoration: none; margin-right: 18px; white-space: nowrap; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 12px;
  margin: 18px 0; }
.facts div { border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px; }
.facts b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; margin: 10px 0 18px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; border-bottom: 1.5px solid var(--ink); }
th, td { padding: 5px 16px 5px 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; }
td.long { overflow-wrap: anywhere; min-width: 150px; }
td.whole { white-space: nowrap; }
td.status { width: 62px; }
figure { margin: 14px 0 22px; }
figure img { display: block; max-width: 100%; height: auto; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(205px, 1fr)); gap: 14px; }
.gallery figure { margin: 0; } .gallery img { width: 100%; background: #000; border-radius: 4px; }
.gallery figcaption { font-size: 12.5px; line-height: 1.4; }
figcaption { font-size: 13.5px; max-width: 90ch; margin-top: 4px; }
.mark { display: inline-block; min-width: 46px; text-align: center; border-radius: 4px;
  padding: 0 6px; font-size: 12.5px; font-weight: 600; }
.ok { background: #e2f1e9; color: #1f5f43; } .note { background: #e6eef5; color: #24506f; }
.warning { background: #fbeed8; color: #7a4a0c; } .fault { background: #f8dedb; color: #8a231b; }
.box { border-left: 4px solid var(--line); padding: 8px 14px; margin: 14px 0; color: inherit;
  background: var(--wash); }
.box.fault { border-color: #b3372f; background: #fdf3f2; color: inherit; }
.box.warning { border-color: #d98324; background: #fdf8ef; color: inherit; }
@media print {
  main { padding: 0; max-width: none; }
  nav { display: none; }
  figure { break-inside: avoid; }
}
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell that shows a status; one of `STATUS_WORDS`."""

    status: str


Cell = str | int | float | Mark | None


@dataclass
class Page:
    """A page as it is being written, top to bottom."""

    title: str
    lead: str
    _parts: list[str] = field(default_factory=list)
    _sections: list[tuple[str, str]] = field(default_factory=list)

    def section(self, title: str, text: str = "") -> None:
        """Begin a section that the contents list."""
        anchor = f"section-{len(self._sections) + 1}"
        self._sections.append((anchor, title))
        self._parts.append(f'<h2 id="{anchor}">{_escape(title)}</h2>')
        self.text(text)

    def subsection(self, title: str, text: str = "") -> None:
        """Begin a part of a section."""
        self._parts.append(f"<h3>{_escape(title)}</h3>")
        self.text(text)

    def text(self, text: str) -> None:
        """A paragraph; nothing where the text is empty."""
        if text:
            self._parts.append(f"<p>{_escape(text)}</p>")

    def callout(self, status: str, text: str) -> None:
        """A paragraph that must not be overlooked."""
        self._parts.append(f'<div class="box {_escape(status)}">{_escape(text)}</div>')

    def facts(self, facts: Iterable[tuple[str, Cell]]) -> None:
        """Large numbers, each with its name."""
        cells = "".join(
            f"<div><b>{_cell(value)}</b><span>{_escape(name)}</span></div>" for name, value in facts
        )
        self._parts.append(f'<div class="facts">{cells}</div>')

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """A table; numbers stand to the right."""
        listed = list(rows)
        numeric = [
            bool(listed)
            and all(isinstance(row[i], (int, float)) or row[i] is None for row in listed)
            for i in range(len(header))
        ]
        head = "".join(
            f"<th{' class=number' if right else ''}>{_escape(name)}</th>"
            for name, right in zip(header, numeric, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f"<td class={_kind(value, right)}>{_cell(value)}</td>"
                for value, right in zip(row, numeric, strict=True)
            )
            + "</tr>"
            for row in listed
        )
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def figure(self, figure: Figure, caption: str) -> None:
        """A plot, as vector graphics."""
        self._image(_svg(figure), "image/svg+xml", caption)

    def photograph(self, png: bytes, caption: str) -> None:
        """A picture in pixels."""
        self._image(png, "image/png", caption)

    def gallery(self, pictures: Iterable[tuple[bytes, str]]) -> None:
        """Small JPEG pictures side by side, each with its caption."""
        cells = "".join(
            f'<figure><img alt="{_escape(caption)}" '
            f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
            f"<figcaption>{_escape(caption)}</figcaption></figure>"
            for jpeg, caption in pictures
        )
        self._parts.append(f'<div class="gallery">{cells}</div>')

    def to_html(self) -> str:
        """The whole page."""
        links = " ".join(f'<a href="#{a}">{_escape(title)}</a>' for a, title in self._sections)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_escape(self.title)}</title><style>{_STYLE}</style></head><body><main>"
            f'<h1>{_escape(self.title)}</h1><p class="lead">{_escape(self.lead)}</p>'
            f"<nav>{links}</nav>{''.join(self._parts)}</main></body></html>\n"
        )

    def _image(self, data: bytes, media_type: str, caption: str) -> None:
        source = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        self._parts.append(
            f'<figure><img alt="{_escape(caption)}" src="{source}">'
            f"<figcaption>{_escape(caption)}</figcaption></figure>"
        )


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure in the page's style, drawn without a window system."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _svg(figure: Figure) -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    # fixed salt and no date: one data set gives one page, byte by byte
    with mpl.rc_context({"svg.hashsalt": "page", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", dpi=130, metadata={"Date": None})
    return buffer.getvalue()


def _escape(text: str) -> str:
    return html.escape(str(text))


def _kind(value: Cell, numeric: bool) -> str:
    """Style class of a table's cell."""
    if isinstance(value, Mark):
        return "status"
    if isinstance(value, str) and NO_BREAK_SPACE in value:
        return "whole"
    return "number" if numeric else "long"


def _cell(value: Cell) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, Mark):
        return f'<span class="mark {value.status}">{STATUS_WORDS[value.status]}</span>'
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return _escape(value)
