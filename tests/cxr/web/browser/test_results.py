"""Results: reviewed on the film, and thousands of them listed."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.cxr.review_examples import record
from tests.cxr.web.browser.acts import NAME, SCREENSHOTS, on_film, upload_and_wait
from tests.cxr.web.browser.conftest import Visit
from tests.cxr.web.conftest import save_result
from tests.cxr.web.server import served

pytestmark = pytest.mark.slow


def test_review_with_a_moved_and_a_new_box(visit: Visit, images: Path, kept: Path) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = visit()
    upload_and_wait(page, images / NAME)
    assert list(kept.iterdir()) == []
    page.get_by_role("button", name="Keep this result").click()
    page.get_by_text("Review", exact=True).click()
    first = page.locator('rect.hit[data-id="finding-0"]')
    first.wait_for()
    box = first.bounding_box()
    page.mouse.click(box["x"] + 6, box["y"] + box["height"] - 6)
    corner = page.locator('rect.handle[data-corner="2 3"]')
    corner.wait_for()
    place = corner.bounding_box()
    page.mouse.move(place["x"] + 5, place["y"] + 5)
    page.mouse.down()
    page.mouse.move(place["x"] + 45, place["y"] - 35, steps=6)
    page.mouse.up()
    page.get_by_text("Box corrected").wait_for()

    page.get_by_role("button", name="Add box").click()
    left, top, width, height = on_film(page)
    page.mouse.move(left + 0.2 * width, top + 0.3 * height)
    page.mouse.down()
    page.mouse.move(left + 0.3 * width, top + 0.5 * height, steps=6)
    page.mouse.up()
    page.get_by_text("Added", exact=True).wait_for()
    page.get_by_role("button", name="Save as version 1").click()
    page.get_by_role("button", name="Save as version 2").wait_for()

    (revision,) = json.loads((kept / NAME / "review.json").read_text())["revisions"]
    moved, before = (
        revision["findings"][0]["corrected_box"],
        revision["findings"][0]["box_normalised"],
    )
    assert moved["x_max"] - before["x_max"] == pytest.approx(40 / width, abs=0.01)
    assert moved["y_max"] - before["y_max"] == pytest.approx(-40 / height, abs=0.01)
    added = revision["added"][0]["box_normalised"]
    assert list(added.values()) == pytest.approx([0.2, 0.3, 0.3, 0.5], abs=0.01)

    page.get_by_text("Results", exact=True).click()
    page.get_by_text("1 result: 1 abnormal").wait_for()
    page.screenshot(path=SCREENSHOTS / "results-laptop-light.png")


def test_five_thousand_results_open_in_two_seconds(visit: Visit, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for index in range(5000):
        kind = ("abnormal", "normal", "normal", "rejected")[index % 4]
        save_result(results, record(kind, key=f"{index // 50:03d}/{index:05d}.dcm"))
    with served(f"--results={results}", log=tmp_path / "log") as address:
        page = visit(at=address)
        page.get_by_text("Add radiographs").wait_for()
        begun = time.monotonic()
        page.get_by_text("Results", exact=True).click()
        page.get_by_text("5000 results: 1250 abnormal").wait_for()
        page.locator("canvas").first.wait_for()
        taken = time.monotonic() - begun
    sys.stdout.write(f"5,000 results: {taken:.2f} s\n")
    # a machine that others use takes as many times longer as processes wait for each of its cores
    assert taken < 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
