"""Each limit stops a hostile file before it costs anything; the largest honest file passes."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from lambdas.shared import limits, read
from lambdas.shared.errors import InputError
from lambdas.shared.raster import check_size
from lambdas.shared.read import read_radiograph
from tests.builders import chest_dataset, dicom, film, png, saved


def rejection(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_radiograph(data)
    return caught.value.code


def png_header(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG that claims a size, with little behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_pixels_claimed_by_a_header() -> None:
    assert rejection(png_header(30_000, 30_000)) == "too_many_pixels"
    assert rejection(png_header(10_000, 9_000)) == "too_many_pixels"


def test_one_long_line_is_no_film() -> None:
    assert rejection(png_header(limits.MAX_SIDE_PX + 1, 300)) == "too_many_pixels"


def test_png_bomb() -> None:
    body = zlib.compress(bytes(7001 * 7000), 9)
    assert rejection(png_header(7000, 7000, body)) == "decompression_ratio"


def test_compressed_films_are_far_from_the_ratio_limit() -> None:
    smooth = np.clip(np.add.outer(np.arange(3000), np.arange(2500)) / 22, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "JPEG", quality=30)
    assert read_radiograph(stream.getvalue()).facts.width_px == 2500


def test_deflated_data_set_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(
        chest_dataset(np.zeros((4000, 4000), np.uint16)), syntax=uid.DeflatedExplicitVRLittleEndian
    )
    monkeypatch.setattr("lambdas.shared.dicom.MAX_EXPANSION", 500)
    assert len(data) < 64_000
    assert rejection(data) == "decompression_ratio"


def test_jpeg2000_codestream_claiming_a_huge_image() -> None:
    data = dicom(film(), syntax=uid.JPEG2000Lossless)
    start = data.index(b"\xff\x4f\xff\x51") + 8
    lying = data[:start] + struct.pack(">II", 60_000, 60_000) + data[start + 8 :]
    assert rejection(lying) == "broken_file"


def test_bytes_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_FILE_BYTES", 5_000)
    assert rejection(png(film())) == "too_many_bytes"


def test_frames() -> None:
    assert rejection(dicom(NumberOfFrames="1000000")) == "multi_frame"


def test_deeply_nested_sequences_end_as_broken() -> None:
    """10,000 sequences within each other; parsing by recursion must not take the process down."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    sequence = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    data = saved(chest_dataset())
    position = data.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    code = rejection(data[:position] + (sequence + item) * 10_000)
    assert code in ("broken_file", "no_pixels")


@pytest.mark.parametrize(
    ("width", "height", "size_bytes"),
    [
        (4300, 4300, 3_000_000),  # the largest film, at 12:1
        (8192, 8192, 400_000),
        (limits.MIN_SIDE_PX, limits.MIN_SIDE_PX, 100),  # small ones may compress without limit
    ],
)
def test_honest_sizes_pass(width: int, height: int, size_bytes: int) -> None:
    check_size(width_px=width, height_px=height, bytes_per_pixel=2, size_bytes=size_bytes)
