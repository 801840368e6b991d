"""A search that finds nothing proves nothing, unless it finds what is there."""

import base64
import io
import json
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reportlab.pdfgen.canvas import Canvas

from tests.deidentification import planted
from tests.deidentification.harvest import found_in
from tests.deidentification.planted import ALL, NAME, TAGS, planted_images

FILES = planted_images()


def pdf(compressed: bool) -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream, pageCompression=int(compressed))
    canvas.drawString(100, 700, NAME)
    canvas.save()
    return stream.getvalue()


def pdf_metadata() -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream)
    canvas.setAuthor(NAME)
    canvas.drawString(100, 700, "nothing")
    canvas.save()
    return stream.getvalue()


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"x": [NAME] * 1000}), stream, compression="zstd")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        NAME,
        NAME.encode("utf-16-le"),
        b"\0" + NAME.encode("utf-16-be"),
        pdf(compressed=False),
        pdf(compressed=True),
        pdf_metadata(),
        parquet(),
        json.dumps({"a": [{"b": NAME}]}),
        json.dumps({"x": "".join(f"\\u{ord(c):04x}" for c in NAME)}).replace("\\\\", "\\"),
        json.dumps({"data": base64.b64encode(pdf(compressed=True)).decode()}),
        '{"x": 1}\n{"y": "' + NAME + '"}\n',
    ],
    ids=lambda content: str(content[:12]),
)
def test_a_marker_is_found_wherever_a_format_can_hide_it(content) -> None:
    assert found_in(content, ALL) == {NAME}


def test_a_date_is_found_as_people_write_it() -> None:
    assert found_in("born 1931-02-03", ALL) == {planted.BIRTH_DATE}


def test_compressed_text_alone_would_not_be_found() -> None:
    """So the formats' own readers are needed."""
    assert NAME.encode() not in pdf(compressed=True)
    assert NAME.encode() not in zlib.compress(NAME.encode() * 2)


def test_every_identifier_is_really_planted() -> None:
    assert found_in(FILES["abnormal.dcm"], TAGS) >= TAGS - {
        "PLANTEDBADDATE",
        "PLANTEDEXIF",
        "PLANTEDTEXT",
    }
    assert "PLANTEDBADDATE" in found_in(FILES["invalid_values.dcm"], TAGS)
    assert found_in(FILES["picture.png"], TAGS) == {"PLANTEDEXIF", "PLANTEDTEXT"}
    assert found_in(FILES["picture.jpg"], TAGS) == {"PLANTEDEXIF", "PLANTEDTEXT"}
    assert found_in(FILES["picture.tif"], TAGS) == {"PLANTEDTEXT"}
    planes = planted.planted_dicom(overlay=True), planted.planted_dicom(overlay=False)
    assert len(planes[0]) > len(planes[1]) + np.prod(planted.BRIGHT.shape) // 8
