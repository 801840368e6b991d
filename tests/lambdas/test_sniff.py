import pytest

from lambdas.shared.sniff import sniff
from tests.builders import dicom, film, jpeg, png, tiff, to_8_bit

EIGHT = to_8_bit(film())


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "empty"),
        (png(EIGHT), "png"),
        (jpeg(EIGHT), "jpeg"),
        (tiff(EIGHT), "tiff"),
        (dicom(), "dicom"),
        (b"\x89PNG\r\n\x1a\n" + bytes(120) + b"DICM" + bytes(20), "dicom"),  # any preamble may be
        (dicom(preamble=False), "dicom"),
        (dicom(preamble=False, syntax="1.2.840.10008.1.2"), "dicom"),
        (dicom(preamble=False, syntax="1.2.840.10008.1.2.2"), "dicom"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip"),
        (b"PK\x03\x04" + bytes(20), "zip"),
        (bytes(257) + b"ustar" + bytes(20), "tar"),
        (b"%PDF-1.4", "pdf"),
        (b"file,label\nx.png,normal\n", "text"),
        ("Größe: 3\n".encode(), "text"),
        ("Größe: 3\n".encode("latin-1"), "text"),
        ("a,b\n".encode("utf-16"), "text"),
        (b"BM" + bytes(60), "bmp"),
        (bytes(64), "unknown"),
        (bytes(range(200)), "unknown"),
    ],
)
def test_content_decides(head: bytes, name: str) -> None:
    assert sniff(head[:4096]) == name
