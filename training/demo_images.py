"""Draw the demo's images: phantoms in the formats that hospitals have, and two to be rejected.

python -m training.demo_images --out build/demo/images
"""

import argparse
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from training.dicom_encoding import encapsulate_frame, encode_frame
from training.phantoms.dicom import BITS_STORED, dicom_dataset
from training.phantoms.draw import Phantom, draw_study
from training.phantoms.plan import plan_study

SEED: Final = 11
"""Of the phantoms; with an index it names one study for ever."""

SIZE_PX: Final = 1500
"""Long side: large enough to look at, small enough to draw in a third of a second."""

STUDY_DATE: Final = date(2000, 1, 1)
"""Of every demo study; obviously made up."""

NOTE: Final = """\
Drawn films (phantoms), no patients. Written by `python -m training.demo_images`.
A text file among images, as archives have them: it is skipped, and gets no record.
"""


@dataclass(frozen=True, slots=True)
class DemoImage:
    """A file of the demo: its path, the phantom in it and how the phantom is written."""

    path: str
    study: int
    write: Callable[[Phantom], bytes]


def main(arguments: list[str] | None = None) -> int:
    """Write the images; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.demo_images", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the images")
    options = parser.parse_args(arguments)
    for image in DEMO_IMAGES:
        path = options.out / image.path
        path.parent.mkdir(parents=True, exist_ok=True)
        phantom = draw_study(plan_study(seed=SEED, index=image.study), size_px=SIZE_PX)
        path.write_bytes(image.write(phantom))
    (options.out / "README.txt").write_text(NOTE)
    sys.stdout.write(f"{len(DEMO_IMAGES)} images and a note in {options.out}\n")
    return 0


def _png_16_bit(phantom: Phantom) -> bytes:
    return _saved(Image.fromarray(phantom.pixels), "PNG")


def _jpeg_8_bit(phantom: Phantom) -> bytes:
    return _saved(Image.fromarray(_eight_bit(phantom)), "JPEG", quality=90)


def _png_colour(phantom: Phantom) -> bytes:
    """Grey stored as RGBA, as some exports do."""
    grey = Image.fromarray(_eight_bit(phantom))
    return _saved(grey.convert("RGBA"), "PNG")


def _tiff_16_bit(phantom: Phantom) -> bytes:
    return _saved(Image.fromarray(phantom.pixels), "TIFF", compression="tiff_lzw")


def _truncated_png(phantom: Phantom) -> bytes:
    whole = _png_16_bit(phantom)
    return whole[: len(whole) // 3]


def dicom_writer(
    syntax: uid.UID = uid.ExplicitVRLittleEndian, *, inverted: bool = False, **attributes: str
) -> Callable[[Phantom], bytes]:
    """A writer of DICOM files in one transfer syntax, with some attributes of its own."""

    def write(phantom: Phantom) -> bytes:
        dataset = _dataset(phantom, inverted=inverted, **attributes)
        if syntax.is_compressed and not syntax.is_deflated:
            samples = np.frombuffer(dataset.PixelData, np.uint16)
            samples = samples.reshape(dataset.Rows, dataset.Columns)
            encapsulate_frame(dataset, encode_frame(samples, syntax, bits=BITS_STORED))
        dataset.file_meta.TransferSyntaxUID = syntax
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return write


def _old_archive_dicom(phantom: Phantom) -> bytes:
    """Implicit VR, neither preamble nor meta information, as archives of the 1990s kept it."""
    dataset = _dataset(phantom, inverted=False)
    del dataset.file_meta
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=True, little_endian=True)
    return stream.getvalue()


def _dataset(phantom: Phantom, *, inverted: bool, **attributes: str) -> Dataset:
    dataset = dicom_dataset(
        phantom, patient_id="PHANTOM-DEMO", study_date=STUDY_DATE, inverted=inverted
    )
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _eight_bit(phantom: Phantom) -> np.ndarray:
    return (phantom.pixels >> 8).astype(np.uint8)


def _saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


DEMO_IMAGES: Final = (
    DemoImage("png/01_16_bit.png", 0, _png_16_bit),
    DemoImage("png/02_16_bit.png", 1, _png_16_bit),
    DemoImage("png/03_colour_with_alpha.png", 2, _png_colour),
    DemoImage("jpeg/04_8_bit.jpg", 3, _jpeg_8_bit),
    DemoImage("tiff/05_16_bit_lzw.tif", 4, _tiff_16_bit),
    DemoImage("dicom/06_monochrome2.dcm", 5, dicom_writer()),
    DemoImage("dicom/07_monochrome1.dcm", 6, dicom_writer(inverted=True)),
    DemoImage(
        "dicom/08_rescaled_and_windowed.dcm",
        7,
        dicom_writer(
            uid.ImplicitVRLittleEndian,
            RescaleSlope="0.5",
            RescaleIntercept="-100",
            RescaleType="US",
            WindowCenter="924",
            WindowWidth="2048",
        ),
    ),
    DemoImage("dicom/09_jpeg2000_lossless.dcm", 8, dicom_writer(uid.JPEG2000Lossless)),
    DemoImage("dicom/10_jpegls_lossless.dcm", 9, dicom_writer(uid.JPEGLSLossless)),
    DemoImage("dicom/11_rle.dcm", 10, dicom_writer(uid.RLELossless)),
    DemoImage("dicom/IM000012", 11, _old_archive_dicom),
    DemoImage("rejected/13_lateral_view.dcm", 12, dicom_writer(ViewPosition="LL")),
    DemoImage("rejected/14_truncated.png", 13, _truncated_png),
)
"""A dozen to be analysed, two to be rejected."""


if __name__ == "__main__":
    sys.exit(main())
