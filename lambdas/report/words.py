"""Every sentence and number that report.pdf prints, as plain text.

Wording follows what cleared chest AI products state of themselves: the operating point beside the
number, "score" for a number that is not calibrated, and what is not assessed said aloud, because
not assessed is not absent.
"""

from typing import Any, Final

from pydicom import config
from pydicom.uid import UID

from lambdas.shared.errors import REJECTION_CODES
from lambdas.shared.records import Record

TITLE: Final = "Chest radiograph: automated analysis"
SUBTITLE: Final = "Computed by the AI models named below. Not read by a radiologist."
SUBTITLE_REJECTED: Final = "Refused before any AI model saw it. Not read by a radiologist."
PREVIEW: Final = "Preview, not for diagnostic reading."
RESEARCH_ONLY: Final = "Research use only. Not a medical device. Not a diagnosis."
AUTHOR: Final = "cxr-batch"
NO_RESULT: Final = "No result exists for this image: it is neither normal nor abnormal."
NOT_STATED: Final = "not stated"

SHORT_DIGEST_CHARACTERS: Final = 12

_NEXT_STEPS: Final[dict[str, tuple[str, ...]]] = {
    "Export the image again from the archive or the modality, check that the transfer was "
    "complete, and submit it again.": (
        "empty_file",
        "not_an_image",
        "broken_file",
        "decoder_crashed",
        "missing_attribute",
    ),
    "Unpack the archive and submit the image inside it.": ("compressed_archive",),
    "Export the image as DICOM in Explicit VR Little Endian, or as a grey PNG, and submit that.": (
        "unsupported_format",
        "unsupported_transfer_syntax",
        "unsupported_pixels",
        "colour",
    ),
    "Submit the frontal chest radiograph of the study, if it has one; this object needs no "
    "further step here.": (
        "no_pixels",
        "not_a_radiograph",
        "multi_frame",
        "other_body_part",
        "not_frontal",
    ),
    "Submit the image of the same exposure that was processed for presentation.": (
        "not_for_presentation",
    ),
    "Submit the original image at its full resolution, not a preview.": ("too_small",),
    "Look at the image: it shows nothing to assess. If the exposure is sound, export it again.": (
        "blank_image",
    ),
    "Check that this is one ordinary radiograph; if it is, export it at its original size as "
    "DICOM in Explicit VR Little Endian, and submit that.": (
        "too_many_bytes",
        "too_many_pixels",
        "decompression_ratio",
        "decode_time",
        "decode_memory",
    ),
    "Correct the request as the reason says, and send it again.": ("invalid_request",),
}

NEXT_STEP: Final[dict[str, str]] = {
    code: sentence for sentence, codes in _NEXT_STEPS.items() for code in codes
}
"""What to do about a rejection, by its code."""


def rejection_meaning(code: str) -> str:
    """What a reason code means, as a phrase; the code itself where a newer version wrote it."""
    return REJECTION_CODES.get(code, code.replace("_", " "))


def next_step(code: str) -> str:
    """What to do about a rejection."""
    return NEXT_STEP.get(code, "Correct what the reason names, and submit the image again.")


def number_name(triage: Record) -> str:
    """`Probability` where the number is calibrated, else `Score`, and of which label."""
    kind = "Probability" if triage["calibrated"] else "Score"
    return f"{kind} of {triage['positive_label']}"


def compare_numbers(value: float, threshold: float, *, reached: bool) -> tuple[str, str]:
    """Value and threshold with the fewest decimals, 2 to 4, that keep them on their sides.

    Rounding must not print "0.50" below an operating point of "0.50", nor a certainty of "1.00".

    Args:
        value: In [0, 1].
        threshold: In [0, 1].
        reached: Whether the value reached the threshold before it was rounded for the record.
    """
    for decimals in (2, 3, 4):
        shown, point = round(value, decimals), round(threshold, decimals)
        too_coarse = any(
            rounded in (0, 1) and exact not in (0, 1)
            for rounded, exact in ((shown, value), (point, threshold))
        )
        if (shown >= point) == reached and not too_coarse:
            break
    text, point_text = f"{shown:.{decimals}f}", f"{point:.{decimals}f}"
    if shown >= point and not reached:
        # The record's four decimals could not keep them apart; the triage label can.
        text = f"<{text}"
    return text, point_text


def operating_point(triage: Record) -> str:
    """The threshold and on which side of it the image lies."""
    _, point = compare_numbers(
        triage["probability"], triage["threshold"], reached=triage["positive"]
    )
    side = "at or above" if triage["positive"] else "below"
    return f"Operating point {point}: this image is {side} it."


def calibration(triage: Record) -> str:
    """Whether the number may be read as a probability."""
    if triage["calibrated"]:
        return "Calibrated by temperature scaling."
    return "Not calibrated: a score between 0 and 1, not a probability."


def findings_summary(record: Record) -> list[str]:
    """Sentences that stand where there are no findings, or beside those there are."""
    triage, detection = record["triage"], record["detection"]
    count = len(detection["detectable"])
    kinds = "finding" if count == 1 else "findings"
    if not detection["performed"]:
        if triage["positive"]:
            return [f"{triage['label']}: detection was not performed, so nothing was localised."]
        return ["Detection was not performed: it is run on abnormal images only."]
    if not record["findings"]:
        return [f"{triage['label']}: none of the {count} detectable {kinds} localised."]
    if not triage["positive"]:
        return [
            f"The triage says {triage['label']}, yet the detector localised findings: the two "
            "models answer independently of each other."
        ]
    return []


def detectable(record: Record) -> str:
    """What the detector knows, and that all else is not assessed."""
    names = record["detection"]["detectable"]
    if not names:
        return "The detector names no finding. Other findings are not assessed."
    kind = "Detectable" if record["detection"]["performed"] else "Detectable, but not looked for"
    return (
        f"{kind} ({len(names)}): {', '.join(names)}. "
        "Other findings are not assessed; not assessed is not absent."
    )


def code_words(code: Record | None) -> str:
    """A finding's code, or nothing."""
    return f"{code['system']} {code['value']} ({code['meaning']})" if code else ""


def box_words(box: Record) -> str:
    """A box in pixels of the stored image."""
    return (
        f"{box['x_min']:.0f}, {box['y_min']:.0f} \N{EN DASH} {box['x_max']:.0f}, {box['y_max']:.0f}"
    )


def sentence(phrase: str) -> str:
    """A phrase with a capital letter and a full stop; the rest stays as it is (`DICOM`)."""
    return f"{phrase[:1].upper()}{phrase[1:]}."


def short_digest(digest: str) -> str:
    """The first characters of a SHA-256."""
    return digest[:SHORT_DIGEST_CHARACTERS]


def image_facts(image: Record) -> list[tuple[str, str]]:
    """Name and value of each fact of the image as stored."""
    spacing = image["pixel_spacing_mm"]
    facts = [
        ("Format", image["format"].upper()),
        ("Size", f"{image['width_px']} \N{MULTIPLICATION SIGN} {image['height_px']} px"),
        ("Bits stored", str(image["bits_stored"])),
        ("Photometric interpretation", image["photometric_interpretation"]),
        ("View", image["view"] or NOT_STATED),
        (
            "Pixel spacing",
            f"{spacing[0]:.4g} \N{MULTIPLICATION SIGN} {spacing[1]:.4g} mm"
            if spacing
            else NOT_STATED,
        ),
    ]
    if image["transfer_syntax"]:
        # A malformed UID is shown as it is; a report is not the place to warn of it.
        syntax = UID(image["transfer_syntax"], validation_mode=config.IGNORE)
        facts.append(("Transfer syntax", syntax.name))
    return [
        *facts,
        ("File size", _file_size(image["size_bytes"])),
        ("SHA-256", short_digest(image["sha256"])),
    ]


def model_row(model: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Task, name and version, architecture, what it was trained on, digest of its graph."""
    trained = model["trained_on"]
    return (
        {"classification": "Triage", "detection": "Detection"}[model["task"]],
        f"{model['name']} {model['version']}",
        model["architecture"],
        f"{trained['kind']}: {trained['description']}",
        short_digest(model["sha256"]),
    )


def _file_size(size_bytes: int) -> str:
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1_000:.0f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"
