"""report.pdf: what it says, what it never says, and where it draws."""

import json
import subprocess
import sys

import numpy as np
import pypdfium2 as pdfium
import pytest

from lambdas.report.overlay import HALO_PT
from lambdas.report.palette import COLOURS
from lambdas.report.pdf import render_pdf
from lambdas.shared.records import complete
from tests.lambdas.report.cases import (
    CARDIOMEGALY,
    PATIENT_KEY,
    PRIMARY,
    analysed,
    film,
    finding,
    image_area,
    page_texts,
    pdf_text,
    rejected,
    rendered,
)

RESEARCH = "Research use only. Not a medical device. Not a diagnosis."


def test_report_says_what_a_reader_needs() -> None:
    pixels = film()
    record = analysed(pixels, [finding(code=CARDIOMEGALY)])
    text = pdf_text(render_pdf(record, pixels=pixels))
    for expected in (
        record["image_id"],
        record["model_set"],
        "Abnormal",
        "Probability of Abnormal: 0.87",
        "Operating point 0.50: this image is at or above it.",
        "Cardiomegaly",
        "UMLS C0018800",
        "0.91",
        "0.35",
        "right, upper and middle zones",
        "100, 240 \u2013 300, 480",  # of the stored image, twice the size of the pixels
        "1000 \u00d7 1200 px",
        "MONOCHROME1",
        "0.143 \u00d7 0.139 mm",
        "JPEG 2000 Image Compression (Lossless Only)",
        "ab12ab12ab12",
        "demo-classification 1.2.3",
        "demo-detection 1.2.3",
        "phantoms: drawn frontal radiographs",
        "Thresholds not valid on patients: the triage model was trained on phantoms.",
        "Thresholds not valid on patients: the detection model was trained on phantoms.",
        "Other findings are not assessed",
        "Page 1 of 1",
        RESEARCH,
    ):
        assert expected in text, expected


def test_models_trained_on_patients_carry_no_threshold_warning() -> None:
    pixels = film()
    text = pdf_text(render_pdf(analysed(pixels, kind="patients"), pixels=pixels))
    assert "Thresholds not valid" not in text
    assert RESEARCH in text


def test_neither_key_nor_clock_is_printed_or_embedded() -> None:
    pixels = film()
    record = complete(
        analysed(pixels, [finding()]),
        outputs={"report": "report.pdf"},
        timings={"finished_at": "2031-07-04T12:34:56+00:00", "total_ms": 98765.4},
    )
    pdf = render_pdf(record, pixels=pixels)
    text = pdf_text(pdf)
    with pdfium.PdfDocument(pdf) as document:
        metadata = " ".join(document.get_metadata_dict().values())
    for forbidden in (PATIENT_KEY, "SMITH", "JOHN", "2031", "12:34", "98765"):
        assert forbidden not in text
        assert forbidden not in metadata
        assert forbidden.encode() not in pdf


def test_metadata_name_the_report_and_nobody() -> None:
    pixels = film()
    record = analysed(pixels)
    pdf = render_pdf(record, pixels=pixels)
    with pdfium.PdfDocument(pdf) as document:
        metadata = document.get_metadata_dict()
    assert metadata["Title"] == f"Chest radiograph: automated analysis {record['image_id']}"
    assert metadata["Author"] == "cxr-batch"
    assert metadata["CreationDate"] == "D:20000101000000+00'00'"  # reportlab's constant
    assert b"/Lang (en)" in pdf


def test_same_record_gives_the_same_bytes() -> None:
    pixels = film()
    record = analysed(pixels, [finding(), finding("Pleural effusion", box=(0.6, 0.6, 0.9, 0.9))])
    before = json.dumps(record)
    first = render_pdf(record, pixels=pixels)
    render_pdf(rejected(), pixels=None)  # another report between must leave no trace
    assert render_pdf(record, pixels=pixels) == first
    assert json.dumps(record) == before


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process() -> None:
    program = (
        "import hashlib; from tests.lambdas.report.cases import *; "
        "from lambdas.report.pdf import render_pdf; p = film(90, 80); "
        "r = analysed(p, [finding()]); "
        "import sys; sys.stdout.write(hashlib.sha256(render_pdf(r, pixels=p)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 64


@pytest.mark.parametrize(
    ("height", "width"),
    [(1200, 1000), (800, 1200), (1200, 300), (300, 1200)],  # portrait, wide, very tall, very wide
)
def test_box_is_drawn_where_the_record_says(height: int, width: int) -> None:
    pixels = film(height, width)
    box = (0.25, 0.4, 0.75, 0.8)
    pdf = render_pdf(analysed(pixels, [finding(box=box)]), pixels=pixels)
    left, top, right, bottom = image_area(pdf)
    # The image keeps its shape.
    assert (right - left) / (bottom - top) == pytest.approx(width / height, rel=0.01)
    scale = 2.0
    page = rendered(pdf, scale=scale).astype(int)
    crop = page[
        round(top * scale) : round(bottom * scale), round(left * scale) : round(right * scale)
    ]
    coloured = np.abs(crop - COLOURS[0]).max(axis=2) < 40
    rows, columns = np.nonzero(coloured)
    # Right of the key, which stands above the box's upper left corner, only lines are coloured.
    inside = columns > 0.6 * columns.max() + 0.4 * columns.min()
    assert columns.min() == pytest.approx(box[0] * crop.shape[1], abs=2)
    assert columns.max() == pytest.approx(box[2] * crop.shape[1], abs=2)
    assert rows.max() == pytest.approx(box[3] * crop.shape[0], abs=2)
    assert rows[inside].min() == pytest.approx(box[1] * crop.shape[0], abs=2)


def test_boxes_are_vectors_and_the_image_is_grey_jpeg() -> None:
    pixels = film(400, 400)
    pdf = render_pdf(analysed(pixels, [finding()]), pixels=pixels)
    with pdfium.PdfDocument(pdf) as document:
        page = document[0]
        images = [each for each in page.get_objects() if isinstance(each, pdfium.PdfImage)]
        assert [image.get_filters() for image in images] == [["DCTDecode"]]
        assert images[0].get_px_size() == (400, 400)
        page.close()
    # Without findings the picture has no colour at all.
    plain = render_pdf(analysed(pixels), pixels=pixels)
    left, top, right, bottom = (round(edge) for edge in image_area(plain))
    crop = rendered(plain)[top + 2 : bottom - 2, left + 2 : right - 2].astype(int)
    assert (crop.max(axis=2) == crop.min(axis=2)).all()
    assert 126 <= int(np.median(crop)) <= 129


def test_line_has_a_dark_halo_on_a_white_film() -> None:
    pixels = film(400, 400, level=1.0)
    pdf = render_pdf(analysed(pixels, [finding(box=(0.3, 0.3, 0.7, 0.7))]), pixels=pixels)
    left, top, right, bottom = image_area(pdf)
    scale = 4.0
    page = rendered(pdf, scale=scale)
    row = page[round((top + bottom) / 2 * scale)].max(axis=1)
    edge = round((left + 0.3 * (right - left)) * scale)
    around = row[edge - 8 : edge + 8]
    dark = int((around < 60).sum())
    assert dark >= 2  # both rims of the halo, about (2.5 - 1.2) / 2 points each
    assert dark <= HALO_PT * scale


def test_sides_are_marked_where_they_are_known() -> None:
    pixels = film()
    conventional = pdf_text(render_pdf(analysed(pixels), pixels=pixels))
    mirrored = pdf_text(
        render_pdf(analysed(pixels, [finding()], orientation=("R", "F")), pixels=pixels)
    )
    unknown = pdf_text(render_pdf(analysed(pixels, [finding()], orientation=None), pixels=pixels))
    assert "R, L: the patient's right and left" in conventional
    assert "Mirrored: image left is patient left" in mirrored
    assert "left, upper and middle zones" in mirrored
    assert "right, upper" not in mirrored
    assert "ide unknown: the file gives no Patient Orientation" in unknown
    assert "image left, upper and middle zones" in unknown


@pytest.mark.parametrize(("orientation", "first"), [(("L", "F"), "R"), (("R", "F"), "L")])
def test_letters_stand_at_their_edges(orientation: tuple[str, str], first: str) -> None:
    pixels = film()
    pdf = render_pdf(analysed(pixels, orientation=orientation), pixels=pixels)
    left, top, right, bottom = image_area(pdf)
    with pdfium.PdfDocument(pdf) as document:
        page = document[0]
        textpage = page.get_textpage()
        height = page.get_height()
        middle = height - (top + bottom) / 2
        halves = [
            textpage.get_text_bounded(left=a, right=b, bottom=middle - 12, top=middle + 12).strip()
            for a, b in ((left, (left + right) / 2), ((left + right) / 2, right))
        ]
        textpage.close()
        page.close()
    assert halves == [first, {"R": "L", "L": "R"}[first]]


def test_abnormal_without_boxes_never_reads_as_no_findings() -> None:
    pixels = film()
    text = pdf_text(render_pdf(analysed(pixels), pixels=pixels))
    assert "Abnormal: none of the 4 detectable findings localised." in text
    assert f"Detectable (4): {', '.join(PRIMARY)}." in text
    assert "no findings" not in text.lower()


def test_normal_says_that_detection_was_not_run() -> None:
    pixels = film()
    record = analysed(pixels, probability=0.03, performed=False)
    text = pdf_text(render_pdf(record, pixels=pixels))
    assert "Normal" in text
    assert "Probability of Abnormal: 0.03" in text
    assert "this image is below it" in text
    assert "Detection was not performed: it is run on abnormal images only." in text
    assert "none of the" not in text


def test_uncalibrated_number_is_called_a_score() -> None:
    pixels = film()
    text = pdf_text(render_pdf(analysed(pixels, calibrated=False), pixels=pixels))
    assert "Score of Abnormal: 0.87" in text
    assert "not a probability" in text
    assert "Probability" not in text


def test_rejected_page_says_why_and_what_to_do() -> None:
    texts = page_texts(render_pdf(rejected(), pixels=None))
    assert len(texts) == 1
    for expected in (
        "Rejected: not assessed",
        "The view is not frontal (code not_frontal).",
        "View Position is 'LL'; submit the frontal image.",
        "Submit the frontal chest radiograph of the study",
        "neither normal nor abnormal",
        "MONOCHROME1",
        RESEARCH,
    ):
        assert expected in texts[0], expected
    assert "Abnormal" not in texts[0]


def test_rejected_page_without_facts() -> None:
    record = rejected("The file has no bytes.", code="empty_file", with_facts=False)
    text = pdf_text(render_pdf(record, pixels=None))
    assert "Of a refused file only the digest is kept. SHA-256 ab12ab12ab12." in text


@pytest.mark.parametrize(
    "name",
    [
        "\u00c9panchement pleural, \u0141\u00f3d\u017a, \u0130stanbul",  # Latin beyond Latin-1
        "\u03a0\u03bb\u03b5\u03c5\u03c1\u03b9\u03c4\u03b9\u03ba\u03ae",  # Greek
        "\u041f\u043b\u0435\u0432\u0440\u0430 \u0432\u044b\u043f\u043e\u0442",  # Cyrillic
        "a < b & c > d <b>bold</b> &amp;",  # markup that must stay text
    ],
)
def test_names_from_outside_survive(name: str) -> None:
    pixels = film()
    record = analysed(pixels, [finding(name)], labels=[name])
    assert name in pdf_text(render_pdf(record, pixels=pixels))
    assert name in pdf_text(render_pdf(rejected(name), pixels=None))


def test_undrawable_characters_do_not_break_the_report() -> None:
    # A lone surrogate (undecodable file name), a control, a bidi override and an emoji.
    message = "part\udcff \x00\x07 \u202egnp.exe \U0001fac1 end"
    text = pdf_text(render_pdf(rejected(message), pixels=None))
    assert "gnp.exe" in text
    assert text.index("gnp.exe") < text.index("end")


def test_long_identifiers_stay_on_the_page() -> None:
    label, message = "Finding_" + "x" * 120, "Reason: " + "y" * 900
    pixels = film()
    for pdf in (
        render_pdf(analysed(pixels, [finding(label)], labels=[label]), pixels=pixels),
        render_pdf(rejected(message), pixels=None),
    ):
        page = rendered(pdf)
        margins = np.concatenate([page[:, :35], page[:, -35:]], axis=1)
        assert (margins == 255).all()
        assert sum(pdf_text(pdf).count(letter) for letter in "xy") >= 120


def test_endless_message_is_cut_and_fits_one_page() -> None:
    texts = page_texts(render_pdf(rejected("long " * 5000), pixels=None))
    assert len(texts) == 1
    assert "\u2026" in texts[0]


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (4, 1), (8, 1), (40, 2)])
def test_findings_flow_over_pages(count: int, pages: int) -> None:
    pixels = film(1000, 1000)
    findings = [
        finding(f"Finding {index + 1}", box=(index / 50, 0.1, index / 50 + 0.1, 0.6))
        for index in range(count)
    ]
    texts = page_texts(render_pdf(analysed(pixels, findings), pixels=pixels))
    assert len(texts) == pages
    for number, text in enumerate(texts, start=1):
        assert f"Page {number} of {pages}" in text
        assert RESEARCH in text
        assert "Thresholds not valid on patients" in text
        assert analysed(pixels)["image_id"] in text
        assert ("Threshold Location" in text) == (count > 0)  # the table's head, on every page
    joined = " ".join(texts)
    assert all(f"Finding {index + 1} " in joined for index in range(count))


@pytest.mark.parametrize("shape", [(1200, 20), (20, 1200), (1, 1), (64, 64)])
def test_extreme_shapes_are_reported(shape: tuple[int, int]) -> None:
    pixels = film(*shape)
    pdf = render_pdf(analysed(pixels, [finding(box=(0, 0, 1, 1))]), pixels=pixels)
    left, top, right, bottom = image_area(pdf)
    assert left >= 39
    assert right <= 595.3 - 39
    assert top < bottom <= 842
    assert "Cardiomegaly" in pdf_text(pdf)


def test_report_of_a_full_size_radiograph_is_small() -> None:
    # Noise of a film on a gradient; pure noise would compress worse than any radiograph.
    noise = np.random.default_rng(3).normal(0, 0.02, (1200, 1000))
    ramp = np.linspace(0, 1, 1200)[:, None]
    pixels = np.clip(ramp + noise, 0, 1).astype(np.float32)
    assert len(render_pdf(analysed(pixels, [finding()]), pixels=pixels)) < 600_000


def test_analysed_record_needs_pixels() -> None:
    with pytest.raises(ValueError, match="needs the radiograph's pixels"):
        render_pdf(analysed(film()), pixels=None)
