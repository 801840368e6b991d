"""The film for viewers and files, and taken back out of a report."""

import io

import numpy as np
import pytest
from PIL import Image

from lambdas.report.film import SAMPLES_HEAD, film_of_report, png_bytes, viewer_samples
from lambdas.report.pdf import render_pdf
from lambdas.shared.radiograph import FloatImage
from tests.lambdas.report.cases import analysed, film, rejected


def ramp(height: int = 600, width: int = 400) -> FloatImage:
    return np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)


def test_viewer_gets_sixteen_bits_row_by_row() -> None:
    pixels = np.asarray([[0.0, 0.5, 1.0], [1.5, -0.5, 1 / 65535]], np.float32)
    data = viewer_samples(pixels)
    assert SAMPLES_HEAD.unpack_from(data) == (3, 2)
    samples = np.frombuffer(data, "<u2", offset=SAMPLES_HEAD.size)
    assert samples.tolist() == [0, 32768, 65535, 65535, 0, 1]


def test_png_keeps_sixteen_bits() -> None:
    with Image.open(io.BytesIO(png_bytes(ramp()))) as image:
        assert image.mode == "I;16"
        read = np.asarray(image, np.float32) / 65535
    assert np.abs(read - ramp()).max() < 1e-5


def test_report_gives_its_film_back() -> None:
    pixels = ramp()
    pdf = render_pdf(analysed(pixels), pixels=pixels)
    found = film_of_report(pdf)
    assert found is not None
    assert found.shape == pixels.shape
    assert np.abs(found - pixels).max() < 0.05  # JPEG


def test_rejected_image_has_no_film() -> None:
    assert film_of_report(render_pdf(rejected(), pixels=None)) is None


def _with_image(content: bytes, length: int) -> bytes:
    head = b"%PDF-1.4\n<< /Filter [ /DCTDecode ] /Subtype /Image /Length " + str(length).encode()
    return head + b" >>\nstream\n" + content + b"\nendstream"


@pytest.mark.parametrize(
    ("pdf", "why"),
    [
        (b"", "nothing"),
        (b"%PDF-1.4 no image", "a PDF without an image"),
        (_with_image(b"\xff\xd8\xff broken", 12), "a JPEG that is none"),
        (_with_image(b"\xff\xd8\xff", 999_999_999), "a length beyond the file"),
        (b"<< /DCTDecode >>\nstream\nabc", "an image without a length"),
    ],
)
def test_other_files_have_no_film(pdf: bytes, why: str) -> None:
    assert film_of_report(pdf) is None, why


def test_picture_too_large_for_a_film_is_not_decoded() -> None:
    target = io.BytesIO()
    Image.new("L", (1201, 10)).save(target, "JPEG")
    assert film_of_report(_with_image(target.getvalue(), len(target.getvalue()))) is None


def test_wide_film_comes_back_too() -> None:
    pixels = film(300, 700)
    found = film_of_report(render_pdf(analysed(pixels), pixels=pixels))
    assert found is not None
    assert found.shape == (300, 700)
