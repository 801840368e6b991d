"""What one image file tells: size, depth, range, intensities, and whether it can be read at all."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.errors import InputError
from lambdas.shared.intensity import HIGH_PERCENTILE, LOW_PERCENTILE, exposed_field
from lambdas.shared.preprocess import resize
from lambdas.shared.raster import read_raster
from lambdas.shared.read import read_radiograph
from lambdas.shared.sniff import SNIFF_BYTES, sniff
from training.sources import read_file

HISTOGRAM_BINS: Final = 64
THUMBNAIL_PX: Final = 96
"""Side of the stretched thumbnail that means over many films are made of."""

_LUNG_ROWS: Final = slice(0.30, 0.55)
_LUNG_COLUMNS: Final = (slice(0.18, 0.34), slice(0.66, 0.82))
_MEDIASTINUM_COLUMNS: Final = slice(0.44, 0.58)
"""Where a frontal film shows lung on either side and mediastinum between, as fractions."""


@dataclass(frozen=True, slots=True)
class FilmJob:
    """One image file to look at."""

    image_id: str
    location: Path | str


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """One image file.

    Attributes:
        image_id: File name.
        size_bytes: Of the file.
        sha256: Of the file.
        error: Why it cannot be read; empty where it can, and then the rest holds.
        width_px: Columns.
        height_px: Rows.
        bits: Depth that the file declares.
        photometric: As the file declares it, in DICOM's terms.
        levels: Distinct sample values in use.
        lowest: Smallest sample.
        highest: Largest sample.
        low: Sample at the percentile that becomes 0.
        high: Sample at the percentile that becomes 1.
        at_lowest: Part of the samples that have the smallest value.
        at_highest: Part of the samples that have the largest value: blown out where large.
        exposed: Part of the area that is no flat border.
        mean: Of the pixels as production sees them, in [0, 1].
        contrast: Median of the mediastinum less that of the lungs, as production sees them;
            negative where the film may be inverted.
        samples_sha256: Of the decoded samples: equal for one picture in two files.
        raw_histogram: Parts of the samples in bins over the declared range.
        histogram: Parts of the pixels in bins over [0, 1], as production sees them.
        thumbnail: (THUMBNAIL_PX, THUMBNAIL_PX) float32 in [0, 1], stretched.
    """

    image_id: str
    size_bytes: int
    sha256: str
    error: str = ""
    width_px: int = 0
    height_px: int = 0
    bits: int = 0
    photometric: str = ""
    levels: int = 0
    lowest: float = 0.0
    highest: float = 0.0
    low: float = 0.0
    high: float = 0.0
    at_lowest: float = 0.0
    at_highest: float = 0.0
    exposed: float = 0.0
    mean: float = 0.0
    contrast: float = 0.0
    samples_sha256: str = ""
    raw_histogram: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    histogram: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    thumbnail: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def read_film(job: FilmJob) -> FilmFacts:
    """Look at one image file. Runs in a worker; a file that cannot be read is a fact as well."""
    data = read_file(job.location)
    digest = hashlib.sha256(data).hexdigest()
    try:
        grey = read_raster(data, sniff(data[:SNIFF_BYTES]) if data else "png")
        pixels = read_radiograph(data).pixels
    except InputError as error:
        return FilmFacts(job.image_id, len(data), digest, error=error.message)
    samples = grey.samples
    low, high = np.percentile(samples, (LOW_PERCENTILE, HIGH_PERCENTILE))
    values, counts = np.unique(samples, return_counts=True)
    edges = np.linspace(0, 2.0**grey.bits_stored, HISTOGRAM_BINS + 1)
    raw = np.histogram(values, bins=edges, weights=counts)[0]
    rows, columns = exposed_field(pixels)
    return FilmFacts(
        job.image_id,
        len(data),
        digest,
        width_px=samples.shape[1],
        height_px=samples.shape[0],
        bits=grey.bits_stored,
        photometric=grey.photometric_interpretation,
        levels=len(values),
        lowest=float(values[0]),
        highest=float(values[-1]),
        low=float(low),
        high=float(high),
        at_lowest=float(counts[0] / samples.size),
        at_highest=float(counts[-1] / samples.size),
        exposed=float(pixels[rows, columns].size / pixels.size),
        mean=float(pixels.mean()),
        contrast=_contrast(pixels),
        samples_sha256=hashlib.sha256(
            repr((samples.shape, samples.dtype.str)).encode() + samples.tobytes()
        ).hexdigest(),
        raw_histogram=raw / samples.size,
        histogram=np.histogram(pixels, bins=HISTOGRAM_BINS, range=(0, 1))[0] / pixels.size,
        thumbnail=resize(pixels, height_px=THUMBNAIL_PX, width_px=THUMBNAIL_PX),
    )


def _contrast(pixels: npt.NDArray[np.float32]) -> float:
    """Median of the mediastinum less the median of the lungs."""
    lungs = np.concatenate([_region(pixels, _LUNG_ROWS, c).ravel() for c in _LUNG_COLUMNS])
    mediastinum = _region(pixels, _LUNG_ROWS, _MEDIASTINUM_COLUMNS)
    return float(np.median(mediastinum) - np.median(lungs))


def _region(
    pixels: npt.NDArray[np.float32], rows: slice, columns: slice
) -> npt.NDArray[np.float32]:
    """A part of the film by fractions of its height and width."""
    height, width = pixels.shape
    return pixels[
        int(rows.start * height) : int(rows.stop * height),
        int(columns.start * width) : int(columns.stop * width),
    ]
