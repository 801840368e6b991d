"""index.html: every result on one page that works from disk and asks no other machine for anything.

All text of the page comes from file names, records and bundles, so all of it is escaped; the layout
and the script stand in index_page.html.
"""

import html
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cxr.keys import SUMMARY_FILE, shown
from cxr.results import ABNORMAL, NORMAL, REJECTED, Result, number_name
from lambdas.report.formats import DICOM_GSPS, DICOM_PDF, DICOM_SR, FHIR
from lambdas.report.words import RESEARCH_ONLY

_SIGNS: Final = {ABNORMAL: "\u25b2", NORMAL: "\u25cf", REJECTED: "\u2715"}
"""Beside the colour: who cannot tell the colours apart can tell these."""

_FORMAT_NAMES: Final = {DICOM_SR: "SR", DICOM_GSPS: "GSPS", DICOM_PDF: "DICOM PDF", FHIR: "FHIR"}
"""Short enough for one line each."""


def index_page(results: Sequence[Result], *, warnings: Sequence[str], model_set: str) -> bytes:
    """The page's content.

    Args:
        results: Rows, in the order to show them.
        warnings: Sentences of the models, each shown once above the table.
        model_set: That made the results.
    """
    kinds = Counter(result.kind for result in results)
    sentences = (RESEARCH_ONLY, *dict.fromkeys(warnings))
    parts = {
        "facts": _text(
            f"{len(results)} {'image' if len(results) == 1 else 'images'}: "
            + ", ".join(f"{kinds[kind]} {kind}" for kind in (ABNORMAL, NORMAL, REJECTED))
        ),
        "warnings": "\n".join(f"<p>{_text(sentence)}</p>" for sentence in sentences),
        "buttons": "\n".join(
            [
                _button("", "All", len(results)),
                *(_button(kind, kind.capitalize(), kinds[kind]) for kind in _SIGNS),
            ]
        ),
        "number_name": _text(number_name(results)),
        "rows": "\n".join(_row(result) for result in results),
        "summary": SUMMARY_FILE,
        "model_set": _text(model_set),
    }
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    # one pass, so that a file called {{rows}} stays a file name
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], template).encode()


def _row(result: Result) -> str:
    size = f"{result.width_px} \u00d7 {result.height_px} px" if result.width_px else ""
    note = ", ".join(part for part in (result.view, size) if part)
    cells = [
        f"<td>{_preview(result)}</td>",
        f'<td data-key="{_text(result.key)}">{_text(result.key)}{_small(note)}</td>',
        f'<td data-key="{result.kind}"><span class="kind">{_SIGNS[result.kind]} '
        f"{_text(result.label or result.kind.capitalize())}</span></td>",
        _number_cell(result),
        _findings_cell(result),
        f"<td>{_links(result)}</td>",
    ]
    return f'<tr class="{result.kind}">{"".join(cells)}</tr>'


def _preview(result: Result) -> str:
    if result.thumbnail_path is None or result.kind == REJECTED:
        return '<span class="preview none">no preview</span>'
    image = (
        f'<img src="{_url(result.thumbnail_path)}" loading="lazy" decoding="async" '
        f'width="136" height="136" alt="Preview of {_text(result.key)}">'
    )
    return f'<a class="preview" href="{_url(result.thumbnail_path)}">{image}</a>'


def _number_cell(result: Result) -> str:
    if result.probability is None:
        return '<td class="number"></td>'
    return (
        f'<td class="number" data-key="{result.probability}">{_text(result.number_text)}'
        f"{_small(f'operating point {result.threshold_text}')}</td>"
    )


def _findings_cell(result: Result) -> str:
    if result.rejection_message:
        code = _small((result.rejection_code or "").replace("_", " "))
        return f"<td>{_text(result.rejection_message)}{code}</td>"
    if result.findings:
        items = "".join(
            f"<li>{_text(label)} <span>{score:.2f}</span></li>" for label, score in result.findings
        )
        return f'<td data-key="{len(result.findings)}"><ul>{items}</ul></td>'
    if result.detected:
        return f'<td data-key="0">{_text(result.findings_text)}</td>'
    return f"<td>{_small('not looked for')}</td>"


def _links(result: Result) -> str:
    links = [
        ("Report", result.report_path),
        ("Record", result.record_path),
        *((short, result.format_paths.get(name)) for name, short in _FORMAT_NAMES.items()),
    ]
    return "".join(
        f'<div><a href="{_url(path)}">{name}</a></div>' for name, path in links if path is not None
    )


def _button(kind: str, name: str, count: int) -> str:
    pressed = "false" if kind else "true"
    sign = f"{_SIGNS[kind]} " if kind else ""
    return (
        f'<button type="button" data-kind="{kind}" aria-pressed="{pressed}">'
        f"{sign}{name} {count}</button>"
    )


def _small(text: str) -> str:
    return f"<small>{_text(text)}</small>" if text else ""


def _text(text: str) -> str:
    return html.escape(shown(text))


def _url(path: str) -> str:
    """A relative link: every byte of a name that means something in a URL is escaped.

    `./` in front, or a first folder called `a:b` would be taken for a scheme.
    """
    return "./" + quote(path.encode("utf-8", "surrogateescape"))
