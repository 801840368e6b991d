"""What a file is, by its content. Names and extensions are never believed."""

from typing import Final

SNIFF_BYTES: Final = 4096
"""Bytes from the start of a file that `sniff` wants to see."""

RASTER_FORMATS: Final = frozenset({"png", "jpeg", "tiff"})

DICOM_PREAMBLE_BYTES: Final = 128
"""PS3.10 7.1: then comes `DICM`."""

_SIGNATURES: Final[tuple[tuple[int, bytes, str], ...]] = (
    (DICOM_PREAMBLE_BYTES, b"DICM", "dicom"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"II+\x00", "tiff"),
    (0, b"MM\x00+", "tiff"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"Rar!\x1a\x07", "rar"),
    (257, b"ustar", "tar"),
    (0, b"%PDF-", "pdf"),
    (0, b"GIF8", "gif"),
    (0, b"BM", "bmp"),
    (8, b"WEBP", "webp"),
    (4, b"ftypheic", "heic"),
    (4, b"ftypavif", "avif"),
    (0, b"\x00\x00\x00\x0cjP  ", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "jpegxl"),
    (344, b"n+1\x00", "nifti"),
    (0, b"\x93NUMPY", "numpy"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
)
"""Offset, bytes found there, format. The DICOM signature stands first: any bytes may precede it."""

ARCHIVES: Final = frozenset({"gzip", "zip", "bzip2", "xz", "7z", "zstd", "rar", "tar"})

_CONTROL_BYTES: Final = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


def sniff(head: bytes) -> str:
    """Name the format of a file.

    Args:
        head: Its first `SNIFF_BYTES` bytes, or all of a shorter file.

    Returns:
        `png`, `jpeg`, `tiff`, `dicom`; the name of an archive or another known format; `empty`,
        `text`, or `unknown`.
    """
    if not head:
        return "empty"
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if _starts_with_element(head):
        return "dicom"
    return "text" if _is_text(head[:SNIFF_BYTES]) else "unknown"


def _starts_with_element(head: bytes) -> bool:
    """Whether a DICOM data set without preamble may start here: group 0002 or 0008, then a length.

    Old archives hold such files; PS3.5 7.1 gives the element's layout in its three encodings.
    """
    if len(head) < 16:
        return False
    for order in ("little", "big"):
        group = int.from_bytes(head[0:2], order)
        element = int.from_bytes(head[2:4], order)
        if group not in (0x0002, 0x0008) or element > 0x0070:
            continue
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        implicit = order == "little" and int.from_bytes(head[4:8], "little") <= 256
        if explicit or implicit:
            return True
    return False


def _is_text(head: bytes) -> bool:
    """UTF-8, UTF-16 with its mark, or an 8-bit code page without control characters."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return not _CONTROL_BYTES.intersection(head)
