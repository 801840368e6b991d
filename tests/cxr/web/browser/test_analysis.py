"""From a file to the report, for one person and for two, with large and hostile files."""

import json
import re
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from tests.builders import dicom, film
from tests.cxr.web.browser.acts import FILM, NAME, downloaded, on_film, upload, upload_and_wait
from tests.cxr.web.browser.conftest import Visit

pytestmark = pytest.mark.slow


def test_from_the_file_to_the_report(visit: Visit, images: Path) -> None:
    page = visit()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    upload_and_wait(page, images / NAME)
    page.get_by_text("Research use only. Not a medical device. Not a diagnosis.").wait_for()

    record = json.loads(downloaded(page, "Record (JSON)"))
    assert record["triage"]["label"] == "Abnormal"
    left, top, width, height = on_film(page)
    for number, finding in enumerate(record["findings"], start=1):
        drawn = page.locator(f'rect.hit[data-id="f{number}"]').bounding_box()
        box = finding["box_normalised"]
        assert drawn["x"] == pytest.approx(left + box["x_min"] * width, abs=2)
        assert drawn["y"] == pytest.approx(top + box["y_min"] * height, abs=2)
        assert drawn["width"] == pytest.approx((box["x_max"] - box["x_min"]) * width, abs=2)
        assert drawn["height"] == pytest.approx((box["y_max"] - box["y_min"]) * height, abs=2)

    first = page.locator('rect.hit[data-id="f1"]').bounding_box()
    page.mouse.move(first["x"] + 4, first["y"] + first["height"] - 4)
    tip = page.locator(".tip")
    tip.wait_for()
    assert record["findings"][0]["label"] in tip.inner_text()
    assert f"Score {str(record['findings'][0]['score'])[:4]}" in tip.inner_text()

    slider = page.get_by_role("slider", name="Operating point of the triage")
    slider.press("End")
    page.get_by_text("record and report keep Abnormal at").wait_for()
    assert page.locator(".cxr-verdict strong").inner_text() == "Normal"
    page.get_by_role("button", name=re.compile("Back to the operating point")).click()
    page.locator(".cxr-verdict strong").get_by_text("Abnormal").wait_for()

    count = page.locator("rect.hit").count()
    page.get_by_text("Own threshold").click()
    page.get_by_text("only at the thresholds tried").first.wait_for()
    assert page.locator("rect.hit").count() > count

    pdf = pypdfium2.PdfDocument(downloaded(page, "Report (PDF)"))
    text = pdf[0].get_textpage().get_text_range()
    assert record["findings"][0]["label"] in text
    assert record["image_id"] in text
    pdf.close()

    assert all(re.match(r"(https?|wss?)://localhost:|data:|blob:", each) for each in asked), asked
    assert "SMITH" not in page.url
    assert not any("SMITH" in each for each in asked)


def test_two_people_at_once_do_not_meet(visit: Visit, images: Path) -> None:
    first, second = visit(), visit()
    upload(first, images / NAME)
    upload(second, images / "other.dcm")
    for page, mine, yours in ((first, NAME, "other.dcm"), (second, "other.dcm", NAME)):
        page.locator("rect.hit").first.wait_for()
        page.get_by_role("heading", name=mine).wait_for()
        assert page.get_by_text(yours).count() == 0
    records = [json.loads(downloaded(page, "Record (JSON)")) for page in (first, second)]
    assert [each["source"]["key"] for each in records] == [NAME, "other.dcm"]


def test_film_of_sixty_megabytes(visit: Visit, tmp_path: Path) -> None:
    pixels = np.kron(film(height=640, width=600), np.ones((9, 9), np.uint16))[:5600, :5400]
    path = tmp_path / "large.dcm"
    path.write_bytes(dicom(np.ascontiguousarray(pixels)))
    assert path.stat().st_size > 60_000_000
    page = visit()
    upload(page, path)
    page.locator(".cxr-verdict strong").wait_for()
    page.locator(FILM).wait_for()
    page.get_by_text("Image", exact=True).click()
    page.get_by_text(re.compile("5400 . 5600 px")).wait_for()


def bomb(side: int = 60_000) -> bytes:
    """A PNG of a few kilobytes that claims 3.6 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(4_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_hostile_files_are_refused_and_the_page_goes_on(
    visit: Visit, images: Path, tmp_path: Path, log: Path
) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "page.png").write_text("<html><script>alert(1)</script></html>")
    page = visit()
    page.on("dialog", lambda dialog: pytest.fail("a script of the file ran"))
    upload(page, tmp_path / "bomb.png", tmp_path / "page.png", images / NAME)
    page.get_by_text("Rejected: not assessed").wait_for()
    page.get_by_text("What to do.").wait_for()
    page.locator("label", has_text="SMITH").wait_for()
    page.locator("label", has_text="SMITH").click()
    page.locator("rect.hit").first.wait_for()
    assert "SMITH" not in log.read_text()


def test_warm_page_shows_findings_soon(visit: Visit, images: Path) -> None:
    """Printed with -s; the limit leaves room for a busy machine."""
    page = visit()
    upload_and_wait(page, images / "other.dcm")
    taken = []
    for index in range(3):
        path = images / f"warm_{index}.tif"
        path.write_bytes((images / NAME).read_bytes() + bytes(index + 1))
        begun = time.monotonic()
        upload(page, path)
        page.locator("h1", has_text=path.name).wait_for()
        page.locator("rect.hit").nth(2).wait_for()
        taken.append(time.monotonic() - begun)
    sys.stdout.write(f"from upload to findings: {[round(value, 2) for value in taken]} s\n")
    assert min(taken) < 10


def test_people_who_come_one_after_another_start_empty(visit: Visit, images: Path) -> None:
    upload_and_wait(visit(), images / NAME)
    page = visit()
    page.get_by_text("Add frontal chest radiographs").wait_for()
    assert page.get_by_text("SMITH").count() == 0
