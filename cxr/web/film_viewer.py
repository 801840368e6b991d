"""The radiograph on the page: a component of our own, drawn in the browser from 16-bit samples.

It is mounted twice. One instance carries the film, which never changes and so travels once; the
other gets the boxes on every run and sends back what a person does to them.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import streamlit as st

from lambdas.report.film import viewer_samples
from lambdas.report.palette import finding_style
from lambdas.shared.boxes import UnitBox
from lambdas.shared.radiograph import FloatImage

_FILES: Final = Path(__file__).with_name("film")
_SCRIPTS: Final = ("picture.js", "marks.js", "viewer.js", "hands.js")
"""One module in this order: the component takes one."""

NAME_CHARACTERS: Final = 32
"""Of a film's name: an image_id."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A box on the film.

    Attributes:
        id: Names it in events.
        number: As in the table; also chooses colour and line, as in the report.
        label: Beside the number.
        title: First line of what hovering says.
        detail: Second line.
        box: Edges.
        state: `below` (a threshold), `denied` (by the reviewer) or empty.
        editable: Whether a reviewer may move it.
    """

    id: str
    number: int
    label: str
    title: str
    detail: str
    box: UnitBox
    state: str = ""
    editable: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person did to a box.

    Attributes:
        action: `move`, `add` or `remove`.
        id: Of the mark; None for a new box.
        box: Where it is now; None where it was removed.
    """

    action: Literal["move", "add", "remove"]
    id: str | None
    box: UnitBox | None


def film_viewer(
    film: FloatImage,
    *,
    name: str,
    said: str,
    marks: Sequence[Mark],
    letters: tuple[str, str] | None,
    key: str,
    on_edit: Callable[[Edit], None] | None = None,
) -> None:
    """Show a radiograph.

    Args:
        film: (H, W) in [0, 1].
        name: Of the film: an image_id.
        said: What a screen reader says of the image.
        marks: Boxes.
        letters: Sides of the patient at the left and right edge; None where unknown.
        key: Of the component.
        on_edit: Called before the next run; None where boxes stay as they are.
    """
    if len(name) != NAME_CHARACTERS:
        raise ValueError(f"name has {len(name)} characters, expected {NAME_CHARACTERS}")
    mount = _component()

    def edited() -> None:
        edit = _edit(st.session_state[key].edit)
        if edit is not None and on_edit is not None:
            on_edit(edit)

    data = {
        "film": name,
        "said": said,
        "marks": [_mark_data(mark) for mark in marks],
        "letters": list(letters) if letters else None,
        "editing": on_edit is not None,
    }
    mount(data=data, key=key, on_edit_change=edited)
    mount(data=name.encode() + _samples(name, film), key=f"{key}-film")


def _samples(name: str, film: FloatImage) -> bytes:
    """Of the film; kept while it is looked at, for the page runs at every click."""
    kept = st.session_state.get("film_samples")
    if kept is None or kept[0] != (name, film.shape):
        kept = ((name, film.shape), viewer_samples(film))
        st.session_state["film_samples"] = kept
    samples: bytes = kept[1]
    return samples


def _mark_data(mark: Mark) -> dict[str, Any]:
    look = finding_style(mark.number - 1)
    box = asdict(mark.box)
    return {
        "id": mark.id,
        "number": mark.number,
        "label": mark.label,
        "title": mark.title,
        "detail": mark.detail,
        "said": f"{mark.number}: {mark.title}. {mark.detail}",
        "box": [box[edge] for edge in ("x_min", "y_min", "x_max", "y_max")],
        "colour": "#{:02x}{:02x}{:02x}".format(*look.colour),
        "ink": "#{:02x}{:02x}{:02x}".format(*look.ink),
        # points of print are too fine for a screen
        "dash": [round(1.4 * length, 1) for length in look.dash],
        "state": mark.state,
        "editable": mark.editable,
    }


def _edit(sent: Any) -> Edit | None:
    """An event from the browser; None where it is not what the viewer sends."""
    if not isinstance(sent, dict) or sent.get("action") not in ("move", "add", "remove"):
        return None
    mark, edges = sent.get("id"), sent.get("box") or ()
    if sent["action"] != "add" and not isinstance(mark, str):
        return None
    if sent["action"] == "remove":
        return Edit("remove", mark, None)
    try:
        return Edit(sent["action"], mark, UnitBox(*(float(edge) for edge in edges)))
    except (TypeError, ValueError):
        return None


@functools.cache
def _component() -> Any:
    return st.components.v2.component(
        "cxr_film",
        html=(_FILES / "viewer.html").read_text(encoding="utf-8"),
        css=(_FILES / "viewer.css").read_text(encoding="utf-8"),
        js="\n".join((_FILES / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    )
