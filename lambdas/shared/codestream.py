"""What a compressed codestream says of itself, and decoders that do not pass half of one as whole.

The reader checks the header against the file's own claims before a decoder allocates anything.
Sources: ITU-T T.81 B.2.2 (JPEG, also JPEG-LS in ITU-T T.87 C.2.2), ITU-T T.800 A.5.1 and A.6.1
(JPEG 2000, whose markers HTJ2K shares).
"""

import io
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from lambdas.shared.errors import UnreadableImageError

_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_COD: Final = 0xFF52
_SOT: Final = 0xFF90
_FRAME_MARKERS: Final = frozenset(
    {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
)
"""SOF0 to SOF15 without DHT, JPG and DAC; SOF55 is JPEG-LS."""

_STANDALONE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xDA)})

LOSSLESS_PROCESS: Final = 0xC3

_EOI: Final = b"\xff\xd9"

_MAX_HEADER_MARKERS: Final = 10_000
"""More markers than this before the frame header is an attack, not a file."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of a codestream.

    Attributes:
        rows: Height in pixels.
        columns: Width in pixels.
        components: 1 for grey.
        bits: Precision of a sample.
        signed: Whether samples are signed; only JPEG 2000 says.
        levels: Times that JPEG 2000 can halve the image; 0 for others.
        process: Marker of the frame header (0xC0 baseline, 0xC1 extended, 0xC3 lossless, 0xF7
            JPEG-LS); 0 for JPEG 2000.
    """

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool
    levels: int
    process: int


def parse_jpeg(data: bytes) -> Codestream:
    """Header of a JPEG or JPEG-LS codestream.

    Raises:
        UnreadableImageError: There is no frame header.
    """
    if not data.startswith(_SOI):
        raise _no_header("JPEG")
    position = 2
    for _ in range(_MAX_HEADER_MARKERS):
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            break
        marker = data[position + 1]
        if marker in (0x00, 0xFF) or marker in _STANDALONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_MARKERS:
            if position + 10 > len(data):
                break
            bits, rows, columns, components = struct.unpack_from(">BHHB", data, position + 4)
            return Codestream(rows, columns, components, bits, False, 0, marker)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise _no_header("JPEG")


def parse_jpeg2000(data: bytes) -> Codestream:
    """Header of a JPEG 2000 or HTJ2K codestream, bare or within a JP2 file.

    Raises:
        UnreadableImageError: There is no SIZ or COD marker.
    """
    start = data.find(_SOC_SIZ)
    if start < 0 or start + 44 > len(data):
        raise _no_header("JPEG 2000")
    x_end, y_end, x_start, y_start = struct.unpack_from(">4I", data, start + 8)
    components, precision = struct.unpack_from(">HB", data, start + 40)
    position = start + 4 + int.from_bytes(data[start + 4 : start + 6], "big")
    levels = None
    for _ in range(_MAX_HEADER_MARKERS):
        if position + 12 > len(data):
            break
        marker = int.from_bytes(data[position : position + 2], "big")
        if marker == _COD:
            levels = data[position + 9]
            break
        if marker == _SOT:
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if levels is None:
        raise _no_header("JPEG 2000")
    return Codestream(
        rows=y_end - y_start,
        columns=x_end - x_start,
        components=components,
        bits=(precision & 0x7F) + 1,
        signed=bool(precision & 0x80),
        levels=levels,
        process=0,
    )


def decode_8_bit_jpeg(data: bytes) -> npt.NDArray[Any]:
    """Samples of a grey baseline or extended JPEG by Pillow, which refuses half a file."""
    return np.asarray(Image.open(io.BytesIO(data), formats=["JPEG"]))


def decode_12_bit_jpeg(data: bytes) -> npt.NDArray[Any]:
    """Samples of what Pillow cannot read.

    Raises:
        UnreadableImageError: The end marker is missing.
    """
    import imagecodecs

    check_jpeg_ends(data)
    return np.asarray(imagecodecs.jpeg8_decode(data))


def check_jpeg_ends(data: bytes) -> None:
    """Refuse a JPEG or JPEG-LS codestream without its end marker.

    libjpeg fills what is missing with grey and says nothing; CharLS takes seconds to notice.

    Raises:
        UnreadableImageError: The end marker is missing.
    """
    if not data.rstrip(b"\0").endswith(_EOI):
        raise UnreadableImageError(
            "the JPEG data ends too early; the file is truncated, send it again",
            code="broken_file",
        )


def _no_header(name: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"the {name} data has no frame header; it is truncated or damaged, export it again",
        code="broken_file",
    )
