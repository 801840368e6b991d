"""What the browser sends is taken for what it is: anything."""

from typing import Any

import numpy as np
import pytest

from cxr.web.film_viewer import Edit, Mark, _edit, _mark_data, film_viewer
from lambdas.report.palette import finding_style
from lambdas.shared.boxes import UnitBox


@pytest.mark.parametrize(
    ("sent", "edit"),
    [
        (
            {"action": "move", "id": "finding-0", "box": [0.1, 0.2, 0.3, 0.4]},
            Edit("move", "finding-0", UnitBox(0.1, 0.2, 0.3, 0.4)),
        ),
        (
            {"action": "add", "id": None, "box": [0, 0, 1, 1]},
            Edit("add", None, UnitBox(0.0, 0.0, 1.0, 1.0)),
        ),
        ({"action": "remove", "id": "added-1", "box": None}, Edit("remove", "added-1", None)),
        ({"action": "move", "id": "x", "box": [0.3, 0.2, 0.1, 0.4]}, None),  # inside out
        ({"action": "move", "id": "x", "box": [0.1, 0.2, 0.3, 1.4]}, None),  # beyond the film
        ({"action": "move", "id": "x", "box": [0.1, 0.2, float("nan"), 0.4]}, None),
        ({"action": "move", "id": "x", "box": ["a", 0, 1, 1]}, None),
        ({"action": "move", "id": "x", "box": [0, 1]}, None),
        ({"action": "move", "id": 5, "box": [0, 0, 1, 1]}, None),
        ({"action": "add", "id": None}, None),
        ({"action": "eval"}, None),
        ("move", None),
        (None, None),
    ],
)
def test_events(sent: Any, edit: Edit | None) -> None:
    assert _edit(sent) == edit


def test_marks_look_as_in_the_report() -> None:
    box = UnitBox(0.1, 0.2, 0.3, 0.4)
    sent = _mark_data(Mark("f2", 2, "Scoliosis 0.88", "Scoliosis", "Score 0.88", box))
    look = finding_style(1)
    assert sent["colour"] == "#{:02x}{:02x}{:02x}".format(*look.colour)
    assert len(sent["dash"]) == len(look.dash)
    assert sent["box"] == [0.1, 0.2, 0.3, 0.4]
    assert sent["said"] == "2: Scoliosis. Score 0.88"


def test_film_needs_a_name_of_its_length() -> None:
    with pytest.raises(ValueError, match="expected 32"):
        film_viewer(
            np.zeros((2, 2), np.float32), name="x", said="", marks=[], letters=None, key="film"
        )
