"""From a DICOM data set to modality values: decode, mask, modality LUT, VOI LUT.

Pixel data is decoded here and not by pydicom's plugins, so that a codestream's own header can be
checked before a decoder allocates, and JPEG 2000 need be decoded only as far as it is used. The
LUTs are pydicom's, applied to a table of all stored values instead of to all pixels.
Sources: PS3.3 C.7.6.3.1 (Image Pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT); PS3.5 8 and A.4.
"""

import io
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    HTJ2K,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pydicom.uid import (
    JPEG2000 as JPEG2000_LOSSY,
)

from lambdas.shared.codestream import (
    LOSSLESS_PROCESS,
    Codestream,
    check_jpeg_ends,
    decode_8_bit_jpeg,
    decode_12_bit_jpeg,
    parse_jpeg,
    parse_jpeg2000,
)
from lambdas.shared.dicom import integer, quote, required_integer, text
from lambdas.shared.errors import MissingTagError, UnreadableImageError, UnsupportedImageError
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.raster import check_size

NATIVE: Final = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)
JPEG_2000: Final = frozenset({JPEG2000Lossless, JPEG2000_LOSSY})
HIGH_THROUGHPUT: Final = frozenset({HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
JPEG_DCT: Final = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
JPEG_LOSSLESS: Final = frozenset({JPEGLossless, JPEGLosslessSV1})
JPEG_LS: Final = frozenset({JPEGLSLossless, JPEGLSNearLossless})

MAX_TABLE_BITS: Final = 16
"""Deeper samples get their LUTs pixel by pixel: a table of 2**32 would be larger than the image."""

Samples = npt.NDArray[Any]


def modality_values(dataset: FileDataset, *, size_bytes: int, long_side_px: int) -> FloatImage:
    """Decode the one frame and apply its LUTs.

    Args:
        dataset: From `parse_dicom`, let through by `check_is_chest_radiograph`.
        size_bytes: Size of the file, which bounds what it may expand to.
        long_side_px: What will be used of the longer side. JPEG 2000 is decoded at the smallest
            resolution level that is no shorter.

    Returns:
        (H, W) float32, after modality and first VOI LUT, in MONOCHROME2 sense, where padding has
        the darkest value. Smaller than Rows x Columns only for JPEG 2000.

    Raises:
        InputError: Of the kind that says what is wrong with the pixels.
    """
    stored = _stored_samples(dataset, size_bytes=size_bytes, long_side_px=long_side_px)
    padding = _padding_mask(dataset, stored)
    values = _through_luts(dataset, stored, padding)
    if text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        np.negative(values, out=values)
    if padding is not None and not padding.all():
        values[padding] = np.min(values[~padding])
    return values


def transfer_syntax(dataset: FileDataset) -> str:
    """Transfer Syntax UID; for a file without meta information, that of its encoding.

    Raises:
        MissingTagError: Meta information without a transfer syntax, and compressed pixels.
    """
    uid = str(getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID") or "").strip(" \0")
    if uid:
        return uid
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise MissingTagError(
            "TransferSyntaxUID is missing, so the compressed pixels cannot be decoded; "
            "send the file again from the archive",
            code="missing_attribute",
        )
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _stored_samples(dataset: FileDataset, *, size_bytes: int, long_side_px: int) -> Samples:
    """(H, W) integers as stored, sign and unused bits put right."""
    rows, columns = required_integer(dataset, "Rows"), required_integer(dataset, "Columns")
    allocated = required_integer(dataset, "BitsAllocated")
    bits = integer(dataset, "BitsStored") or allocated
    if "PixelData" not in dataset or allocated not in (8, 16, 32) or not 2 <= bits <= allocated:
        raise UnsupportedImageError(
            f"samples of {bits} bits stored in {allocated} allocated are not read; "
            "expected integers of 2 to 32 bits in 8, 16 or 32",
            code="unsupported_pixels",
        )
    check_size(
        width_px=columns,
        height_px=rows,
        bytes_per_pixel=allocated // 8,
        size_bytes=size_bytes,
    )
    syntax = transfer_syntax(dataset)
    signed = integer(dataset, "PixelRepresentation") == 1
    native_bytes = rows * columns * allocated // 8
    data = dataset["PixelData"].value
    if not isinstance(data, bytes):
        raise _broken("the pixel data is empty")
    encapsulated = dataset["PixelData"].is_undefined_length
    # Some archives decompress and leave the old transfer syntax: then the length gives it away.
    if syntax in NATIVE or (not encapsulated and len(data) >= native_bytes):
        samples = _native(dataset, data, shape=(rows, columns), allocated=allocated, syntax=syntax)
        high_bit = integer(dataset, "HighBit")
        shift = high_bit + 1 - bits if high_bit is not None and bits <= high_bit + 1 else 0
        return _significant(samples, bits=bits, shift=min(shift, allocated - bits), signed=signed)
    frame = _first_frame(data)
    samples, header = _decode(syntax, frame, rows, columns, allocated, long_side_px)
    if header is not None and (header.bits > bits or header.signed):
        # the codestream knows its own depth and sign better than the attributes do
        return samples.astype(np.int32) if header.signed else samples
    return _significant(samples, bits=bits, shift=0, signed=signed)


def _native(
    dataset: FileDataset, data: bytes, *, shape: tuple[int, int], allocated: int, syntax: str
) -> Samples:
    """Uncompressed samples; PS3.5 8.1.1 and, for big endian, 8.1.2."""
    expected = shape[0] * shape[1] * allocated // 8
    if len(data) < expected:
        raise _broken(f"the pixel data has {len(data)} bytes, expected {expected}")
    big = syntax == ExplicitVRBigEndian
    if big and allocated == 8 and dataset["PixelData"].VR == "OW":
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    kind = np.dtype(f"{'>' if big else '<'}u{allocated // 8}")
    samples = np.frombuffer(data, kind, count=shape[0] * shape[1]).reshape(shape)
    return samples.astype(kind.newbyteorder("="), copy=False)


def _significant(samples: Samples, *, bits: int, shift: int, signed: bool) -> Samples:
    """The significant bits of stored samples; the others may hold overlays (PS3.5 8.1.1)."""
    width = samples.dtype.itemsize * 8
    if bits < width:
        samples = (samples >> np.uint8(shift)) & samples.dtype.type((1 << bits) - 1)
    if not signed:
        return samples
    # two's complement: flip the sign bit, then take away its weight
    sign = 1 << (bits - 1)
    return (
        (samples.astype(np.int64) ^ sign) - sign
        if bits > 16
        else ((samples.astype(np.int32) ^ sign) - sign)
    )


def _first_frame(data: bytes) -> bytes:
    """The codestream of the first frame, its fragments joined; PS3.5 A.4."""
    try:
        return next(generate_frames(data, number_of_frames=1))
    except Exception as error:  # pydicom raises what it meets
        raise _broken("the encapsulated pixel data has no frame") from error


def _decode(
    syntax: str, frame: bytes, rows: int, columns: int, allocated: int, long_side_px: int
) -> tuple[Samples, Codestream | None]:
    """Samples of a compressed frame, and its own header where it has one."""
    import imagecodecs

    header: Codestream | None = None
    decode: Callable[[bytes], Any]
    if syntax in JPEG_2000 or syntax in HIGH_THROUGHPUT:
        stream = header = parse_jpeg2000(frame)
        reduce = _resolution_reduction(stream, long_side_px)
        if reduce:

            def decode(data: bytes) -> Any:
                return _decode_reduced(data, stream, reduce)
        else:
            # OpenJPEG for HTJ2K too: OpenJPH, through imagecodecs, passes half a stream as whole
            decode = partial(imagecodecs.jpeg2k_decode, numthreads=os.cpu_count() or 1)
    elif syntax in JPEG_DCT or syntax in JPEG_LOSSLESS:
        header = parse_jpeg(frame)
        if header.process == LOSSLESS_PROCESS:
            check_jpeg_ends(frame)
            decode = imagecodecs.ljpeg_decode
        else:
            decode = decode_8_bit_jpeg if header.bits == 8 else decode_12_bit_jpeg
    elif syntax in JPEG_LS:
        header = parse_jpeg(frame)
        check_jpeg_ends(frame)
        decode = imagecodecs.jpegls_decode
    elif syntax == RLELossless:
        kind = np.dtype(f"<u{allocated // 8}")

        def decode(data: bytes) -> Any:
            decoded = imagecodecs.dicomrle_decode(data, kind, out=rows * columns * kind.itemsize)
            return np.frombuffer(decoded, kind).reshape(rows, columns)
    else:
        raise UnsupportedImageError(
            f"the transfer syntax {quote(UID(syntax).name)} is not read; convert the file, for "
            "instance to Explicit VR Little Endian or JPEG 2000 Lossless",
            code="unsupported_transfer_syntax",
        )
    if header is not None and (header.rows, header.columns) != (rows, columns):
        raise _broken(
            f"the codestream has {header.columns} x {header.rows} pixels, "
            f"the attributes say {columns} x {rows}"
        )
    if header is not None and header.components != 1:
        raise UnsupportedImageError(
            f"the codestream has {header.components} components, expected grey; "
            "send the original, not a colour capture",
            code="colour",
        )
    try:
        samples = np.asarray(decode(frame))
    except (MemoryError, UnreadableImageError, UnsupportedImageError):
        raise
    except Exception as error:  # each codec has errors of its own
        raise _broken(f"the {UID(syntax).name} data cannot be decoded") from error
    if samples.ndim == 3 and 1 in (samples.shape[0], samples.shape[2]):
        samples = samples.reshape([side for side in samples.shape if side != 1] or [1, 1])
    if samples.ndim != 2 or samples.dtype.kind not in "iu":
        raise _broken(f"the decoded frame has shape {samples.shape} of {samples.dtype}")
    return samples, header


def _resolution_reduction(header: Codestream, long_side_px: int) -> int:
    """How many times JPEG 2000 may be halved and still have `long_side_px`."""
    reduce, long_side = 0, max(header.rows, header.columns)
    while reduce < header.levels and -(-long_side // 2 ** (reduce + 1)) >= long_side_px:
        reduce += 1
    return reduce


def _decode_reduced(data: bytes, header: Codestream, reduce: int) -> Samples:
    """JPEG 2000 at a lower resolution level, by Pillow (OpenJPEG), which scales up to 16 bits."""
    image = Image.open(io.BytesIO(data), formats=["JPEG2000"])
    image.reduce = reduce  # type: ignore[method-assign, assignment]  # documented for JPEG 2000
    samples = np.asarray(image)
    if header.bits > 8:
        samples = samples.astype(np.uint16) >> np.uint8(16 - header.bits)
    if header.signed:
        # Pillow adds half of the range to signed components
        return samples.astype(np.int32) - (1 << (header.bits - 1))
    return samples


def _padding_mask(dataset: Dataset, stored: Samples) -> npt.NDArray[np.bool_] | None:
    """Where Pixel Padding Value (and its Range Limit) says that there is no image; C.7.5.1.1.2."""
    value = _stored_number(dataset, "PixelPaddingValue", stored)
    if value is None:
        return None
    limit = _stored_number(dataset, "PixelPaddingRangeLimit", stored)
    low, high = sorted((value, value if limit is None else limit))
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _stored_number(dataset: Dataset, keyword: str, stored: Samples) -> int | None:
    """A US or SS attribute in the sense of the samples, whichever of both it was written as."""
    try:
        value = integer(dataset, keyword)
    except UnreadableImageError:
        return None
    if value is None:
        return None
    if stored.dtype.kind == "i" and value > 32767:
        return value - 65536
    if stored.dtype.kind == "u" and value < 0:
        return value + 65536
    return value


def _through_luts(
    dataset: Dataset, stored: Samples, padding: npt.NDArray[np.bool_] | None
) -> FloatImage:
    """Modality LUT or rescale, then the first VOI LUT or window; a useless VOI is left out."""
    low, high = int(stored.min()), int(stored.max())
    if low == high:
        return np.zeros(stored.shape, np.float32)
    if high - low >= 1 << MAX_TABLE_BITS:
        return _luts(dataset, stored)
    levels = np.arange(low, high + 1, dtype=np.int32)
    table = _luts(dataset, levels)
    used = np.bincount((stored if padding is None else stored[~padding]).ravel() - low)
    present = table[: len(used)][used > 0]
    if present.size and np.min(present) == np.max(present):
        table = levels.astype(np.float32)  # the window shows one grey: worse than none
    return np.take(table, stored.astype(np.int32) - low)


def _luts(dataset: Dataset, values: Samples) -> FloatImage:
    """pydicom's LUTs; each is left out where its attributes are malformed (tolerant reading)."""
    rescaled = _if_finite(apply_modality_lut, values, dataset)
    if "VOILUTSequence" in dataset:
        rescaled = np.rint(rescaled).astype(np.int64)  # a table is looked up by integers
    return np.array(_if_finite(apply_voi_lut, rescaled, dataset), np.float32)


def _if_finite(apply: Callable[[Samples, Dataset], Any], values: Samples, ds: Dataset) -> Samples:
    """What `apply` makes of the values; the values themselves where it cannot."""
    try:
        result = np.asarray(apply(values, ds))
    except Exception:  # pydicom raises what it meets in a malformed LUT
        return values
    return result if np.isfinite(result).all() else values


def _broken(what: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"{what}; the file is truncated or damaged, send it again from the archive",
        code="broken_file",
    )
