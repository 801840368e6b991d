"""Decoders of JPEG 2000 with permissive licences, on what production needs of a film.

Two tasks: the whole resolution, and the smallest level that is no shorter than the working size.
grok is left out: it is AGPL.
"""

import importlib
import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import generate_frames

from lambdas.shared.radiograph import WORKING_LONG_SIDE_PX

OURS: Final = "ours (lambdas.shared.dicom_pixels)"

OPTIONAL: Final = {"gdcm": "gdcm (python-gdcm)", "openjpeg": "pylibjpeg-openjpeg"}
"""Module and name of decoders that the project does not need."""

Decode = Callable[[], Any]


class Decoders:
    """Every decoder that is installed, in turn, on one film.

    Args:
        threads: For those that take a number.
    """

    def __init__(self, *, threads: int) -> None:
        self._threads = threads

    def __call__(self, path: Path) -> dict[str, Any]:
        """Durations in ms by decoder: of the whole resolution, and of the level that is used."""
        full, reduced = decoders(path.read_bytes(), path, threads=self._threads)
        missing = [
            title for name, title in OPTIONAL.items() if importlib.util.find_spec(name) is None
        ]
        return {
            "full_ms": {name: _milliseconds(decode) for name, decode in full.items()},
            "reduced_ms": {name: _milliseconds(decode) for name, decode in reduced.items()},
            "left_out": missing,
        }


def decoders(
    data: bytes, path: Path, *, threads: int
) -> tuple[dict[str, Decode], dict[str, Decode]]:
    """What decodes the whole resolution, and what decodes the level that is used, by name."""
    import imagecodecs

    from lambdas.shared.dicom_pixels import modality_values

    dataset = dcmread(io.BytesIO(data))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    long_side = max(dataset.Rows, dataset.Columns)

    def ours(wanted_px: int) -> Decode:
        return lambda: modality_values(dataset, size_bytes=len(data), long_side_px=wanted_px)

    def pillow(reduce: int) -> Decode:
        def decode() -> Any:
            image = Image.open(io.BytesIO(frame), formats=["JPEG2000"])
            if reduce:
                image.reduce = reduce  # type: ignore[method-assign, assignment]
            return np.asarray(image)

        return decode

    full = {
        OURS: ours(long_side),
        "imagecodecs (OpenJPEG), 1 thread": lambda: imagecodecs.jpeg2k_decode(frame, numthreads=1),
        f"imagecodecs (OpenJPEG), {threads} threads": lambda: imagecodecs.jpeg2k_decode(
            frame, numthreads=threads
        ),
        "Pillow (OpenJPEG)": pillow(0),
    }
    if importlib.util.find_spec("gdcm") is not None:
        full[OPTIONAL["gdcm"]] = _gdcm(path)
    if importlib.util.find_spec("openjpeg") is not None:
        openjpeg = importlib.import_module("openjpeg")
        full[OPTIONAL["openjpeg"]] = lambda: openjpeg.decode(frame)
    halvings = 0
    while -(-long_side // 2 ** (halvings + 1)) >= WORKING_LONG_SIDE_PX:
        halvings += 1
    return full, {OURS: ours(WORKING_LONG_SIDE_PX), "Pillow (OpenJPEG)": pillow(halvings)}


def _gdcm(path: Path) -> Decode:
    gdcm = importlib.import_module("gdcm")

    def decode() -> Any:
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        if not reader.Read():
            raise RuntimeError("gdcm does not read the film")
        return reader.GetImage().GetBuffer()

    return decode


def _milliseconds(decode: Decode) -> float:
    begun = time.perf_counter()
    decode()
    return (time.perf_counter() - begun) * 1e3
