"""Records, radiographs and rendered pages for the tests of the report."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium

from lambdas.shared.boxes import UnitBox
from lambdas.shared.bundle import Bundle, model_set
from lambdas.shared.errors import UnsupportedImageError
from lambdas.shared.findings import Code, Finding, Triage
from lambdas.shared.radiograph import FloatImage, ImageFacts, Radiograph
from lambdas.shared.records import Record, Source, analysed_record, rejected_record

PRIMARY = (
    "Cardiomegaly",
    "Pleural effusion",
    "Aortic elongation",
    "Vertebral degenerative changes",
)
PATIENT_KEY = "SMITH^JOHN_1950/IM1"
SOURCE = Source(bucket=None, key=PATIENT_KEY, version=None, sha256="ab12" * 16)
CARDIOMEGALY = Code("UMLS", "C0018800", "Cardiomegaly")


def bundle(task: str, labels: Sequence[str], *, kind: str = "phantoms") -> Bundle:
    """The facts of a bundle that the record copies."""
    facts = {
        "task": task,
        "name": f"demo-{task}",
        "version": "1.2.3",
        "architecture": "EfficientNet-B4" if task == "classification" else "Faster R-CNN",
        "labels": [{"name": name, "code": None} for name in labels],
        "trained_on": {"kind": kind, "description": "drawn frontal radiographs"},
        "sha256": hashlib.sha256(task.encode()).hexdigest(),
    }
    return Bundle(folder=Path(task), facts=facts, digest=facts["sha256"])


def film(height: int = 600, width: int = 500, *, level: float = 0.5) -> FloatImage:
    """A flat grey film: any colour on its rendering is the report's."""
    return np.full((height, width), level, np.float32)


def facts(
    pixels: FloatImage, *, orientation: tuple[str, str] | None = ("L", "F"), **changed: Any
) -> ImageFacts:
    """Facts of a DICOM image twice the size of the pixels."""
    values = {
        "format": "dicom",
        "width_px": 2 * pixels.shape[1],
        "height_px": 2 * pixels.shape[0],
        "bits_stored": 12,
        "photometric_interpretation": "MONOCHROME1",
        "view": "PA",
        "pixel_spacing_mm": (0.143, 0.139),
        "patient_orientation": orientation,
        "transfer_syntax": "1.2.840.10008.1.2.4.90",
        "size_bytes": 1_234_567,
        "sha256": "ab12" * 16,
    }
    return ImageFacts(**(values | changed))


def finding(
    label: str = "Cardiomegaly",
    *,
    box: tuple[float, float, float, float] = (0.1, 0.2, 0.3, 0.4),
    score: float = 0.91,
    code: Code | None = None,
) -> Finding:
    """One finding; its box in fractions of the image."""
    return Finding(label, code, score, 0.35, UnitBox(*box))


def analysed(
    pixels: FloatImage,
    findings: Sequence[Finding] = (),
    *,
    probability: float = 0.87,
    calibrated: bool = True,
    performed: bool = True,
    orientation: tuple[str, str] | None = ("L", "F"),
    labels: Sequence[str] = PRIMARY,
    kind: str = "phantoms",
    threshold: float = 0.5,
) -> Record:
    """A record as the stages make it, before outputs and timings."""
    classifier = bundle("classification", ("Normal", "Abnormal"), kind=kind)
    detector = bundle("detection", labels, kind=kind)
    positive = probability >= threshold
    label = "Abnormal" if positive else "Normal"
    return analysed_record(
        source=SOURCE,
        facts=facts(pixels, orientation=orientation),
        triage=Triage(label, "Abnormal", probability, threshold, calibrated, positive),
        findings=findings,
        detection_performed=performed,
        classifier=classifier,
        detector=detector,
        model_set=model_set(classifier, detector),
    )


def rejected(
    message: str = "View Position is 'LL'; submit the frontal image.",
    *,
    code: str = "not_frontal",
    with_facts: bool = True,
) -> Record:
    """A record of a refused image."""
    classifier = bundle("classification", ("Normal", "Abnormal"))
    detector = bundle("detection", PRIMARY)
    return rejected_record(
        source=SOURCE,
        facts=facts(film()) if with_facts else None,
        error=UnsupportedImageError(message, code=code),
        classifier=classifier,
        detector=detector,
        model_set=model_set(classifier, detector),
    )


def radiograph(pixels: FloatImage) -> Radiograph:
    """What the stage function is given."""
    return Radiograph(pixels=pixels, facts=facts(pixels))


def page_texts(pdf: bytes) -> list[str]:
    """Text of each page, line breaks as blanks, as a reader would select it."""
    with pdfium.PdfDocument(pdf) as document:
        texts = []
        for index in range(len(document)):
            page = document[index]
            textpage = page.get_textpage()
            texts.append(" ".join(textpage.get_text_bounded().split()))
            textpage.close()
            page.close()
    return texts


def pdf_text(pdf: bytes) -> str:
    """Text of all pages."""
    return " ".join(page_texts(pdf))


def rendered(pdf: bytes, *, scale: float = 1.0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """First page as (H, W, 3), `scale` pixels for a point."""
    with pdfium.PdfDocument(pdf) as document:
        page = document[0]
        image = page.render(scale=scale).to_pil().convert("RGB")
        page.close()
    return np.asarray(image)


def image_area(pdf: bytes) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the radiograph on page 1, in points from the top left."""
    with pdfium.PdfDocument(pdf) as document:
        page = document[0]
        height = page.get_height()
        images = [each for each in page.get_objects() if isinstance(each, pdfium.PdfImage)]
        assert len(images) == 1
        left, bottom, right, top = images[0].get_bounds()
        page.close()
    return left, height - top, right, height - bottom
