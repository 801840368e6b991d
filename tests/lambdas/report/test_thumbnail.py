"""thumbnail.jpg, and the stage function that makes both files."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from lambdas.report.palette import COLOURS, DASHES, finding_style
from lambdas.report.report import report
from lambdas.report.thumbnail import LONG_SIDE_PX, render_thumbnail
from lambdas.shared.records import REPORT_FILE, THUMBNAIL_FILE
from tests.lambdas.report.cases import analysed, film, finding, radiograph, rejected


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "JPEG"
    assert not image.getexif()
    return image.convert("RGB")


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1200, 900), (270, 360)), ((100, 200), (360, 180)), ((1200, 1), (1, 360))],
)
def test_longer_side_is_fixed(shape: tuple[int, int], size: tuple[int, int]) -> None:
    pixels = film(*shape)
    assert opened(render_thumbnail(analysed(pixels), pixels=pixels)).size == size
    assert max(size) == LONG_SIDE_PX


def test_box_is_drawn_in_place() -> None:
    pixels = film(600, 600)
    record = analysed(pixels, [finding(box=(0.25, 0.25, 0.75, 0.75))])
    image = np.asarray(opened(render_thumbnail(record, pixels=pixels))).astype(int)
    spread = image.max(axis=2) - image.min(axis=2) > 60  # orange on a grey film
    rows, columns = np.nonzero(spread[95:])  # below the key
    assert columns.min() == pytest.approx(90, abs=2)
    assert columns.max() == pytest.approx(270, abs=2)
    assert rows.max() + 95 == pytest.approx(270, abs=2)
    assert not spread[100:260, 100:260].any()


def test_rejected_tile_is_neutral_and_says_so() -> None:
    tile = np.asarray(opened(render_thumbnail(rejected(), pixels=None))).astype(int)
    assert (tile.max(axis=2) - tile.min(axis=2)).max() <= 6  # no colour
    dark = tile.max(axis=2) < 120
    rows, columns = np.nonzero(dark)
    # One line of letters in the middle, nothing else.
    assert 0.01 * dark.size < dark.sum() < 0.2 * dark.size
    assert 150 < rows.min() < rows.max() < 220
    assert columns.min() + columns.max() == pytest.approx(LONG_SIDE_PX, abs=8)


def test_stage_makes_both_files_the_same_every_time() -> None:
    pixels = film()
    record = analysed(pixels, [finding()])
    files = report(record, radiograph=radiograph(pixels))
    assert set(files) == {REPORT_FILE, THUMBNAIL_FILE}
    assert files[REPORT_FILE].startswith(b"%PDF-")
    assert report(record, radiograph=radiograph(pixels)) == files


def test_stage_reports_a_rejected_image_without_a_radiograph() -> None:
    files = report(rejected(), radiograph=None)
    assert files[REPORT_FILE].startswith(b"%PDF-")
    assert opened(files[THUMBNAIL_FILE]).size == (360, 360)


def test_neighbouring_findings_differ_in_colour_and_line() -> None:
    looks = [finding_style(index) for index in range(len(COLOURS) * len(DASHES))]
    assert len({(look.colour, look.dash) for look in looks}) == len(looks)
    for first, second in itertools.pairwise(looks):
        assert first.colour != second.colour
        assert first.dash != second.dash


def test_numbers_are_legible_on_every_colour() -> None:
    def luminance(colour: tuple[int, int, int]) -> float:  # WCAG 2.1
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (channel / 255 for channel in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for index in range(len(COLOURS)):
        look = finding_style(index)
        low, high = sorted((luminance(look.colour), luminance(look.ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5
