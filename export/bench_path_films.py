"""One film in every format that the whole-path benchmark reads; drawn, nobody's."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from pydicom import uid

from training.demo_images import dicom_writer
from training.phantoms.draw import Phantom, draw_study
from training.phantoms.plan import plan_study

SEED: Final = 11
STUDY: Final = 11
"""A phantom with two findings, cardiomegaly and aortic atheromatosis."""

FILM_PX: Final = 2500
"""Long side of a usual digital plate."""

JPEG_QUALITY: Final = 90

JPEG_2000: Final = "DICOM JPEG 2000 lossless"


@dataclass(frozen=True, slots=True)
class Film:
    """A file of the benchmark: what it is, and where."""

    format: str
    path: Path


def _raster(image_format: str, *, bits: int, **options: int) -> Callable[[Phantom], bytes]:
    def write(phantom: Phantom) -> bytes:
        samples = phantom.pixels if bits == 16 else (phantom.pixels >> 8).astype("uint8")
        stream = io.BytesIO()
        Image.fromarray(samples).save(stream, image_format, **options)
        return stream.getvalue()

    return write


WRITERS: Final[dict[str, Callable[[Phantom], bytes]]] = {
    "PNG 8 bit": _raster("PNG", bits=8),
    "PNG 16 bit": _raster("PNG", bits=16),
    "JPEG": _raster("JPEG", bits=8, quality=JPEG_QUALITY),
    "DICOM uncompressed": dicom_writer(uid.ExplicitVRLittleEndian),
    "DICOM RLE": dicom_writer(uid.RLELossless),
    "DICOM JPEG lossless": dicom_writer(uid.JPEGLosslessSV1),
    "DICOM JPEG-LS": dicom_writer(uid.JPEGLSLossless),
    JPEG_2000: dicom_writer(uid.JPEG2000Lossless),
    "DICOM HTJ2K": dicom_writer(uid.HTJ2KLossless),
}
"""By the format's name, in the order of the table."""


def write_films(folder: Path, *, size_px: int, formats: tuple[str, ...]) -> list[Film]:
    """Draw the film once and write it in each format.

    Args:
        folder: For the files.
        size_px: Long side.
        formats: Names of `WRITERS`.
    """
    phantom = draw_study(plan_study(seed=SEED, index=STUDY), size_px=size_px)
    films = []
    for number, name in enumerate(formats):
        path = folder / f"film_{number}"
        path.write_bytes(WRITERS[name](phantom))
        films.append(Film(name, path))
    return films
