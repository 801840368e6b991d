"""Read PNG, JPEG and TIFF into grey samples.

Pillow decodes; what it would clip or halve (16-bit colour PNG, 12-bit and lossless JPEG) goes
through imagecodecs. Pillow's own `convert("L")` of 16 bits clips to white, so it is never used on
them.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lambdas.shared.codestream import decode_12_bit_jpeg, parse_jpeg
from lambdas.shared.errors import ResourceLimitError, UnreadableImageError, UnsupportedImageError
from lambdas.shared.limits import (
    EXPANSION_FREE_BYTES,
    MAX_EXPANSION,
    MAX_FRAMES,
    MAX_PIXELS,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
)

_REC_601: Final = (0.299, 0.587, 0.114)
"""Luminance of red, green and blue; ITU-R BT.601, as Pillow's own grey."""

_TIFF_PHOTOMETRIC: Final = 262
_TIFF_WHITE_IS_ZERO: Final = 0

_PNG_IHDR: Final = slice(24, 26)
"""Bit depth and colour type of a PNG; ISO/IEC 15948 11.2.2."""


@dataclass(frozen=True, slots=True)
class GreySamples:
    """Decoded samples of one image.

    Attributes:
        samples: (H, W) integers or float32; larger is brighter where `inverted` is False.
        bits_stored: Significant bits of a stored sample.
        photometric_interpretation: As stored, in DICOM's terms.
        inverted: Whether larger is darker (white is zero), as MONOCHROME1.
    """

    samples: npt.NDArray[Any]
    bits_stored: int
    photometric_interpretation: str
    inverted: bool


def read_raster(data: bytes, image_format: str) -> GreySamples:
    """Decode a PNG, JPEG or TIFF file; EXIF orientation is applied, so that the film is upright.

    Args:
        data: The file.
        image_format: `png`, `jpeg` or `tiff`, as sniffed.

    Raises:
        UnreadableImageError: The bytes are broken.
        UnsupportedImageError: More than one page, or a layout no radiograph has.
        ResourceLimitError: Too many pixels, or a file that expands too much.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=[image_format.upper()])
    except Image.DecompressionBombError as error:
        raise ResourceLimitError(_too_many_pixels(), code="too_many_pixels") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise what they meet
        return _read_with_imagecodecs(data, image_format, error)
    check_size(
        width_px=image.width,
        height_px=image.height,
        bytes_per_pixel=4,
        size_bytes=len(data),
    )
    if getattr(image, "n_frames", 1) > MAX_FRAMES:
        raise UnsupportedImageError(
            f"the {image_format.upper()} file has {getattr(image, 'n_frames', 0)} pages; "
            "send one radiograph a file",
            code="multi_frame",
        )
    if image_format == "png" and data[_PNG_IHDR] in (b"\x10\x02", b"\x10\x04", b"\x10\x06"):
        return _read_with_imagecodecs(data, image_format, None)
    white_is_zero = _tiff_photometric(image) == _TIFF_WHITE_IS_ZERO
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception as error:
        raise _broken(image_format, error) from error
    return _grey(image, white_is_zero=white_is_zero)


def check_size(*, width_px: int, height_px: int, bytes_per_pixel: int, size_bytes: int) -> None:
    """Refuse an image by the size that its header declares, before anything is decoded.

    Raises:
        UnsupportedImageError: Too few pixels to assess.
        ResourceLimitError: Too many pixels, or too many for the bytes of the file.
    """
    if width_px > MAX_SIDE_PX or height_px > MAX_SIDE_PX or width_px * height_px > MAX_PIXELS:
        raise ResourceLimitError(
            f"the image has {width_px} x {height_px} pixels; {_too_many_pixels()}",
            code="too_many_pixels",
        )
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise UnsupportedImageError(
            f"the image has {width_px} x {height_px} pixels, too few to assess; send the original, "
            f"at least {MIN_SIDE_PX} pixels on each side",
            code="too_small",
        )
    decoded_bytes = width_px * height_px * bytes_per_pixel
    if decoded_bytes > EXPANSION_FREE_BYTES and decoded_bytes > MAX_EXPANSION * size_bytes:
        raise ResourceLimitError(
            f"{size_bytes} bytes would expand to {decoded_bytes}, more than {MAX_EXPANSION} times; "
            "no radiograph compresses that far, check how the file was made",
            code="decompression_ratio",
        )


def _grey(image: Image.Image, *, white_is_zero: bool) -> GreySamples:
    """Samples of a loaded Pillow image; `white_is_zero` is what its TIFF tag says."""
    mode = image.mode
    if mode == "L":
        # Pillow turns 8-bit white-is-zero round itself
        stored = "MONOCHROME1" if white_is_zero else "MONOCHROME2"
        return GreySamples(np.asarray(image), 8, stored, inverted=False)
    if mode.startswith("I;16"):
        samples = np.asarray(image)
        return GreySamples(
            samples.astype(np.uint16, copy=False),
            16,
            "MONOCHROME1" if white_is_zero else "MONOCHROME2",
            inverted=white_is_zero,
        )
    if mode in ("I", "F"):
        samples = np.asarray(image)
        if not np.isfinite(samples).all():
            raise UnsupportedImageError(
                "the image holds values that are no numbers (NaN or infinity); "
                "export it with integer samples",
                code="unsupported_pixels",
            )
        return GreySamples(
            samples.astype(np.float32),
            32,
            "MONOCHROME1" if white_is_zero else "MONOCHROME2",
            inverted=white_is_zero,
        )
    if mode == "1":
        raise UnsupportedImageError(
            "the image has one bit a pixel, black or white; send the grey original",
            code="unsupported_pixels",
        )
    if mode in ("P", "PA"):
        image = image.convert("RGBA")
        return GreySamples(_luminance(np.asarray(image)), 8, "PALETTE COLOR", inverted=False)
    if mode in ("LA", "La"):
        image = image.convert("LA")
        return GreySamples(_over_black(np.asarray(image)), 8, "MONOCHROME2", inverted=False)
    samples = np.asarray(image.convert("RGBA"))
    return GreySamples(_luminance(samples), 8, "RGB", inverted=False)


def _read_with_imagecodecs(data: bytes, image_format: str, cause: Exception | None) -> GreySamples:
    """What Pillow cannot read in full depth: 16-bit colour PNG, 12-bit and lossless JPEG."""
    import imagecodecs

    decoders: dict[str, Callable[[bytes], Any]] = {
        "png": imagecodecs.png_decode,
        "jpeg": decode_12_bit_jpeg,
    }
    decode = decoders.get(image_format)
    if decode is None:
        raise _broken(image_format, cause) from cause
    bits = 16
    try:
        if image_format == "jpeg":
            header = parse_jpeg(data)
            bits = header.bits
            check_size(
                width_px=header.columns,
                height_px=header.rows,
                bytes_per_pixel=4,
                size_bytes=len(data),
            )
        samples = np.asarray(decode(data))
    except (MemoryError, ResourceLimitError, UnsupportedImageError):
        raise
    except Exception as error:
        raise _broken(image_format, error) from error
    if samples.ndim == 2:
        return GreySamples(samples, bits, "MONOCHROME2", inverted=False)
    if samples.shape[2] == 2:
        return GreySamples(_over_black(samples), bits, "MONOCHROME2", inverted=False)
    return GreySamples(_luminance(samples), bits, "RGB", inverted=False)


def _luminance(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(H, W) float32 from (H, W, 3) colour or (H, W, 4) colour and alpha, over black."""
    weights = np.asarray(_REC_601, np.float32)
    grey = samples[..., :3].astype(np.float32) @ weights
    return np.asarray(grey * _opacity(samples[..., 3]) if samples.shape[2] == 4 else grey)


def _over_black(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(H, W) float32 from (H, W, 2) grey and alpha: what is transparent is outside the film."""
    return samples[..., 0].astype(np.float32) * _opacity(samples[..., 1])


def _opacity(alpha: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)


def _tiff_photometric(image: Image.Image) -> int | None:
    tags = getattr(image, "tag_v2", {})
    value = tags.get(_TIFF_PHOTOMETRIC)
    return int(value) if value is not None else None


def _too_many_pixels() -> str:
    return f"at most {MAX_PIXELS} pixels and {MAX_SIDE_PX} a side are read; reduce it before upload"


def _broken(image_format: str, cause: Exception | None) -> UnreadableImageError:
    return UnreadableImageError(
        f"the file starts as {image_format.upper()} but cannot be decoded "
        f"({type(cause).__name__ if cause else 'no decoder'}); it is truncated or damaged, "
        "copy or export it again",
        code="broken_file",
    )
