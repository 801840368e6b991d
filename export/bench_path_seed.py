"""The proof of concept's way, as plainly as such an app has it: Pillow, pydicom, torch, reportlab.

Batch 1, torch eager, both networks' own float32 weights, the film at full size until torchvision
resizes it. Where there was a choice, the cheaper one is taken: the film goes into the PDF as JPEG,
and a transfer syntax that pydicom cannot decode with what is installed goes through imagecodecs.
"""

import io
import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLSLossless
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from torchvision.transforms.functional import normalize, to_tensor

from export.bench_networks import LABELS, load
from export.bench_path_networks import BOXES
from lambdas.shared.labels import TRIAGE_LABELS
from training.classifier import IMAGENET_MEAN, IMAGENET_STD

LONGEST_PX: Final = 1333
"""torchvision's default for the longer side."""

PICTURE_PT: Final = 400


class SeedWay:
    """Both networks, loaded; then films one after the other.

    Args:
        classifier: Its weights.
        classifier_px: Side of its input.
        detector: Its weights.
        detector_px: torchvision's `min_size`.
        threads: Of torch.
    """

    def __init__(
        self,
        *,
        classifier: Path,
        classifier_px: int,
        detector: Path,
        detector_px: int,
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._size = classifier_px
        self._classifier = load("classification", classifier_px, classifier)
        self._detector = load("detection", detector_px, detector)
        transform: Any = self._detector.transform
        transform.min_size, transform.max_size = (detector_px,), LONGEST_PX

    def __call__(self, path: Path) -> dict[str, Any]:
        """Durations in ms, by part, of one film; how it was decoded, and its number of boxes."""
        data = path.read_bytes()
        marks = [time.perf_counter()]
        film, decoder = read_film(data)
        marks.append(time.perf_counter())
        with torch.inference_mode():
            small = film.resize((self._size, self._size), Image.Resampling.BILINEAR)
            image = normalize(to_tensor(small), list(IMAGENET_MEAN), list(IMAGENET_STD))
            chances = self._classifier(image[None]).softmax(1)[0].tolist()
            marks.append(time.perf_counter())
            found = self._detector([to_tensor(film)])[0]
        best = slice(BOXES)  # torchvision sorts by score
        boxes = found["boxes"][best].tolist()
        names = [LABELS[label - 1] for label in found["labels"][best].tolist()]
        scores = found["scores"][best].tolist()
        marks.append(time.perf_counter())
        record = {
            "triage": dict(zip(TRIAGE_LABELS, chances, strict=True)),
            "findings": [
                {"label": name, "score": score, "box": box}
                for name, score, box in zip(names, scores, boxes, strict=True)
            ],
        }
        pdf = report_pdf(film, record)
        json.dumps(record, indent=2).encode()
        marks.append(time.perf_counter())
        parts = zip(("read", "classify", "detect", "report"), marks, marks[1:], strict=False)
        return {
            "ms": {name: (after - before) * 1e3 for name, before, after in parts}
            | {"total": (marks[-1] - marks[0]) * 1e3},
            "decoder": decoder,
            "boxes": len(boxes),
            "pdf_bytes": len(pdf),
        }


def read_film(data: bytes) -> tuple[Image.Image, str]:
    """The film as 8-bit RGB, from black to white, and what decoded it."""
    if data[128:132] != b"DICM":
        return _eight_bit(np.asarray(Image.open(io.BytesIO(data)))), "Pillow"
    dataset = dcmread(io.BytesIO(data))
    syntax = dataset.file_meta.TransferSyntaxUID
    if get_decoder(syntax).is_available:
        samples, decoder = dataset.pixel_array, "pydicom"
        if syntax.is_compressed and "pillow" in get_decoder(syntax).available_plugins:
            decoder = "pydicom with Pillow"
    else:
        samples, decoder = _by_imagecodecs(dataset), "imagecodecs (pydicom has no decoder here)"
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        samples = samples.max() - samples
    return _eight_bit(samples), decoder


def report_pdf(film: Image.Image, record: dict[str, Any]) -> bytes:
    """A page with triage, the film with its boxes, and a list of findings."""
    drawn = film.copy()
    pen = ImageDraw.Draw(drawn)
    for finding in record["findings"]:
        pen.rectangle(finding["box"], outline="red", width=6)
        pen.text(finding["box"][:2], f"{finding['label']} {finding['score']:.2f}", fill="red")
    picture = io.BytesIO()
    drawn.save(picture, "JPEG")
    stream = io.BytesIO()
    page = Canvas(stream, pagesize=A4)
    page.setFont("Helvetica-Bold", 16)
    page.drawString(50, 790, "Chest X-ray report")
    page.setFont("Helvetica", 10)
    top = 765.0
    for name, chance in record["triage"].items():
        page.drawString(50, top, f"{name}: {chance:.3f}")
        top -= 14
    height = PICTURE_PT * film.height / film.width
    page.drawImage(ImageReader(picture), 50, top - height, PICTURE_PT, height)
    top -= height + 20
    for finding in record["findings"]:
        page.drawString(50, top, f"{finding['label']}: {finding['score']:.2f}")
        top -= 14
    page.save()
    return stream.getvalue()


def _by_imagecodecs(dataset: Any) -> npt.NDArray[Any]:
    """Samples of JPEG lossless, JPEG-LS or HTJ2K."""
    import imagecodecs

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == JPEGLSLossless:
        return np.asarray(imagecodecs.jpegls_decode(frame))
    if syntax.keyword.startswith("HTJ2K"):
        return np.asarray(imagecodecs.htj2k_decode(frame))
    return np.asarray(imagecodecs.ljpeg_decode(frame))


def _eight_bit(samples: npt.NDArray[Any]) -> Image.Image:
    if samples.dtype != np.uint8:
        values = samples.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        samples = ((values - low) / max(high - low, 1.0) * 255).astype(np.uint8)
    return Image.fromarray(samples).convert("RGB")
