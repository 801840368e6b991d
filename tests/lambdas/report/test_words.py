"""Numbers and sentences that must not mislead."""

import pytest

from lambdas.report import words
from lambdas.report.typography import plain
from lambdas.shared.errors import REJECTION_CODES
from tests.lambdas.report.cases import analysed, film, finding


@pytest.mark.parametrize(
    ("value", "threshold", "reached", "expected"),
    [
        (0.87, 0.5, True, ("0.87", "0.50")),
        (0.4999, 0.5, False, ("0.4999", "0.5000")),  # 0.50 below 0.50 would be nonsense
        (0.496, 0.5, False, ("0.496", "0.500")),
        (0.9987, 0.5, True, ("0.999", "0.500")),  # no certainty from rounding
        (1.0, 0.5, True, ("1.00", "0.50")),
        (0.0, 0.5, False, ("0.00", "0.50")),
        (0.6, 0.004, True, ("0.600", "0.004")),  # nor an operating point of 0
        (0.5, 0.50004, True, ("0.50", "0.50")),  # rounded by the record
        (0.5, 0.5, False, ("<0.5000", "0.5000")),  # rounded up by the record
    ],
)
def test_numbers_stay_on_their_side(
    value: float, threshold: float, reached: bool, expected: tuple[str, str]
) -> None:
    assert words.compare_numbers(value, threshold, reached=reached) == expected


def test_every_rejection_code_has_a_next_step() -> None:
    assert set(words.NEXT_STEP) == set(REJECTION_CODES)
    assert all(words.next_step(code).endswith(".") for code in REJECTION_CODES)


def test_code_of_a_newer_version_still_reads() -> None:
    assert words.rejection_meaning("from_the_future") == "from the future"
    assert "submit the image again" in words.next_step("from_the_future")


def test_sentence_keeps_abbreviations() -> None:
    assert words.sentence("a DICOM object") == "A DICOM object."


def test_normal_with_findings_on_request_is_explained() -> None:
    record = analysed(film(), [finding()], probability=0.2)
    assert "two models answer independently" in words.findings_summary(record)[0]


def test_abnormal_without_detection_is_no_negative() -> None:
    record = analysed(film(), performed=False)
    assert words.findings_summary(record) == [
        "Abnormal: detection was not performed, so nothing was localised."
    ]
    assert words.detectable(record).startswith("Detectable, but not looked for (4):")


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)"),
        ("1.2.276.0.1.2.3", "1.2.276.0.1.2.3"),  # private
        ("no uid", "no uid"),
    ],
)
def test_transfer_syntax_is_named(uid: str, name: str) -> None:
    image = analysed(film())["image"] | {"transfer_syntax": uid}
    assert ("Transfer syntax", name) in words.image_facts(image)


def test_facts_of_a_png_leave_out_what_only_dicom_has() -> None:
    image = analysed(film())["image"] | {
        "format": "png",
        "transfer_syntax": None,
        "pixel_spacing_mm": None,
        "view": None,
        "size_bytes": 912,
    }
    facts = dict(words.image_facts(image))
    assert "Transfer syntax" not in facts
    assert facts["Pixel spacing"] == facts["View"] == "not stated"
    assert facts["File size"] == "912 bytes"


def test_plain_text_is_composed_and_visible() -> None:
    assert plain("e\u0301 \u202ex\u200b\ny\x00z\udc80") == "\u00e9 x y z\ufffd"
    assert plain("x" * 50, limit=10) == "x" * 9 + "\u2026"
