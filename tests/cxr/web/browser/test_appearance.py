"""At laptop and tablet widths, light and dark: nothing is cut off, and text can be read.

Screenshots are left in build/screenshots.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.cxr.web.browser.acts import LAPTOP, NAME, SCREENSHOTS, TABLET, on_film, upload
from tests.cxr.web.browser.conftest import Visit

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("size", "dark"),
    [(LAPTOP, False), (LAPTOP, True), (TABLET, False), (TABLET, True)],
    ids=["laptop-light", "laptop-dark", "tablet-light", "tablet-dark"],
)
def test_it_fits_and_can_be_read(
    visit: Visit, images: Path, size: tuple[int, int], dark: bool, request: pytest.FixtureRequest
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = request.node.callspec.id
    page = visit(size=size, dark=dark)
    page.get_by_text("Add frontal chest radiographs").wait_for()
    page.screenshot(path=SCREENSHOTS / f"empty-{name}.png")
    upload(page, images / NAME, images / "lateral.dcm")
    page.locator("rect.hit").first.wait_for()
    page.locator("label", has_text="lateral").wait_for()
    left, top, width, height = on_film(page)
    page.mouse.move(left + 0.45 * width, top + 0.7 * height)
    page.screenshot(path=SCREENSHOTS / f"result-{name}.png")
    assert_nothing_overflows(page, size)
    assert_text_is_legible(page)
    page.locator("label", has_text="lateral").click()
    page.get_by_text("Rejected: not assessed").wait_for()
    page.screenshot(path=SCREENSHOTS / f"rejected-{name}.png")
    assert_text_is_legible(page)


def assert_nothing_overflows(page: Any, size: tuple[int, int]) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    left, _, width, height = on_film(page)
    assert left >= 0
    assert left + width <= size[0]
    assert height <= size[1]


CONTRAST = """
() => {
  const channels = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => {
    const share = top[3] / 255;
    return [0, 1, 2].map((i) => top[i] * share + below[i] * (1 - share)).concat(255);
  };
  const light = (colour) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255, 255];
    const own = channels(getComputedStyle(element).backgroundColor);
    return own[3] === 255 ? own : over(own, ground(element.parentElement));
  };
  const bad = [];
  for (const element of document.querySelectorAll(".cxr *, label, button, p")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3);
    const text = own.map((node) => node.data.trim()).join("");
    if (!text || !element.checkVisibility({ opacityProperty: true })) continue;
    // a slider's thumb bears its value outside of itself
    if (element.closest(":disabled, [data-testid=stSliderThumbValue]")) continue;
    const behind = ground(element);
    const front = over(channels(getComputedStyle(element).color), behind);
    const [a, b] = [light(front), light(behind)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}
"""
"""Texts whose contrast is below WCAG 2.1's 4.5 (1.4.3)."""


def assert_text_is_legible(page: Any) -> None:
    assert page.evaluate(CONTRAST) == []
