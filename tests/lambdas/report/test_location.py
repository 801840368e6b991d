"""Location in words."""

import pytest

from lambdas.report.location import UNKNOWN_NOTE, location_words, sides_of


def box(x_min: float, y_min: float, x_max: float, y_max: float) -> dict[str, float]:
    return {"x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max}


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ((0.1, 0.05, 0.3, 0.25), "right, upper zone"),
        ((0.7, 0.4, 0.9, 0.6), "left, middle zone"),
        ((0.7, 0.7, 0.9, 0.95), "left, lower zone"),
        ((0.1, 0.4, 0.3, 0.9), "right, middle and lower zones"),
        ((0.3, 0.4, 0.8, 0.62), "across the midline, middle zone"),  # a heart
        ((0.45, 0.05, 0.55, 0.95), "across the midline, all zones"),  # a spine
        ((0.1, 0.3, 0.54, 0.36), "right, upper and middle zones"),  # a tenth past the midline
        ((0.5, 0.0, 1.0, 1 / 3), "left, upper zone"),  # edges on the borders
        ((0.2, 0.9, 0.2, 0.9), "right, lower zone"),  # rounding left no area
    ],
)
def test_conventional_display(edges: tuple[float, ...], expected: str) -> None:
    assert location_words(box(*edges), sides_of(["L", "F"])) == expected


@pytest.mark.parametrize(
    ("orientation", "left_half", "letters"),
    [
        (["L", "F"], "right", ("R", "L")),
        (["R", "F"], "left", ("L", "R")),
        (["LA", "FP"], "right", ("R", "L")),  # slightly oblique
        (["L ", "f"], "right", ("R", "L")),  # padded, lower case
        (["L", "H"], "image left", None),  # upside down
        (["F", "R"], "image left", None),  # turned by 90 degrees
        (["A", "F"], "image left", None),  # a lateral view
        (["LEFT", "FOOT"], "image left", None),  # not DICOM's terms
        (["", ""], "image left", None),
        (None, "image left", None),
    ],
)
def test_sides_come_from_patient_orientation(
    orientation: list[str] | None, left_half: str, letters: tuple[str, str] | None
) -> None:
    sides = sides_of(orientation)
    assert location_words(box(0.1, 0.1, 0.2, 0.2), sides) == f"{left_half}, upper zone"
    assert sides.letters == letters


def test_missing_orientation_is_said() -> None:
    assert sides_of(None).note == UNKNOWN_NOTE
    assert sides_of(["", "F"]).note == UNKNOWN_NOTE
    assert "A\\F" in sides_of(["A", "F"]).note


def test_text_in_patient_orientation_is_not_repeated() -> None:
    sides = sides_of(["SMITH", "JOHN"])
    assert "SMITH" not in sides.note.upper()
    assert "no upright frontal display" in sides.note
