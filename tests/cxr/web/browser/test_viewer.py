"""The film: window, inversion, zoom, boxes; with the mouse and from the keyboard."""

from pathlib import Path
from typing import Any

import pytest

from tests.cxr.web.browser.acts import FILM, NAME, on_film, settled, upload_and_wait
from tests.cxr.web.browser.conftest import Visit

pytestmark = pytest.mark.slow


def grey_at(page: Any, x: float, y: float) -> int:
    """Of the film as drawn, at a place in fractions."""
    value = page.locator(FILM).evaluate(
        "(c, [x, y]) => c.getContext('2d')"
        ".getImageData(Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data[0]",
        [x, y],
    )
    return int(value)


def test_window_inversion_zoom_and_switches(visit: Visit, images: Path) -> None:
    page = visit()
    upload_and_wait(page, images / NAME)
    places = [(0.3, 0.4), (0.5, 0.5), (0.5, 0.9)]
    before = [grey_at(page, *place) for place in places]
    assert len(set(before)) == 3

    page.get_by_role("button", name="Invert").click()
    settled(page, lambda: grey_at(page, *places[0]), lambda grey: grey == 255 - before[0])
    assert [grey_at(page, *place) for place in places] == [255 - grey for grey in before]
    page.get_by_role("button", name="Reset").click()
    settled(page, lambda: grey_at(page, *places[0]), lambda grey: grey == before[0])

    page.locator("input.width").fill("20")
    narrow = settled(
        page, lambda: [grey_at(page, *place) for place in places], lambda greys: greys != before
    )
    assert max(narrow) - min(narrow) > max(before) - min(before)

    width = on_film(page)[2]
    page.get_by_role("button", name="Larger").click()
    assert on_film(page)[2] == pytest.approx(1.25 * width, rel=0.01)
    page.get_by_role("button", name="Fit").click()
    assert on_film(page)[2] == pytest.approx(width, rel=0.01)

    page.get_by_role("button", name="Boxes").click()
    assert not page.locator("svg.marks").is_visible()
    page.get_by_role("button", name="Boxes").click()
    assert page.locator("svg.marks").is_visible()


def test_all_of_it_works_from_the_keyboard(visit: Visit, images: Path) -> None:
    page = visit()
    upload_and_wait(page, images / NAME)
    page.locator(".stage").focus()
    width = on_film(page)[2]
    page.keyboard.press("+")
    assert on_film(page)[2] > width
    left = on_film(page)[0]
    page.keyboard.press("ArrowRight")
    assert on_film(page)[0] < left
    page.keyboard.press("0")
    assert on_film(page)[2] == pytest.approx(width, rel=0.01)
    page.keyboard.press("b")
    assert not page.locator("svg.marks").is_visible()
    page.keyboard.press("b")
    page.keyboard.press("Tab")  # to the first box
    assert page.locator(".tip").is_visible()
    page.get_by_role("slider", name="Operating point of the triage").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("record and report keep").wait_for()
