"""Everything that a file says to whoever knows its format: compressed, nested, encoded."""

import base64
import contextlib
import io
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydicom
import pypdfium2 as pdfium
from PIL import Image

_REFUSED = contextlib.suppress(zlib.error, ValueError, OSError)
"""What a format's reader refuses is not in that format."""

BASE64_LEAST = 24
"""Characters of a string that may be a file within a file."""


def found_in(content: bytes | str, markers: Collection[str]) -> set[str]:
    """Those of the markers that anything in the content says."""
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    found: set[str] = set()
    for text in _texts(data):
        spelt = text.replace("-", "").replace("^", "")  # 1931-02-03 is 19310203
        found |= {marker for marker in markers if marker in text or marker in spelt}
    return found


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _texts(data: bytes, depth: int = 0) -> Iterator[str]:
    for encoding in ("latin-1", "utf-8", "utf-16-le", "utf-16-be"):
        yield data.decode(encoding, "ignore")
        yield data[1:].decode(encoding, "ignore")  # two-byte text may begin anywhere
    if depth > 3:
        return
    if data.startswith(b"%PDF"):
        yield from _pdf(data)
    elif data.startswith((b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*")):
        yield from _picture(data)
    elif data.startswith(b"PAR1"):
        yield str(pq.read_table(io.BytesIO(data)).to_pylist())
    elif data[128:132] == b"DICM":
        for part in _dicom(data):
            yield from _texts(part, depth + 1)
    elif data.lstrip()[:1] in (b"{", b"["):
        for part in _json(data):
            yield from _texts(part, depth + 1)


def _pdf(data: bytes) -> Iterator[str]:
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        for content in (stream, _ascii85(stream)):
            with _REFUSED:
                yield zlib.decompressobj().decompress(content).decode("latin-1")
    document = pdfium.PdfDocument(data)
    try:
        yield str(document.get_metadata_dict())
        for page in document:
            yield page.get_textpage().get_text_range()
    finally:
        document.close()


def _picture(data: bytes) -> Iterator[str]:
    with _REFUSED:
        picture = Image.open(io.BytesIO(data))
        yield str(picture.info)
        yield str(dict(picture.getexif()))


def _dicom(data: bytes) -> Iterator[bytes]:
    def values(dataset: pydicom.Dataset) -> Iterator[bytes]:
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    yield from values(item)
            elif isinstance(element.value, bytes):
                yield element.value
            else:
                yield str(element.value).encode("utf-8", "surrogateescape")

    dataset = pydicom.dcmread(io.BytesIO(data))
    yield from values(dataset.file_meta)
    yield from values(dataset)


def _json(data: bytes) -> Iterator[bytes]:
    """Strings with their escapes undone, and what they hold in base64."""

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield key
                yield from strings(item)
        elif isinstance(value, list):
            for item in value:
                yield from strings(item)

    documents = []
    with _REFUSED:
        documents = [json.loads(data)]
    if not documents:  # one object a line
        for line in data.splitlines():
            with _REFUSED:
                documents.append(json.loads(line))
    for text in strings(documents):
        yield text.encode("utf-8", "surrogateescape")
        if len(text) >= BASE64_LEAST:
            with _REFUSED:
                yield base64.b64decode(text, validate=True)


def _ascii85(stream: bytes) -> bytes:
    with _REFUSED:
        return base64.a85decode(stream.strip().removesuffix(b"~>"))
    return b""
