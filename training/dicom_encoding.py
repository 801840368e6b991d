"""Encode a frame in the compressed transfer syntaxes that hospitals send.

Needed to make demo images and tests; production only decodes. Sources: PS3.5 8.2 and annex A.4.
"""

from collections.abc import Callable
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

Samples = npt.NDArray[Any]

_ENCODERS: Final[dict[str, Callable[[Samples, int], bytes]]] = {
    "JPEGBaseline8Bit": lambda samples, bits: imagecodecs.jpeg8_encode(samples, level=97),
    "JPEGExtended12Bit": lambda samples, bits: imagecodecs.jpeg8_encode(
        samples, level=97, bitspersample=bits
    ),
    "JPEGLossless": lambda samples, bits: imagecodecs.ljpeg_encode(samples, bitspersample=bits),
    "JPEGLosslessSV1": lambda samples, bits: imagecodecs.ljpeg_encode(samples, bitspersample=bits),
    "JPEGLSLossless": lambda samples, bits: imagecodecs.jpegls_encode(samples, level=0),
    "JPEGLSNearLossless": lambda samples, bits: imagecodecs.jpegls_encode(samples, level=2),
    "JPEG2000Lossless": lambda samples, bits: imagecodecs.jpeg2k_encode(
        samples, codecformat="j2k", reversible=True, level=0, bitspersample=bits
    ),
    "JPEG2000": lambda samples, bits: imagecodecs.jpeg2k_encode(
        samples, codecformat="j2k", reversible=False, level=60, bitspersample=bits
    ),
    "HTJ2KLossless": lambda samples, bits: imagecodecs.htj2k_encode(samples, reversible=True),
    "HTJ2KLosslessRPCL": lambda samples, bits: imagecodecs.htj2k_encode(samples, reversible=True),
    "HTJ2K": lambda samples, bits: imagecodecs.htj2k_encode(samples, reversible=True),
}
"""By the transfer syntax's keyword; each takes (H, W) samples and their significant bits."""


def encode_frame(samples: Samples, syntax: str, *, bits: int) -> bytes:
    """One codestream.

    Args:
        samples: (H, W) integers.
        syntax: Transfer Syntax UID.
        bits: Significant bits of a sample.

    Raises:
        ValueError: There is no encoder for this transfer syntax.
    """
    if syntax == RLELossless:
        return _run_length(samples)
    keyword = UID(syntax).keyword
    if keyword not in _ENCODERS:
        raise ValueError(f"no encoder for {UID(syntax).name}")
    return bytes(_ENCODERS[keyword](samples, bits))


def encapsulate_frame(dataset: Dataset, frame: bytes) -> None:
    """Put a codestream into a data set as its one encapsulated frame."""
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True


def _run_length(samples: Samples) -> bytes:
    """RLE by pydicom, which has it built in."""
    from pydicom.dataset import FileMetaDataset

    dataset = Dataset()
    dataset.Rows, dataset.Columns = samples.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = samples.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(samples.dtype, np.signedinteger))
    dataset.PixelData = samples.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless, generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))
