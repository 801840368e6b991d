import io

import numpy as np
import pytest
from PIL import Image

from lambdas.shared.errors import InputError
from lambdas.shared.radiograph import WORKING_LONG_SIDE_PX
from lambdas.shared.read import read_radiograph
from tests.builders import film, jpeg, png, tiff, to_8_bit

FILM = film()
EIGHT = to_8_bit(FILM)
SIXTEEN = (FILM << 4).astype(np.uint16)


def colour(alpha: bool = False) -> np.ndarray:
    planes = [EIGHT] * 3 + ([np.full_like(EIGHT, 255)] if alpha else [])
    return np.stack(planes, axis=-1)


def palette_png() -> bytes:
    image = Image.fromarray(255 - EIGHT).convert("P")
    image.putpalette([255 - level for level in range(256) for _ in range(3)])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def sixteen_bit_colour_png() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.stack([SIXTEEN] * 3, axis=-1)))


def white_is_zero_tiff(pixels: np.ndarray) -> bytes:
    data = tiff(np.iinfo(pixels.dtype).max - pixels)
    black_is_zero = b"\x06\x01\x03\x00\x01\x00\x00\x00\x01\x00"  # tag 262, SHORT, one value: 1
    assert data.count(black_is_zero) == 1
    return data.replace(black_is_zero, black_is_zero[:-2] + b"\x00\x00")


@pytest.mark.parametrize(
    ("data", "image_format", "bits", "photometric"),
    [
        (png(EIGHT), "png", 8, "MONOCHROME2"),
        (png(SIXTEEN), "png", 16, "MONOCHROME2"),  # convert("L") would clip these to white
        (png(colour()), "png", 8, "RGB"),
        (png(colour(alpha=True)), "png", 8, "RGB"),  # NIH ships some of its films so
        (palette_png(), "png", 8, "PALETTE COLOR"),  # indices run against the brightness
        (sixteen_bit_colour_png(), "png", 16, "RGB"),
        (jpeg(EIGHT), "jpeg", 8, "MONOCHROME2"),
        (tiff(EIGHT), "tiff", 8, "MONOCHROME2"),
        (tiff(SIXTEEN), "tiff", 16, "MONOCHROME2"),
        (tiff(SIXTEEN, compression="tiff_lzw"), "tiff", 16, "MONOCHROME2"),
        (tiff(FILM.astype(np.float32)), "tiff", 32, "MONOCHROME2"),
        (tiff(FILM.astype(np.int32)), "tiff", 32, "MONOCHROME2"),
    ],
)
def test_every_format_gives_the_same_film(
    data: bytes, image_format: str, bits: int, photometric: str
) -> None:
    reference = read_radiograph(png(SIXTEEN))
    radiograph = read_radiograph(data)
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.pixels.min() == 0.0
    assert radiograph.pixels.max() == 1.0
    assert np.abs(radiograph.pixels - reference.pixels).mean() < 0.01
    facts = radiograph.facts
    assert (facts.format, facts.bits_stored) == (image_format, bits)
    assert (facts.photometric_interpretation, facts.width_px, facts.height_px) == (
        photometric,
        FILM.shape[1],
        FILM.shape[0],
    )


@pytest.mark.parametrize("pixels", [EIGHT, SIXTEEN], ids=["8 bit", "16 bit"])
def test_tiff_with_white_as_zero_is_inverted(pixels: np.ndarray) -> None:
    radiograph = read_radiograph(white_is_zero_tiff(pixels))
    reference = read_radiograph(png(SIXTEEN))
    assert radiograph.facts.photometric_interpretation == "MONOCHROME1"
    assert np.abs(radiograph.pixels - reference.pixels).mean() < 0.01


def test_transparent_border_is_no_exposure() -> None:
    alpha = np.full_like(EIGHT, 255)
    alpha[:, :40] = 0
    pixels = np.stack([EIGHT, EIGHT, EIGHT, alpha], axis=-1)
    radiograph = read_radiograph(png(pixels))
    assert (radiograph.pixels[:, :40] == 0).all()


def test_camera_orientation_is_applied() -> None:
    image = Image.fromarray(EIGHT)
    exif = image.getexif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to display
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif, quality=95)
    radiograph = read_radiograph(stream.getvalue())
    assert (radiograph.facts.width_px, radiograph.facts.height_px) == EIGHT.shape
    upright = read_radiograph(jpeg(np.rot90(EIGHT, -1).copy(), quality=95))
    assert np.abs(radiograph.pixels - upright.pixels).mean() < 0.01


def test_large_film_is_reduced_to_working_size() -> None:
    radiograph = read_radiograph(png(np.kron(EIGHT, np.ones((5, 5), np.uint8))))
    assert max(radiograph.pixels.shape) == WORKING_LONG_SIDE_PX
    assert radiograph.facts.height_px == EIGHT.shape[0] * 5


def two_pages() -> bytes:
    stream = io.BytesIO()
    page = Image.fromarray(EIGHT)
    page.save(stream, "TIFF", save_all=True, append_images=[page])
    return stream.getvalue()


def not_numbers() -> bytes:
    pixels = FILM.astype(np.float32)
    pixels[10, 10] = np.nan
    return tiff(pixels)


@pytest.mark.parametrize(
    ("data", "code", "advice"),
    [
        (b"", "empty_file", "copy or export"),
        (b"name,finding\n1,none\n", "not_an_image", "send PNG"),
        (bytes(range(256)) * 20, "not_an_image", "send PNG"),
        (b"\x1f\x8b\x08\x00" + bytes(100), "compressed_archive", "gzip"),
        (b"PK\x03\x04" + bytes(100), "compressed_archive", "unpack"),
        (b"%PDF-1.7\n" + bytes(100), "unsupported_format", "pdf"),
        (b"GIF89a" + bytes(100), "unsupported_format", "gif"),
        (png(EIGHT)[:2000], "broken_file", "truncated"),
        (jpeg(EIGHT)[:300], "broken_file", "truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 300, "broken_file", "truncated"),
        (png(np.full((300, 300), 7, np.uint8)), "blank_image", "one value"),
        (png(EIGHT[:150, :150]), "too_small", "at least 200"),
        (two_pages(), "multi_frame", "2 pages"),
        (not_numbers(), "unsupported_pixels", "NaN"),
        (png(EIGHT > 100), "unsupported_pixels", "one bit"),
    ],
)
def test_bad_file_is_rejected_with_what_to_do(data: bytes, code: str, advice: str) -> None:
    with pytest.raises(InputError, match=advice) as caught:
        read_radiograph(data)
    assert caught.value.code == code


def test_name_is_never_asked_for() -> None:
    """The reader gets bytes only; a JPEG is a JPEG whatever its file was called."""
    assert read_radiograph(jpeg(EIGHT)).facts.format == "jpeg"
