import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import BinaryIO
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.batch.job import Source
from lambdas.batch.sources import listing_of
from lambdas.batch.state import Cursor
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.messages import ImageRef, ListedObject

HOSTILE_KEYS = ["2019/a b+c.dcm", '2019/é,"x".dcm', "2019/new\nline.dcm", "2019/100%.dcm"]


class MemoryLister:
    """Objects of one bucket, and files by key."""

    def __init__(
        self, objects: list[ListedObject] | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        self._objects = objects or []
        self._files = files or {}

    def current_objects(
        self, bucket: str, prefix: str, *, after_key: str | None
    ) -> Iterator[ListedObject]:
        for listed in self._objects:
            if listed.key.startswith(prefix) and listed.key > (after_key or ""):
                yield listed

    def open(self, bucket: str, key: str, *, start: int = 0) -> BinaryIO:
        return io.BytesIO(self._files[key][start:])


def in_steps(source: Source, lister: MemoryLister, step: int) -> list[ImageRef]:
    """The whole listing, a few images at a time, each step from the JSON of the last cursor."""
    cursor: Cursor = {}
    found: list[ImageRef] = []
    while batch := list(islice(listing_of(source, lister)(cursor), step)):
        found += [image for image, _ in batch]
        cursor = json.loads(json.dumps(batch[-1][1]))
    return found


def list_of(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def inventory(rows: list[list[str]], *, schema: str, files: int = 2) -> MemoryLister:
    names = [f"data/{number}.csv.gz" for number in range(files)]
    manifest = {
        "sourceBucket": "pacs",
        "destinationBucket": "arn:aws:s3:::lists",
        "fileFormat": "CSV",
        "fileSchema": schema,
        "files": [{"key": name} for name in names],
    }
    parts = {name: gzip.compress(list_of(rows[number::files])) for number, name in enumerate(names)}
    return MemoryLister(files={"m/manifest.json": json.dumps(manifest).encode(), **parts})


@pytest.mark.parametrize("step", [1, 2, 100])
def test_prefix_is_listed_without_folder_markers(step: int) -> None:
    objects = [
        ListedObject("2019/", "v0", "e", 0),
        ListedObject("2019/a.dcm", "v1", "e1", 10),
        ListedObject("2019/b.dcm", None, "e2", 0),
        ListedObject("2020/c.dcm", "v3", "e3", 10),
    ]
    found = in_steps(Source("prefix", "pacs", "2019/"), MemoryLister(objects), step)
    assert found == [
        ImageRef("pacs", "2019/a.dcm", "v1", "e1", 10),
        ImageRef("pacs", "2019/b.dcm", None, "e2", 0),
    ]


@pytest.mark.parametrize("step", [1, 3, 100])
def test_inventory_gives_current_objects_with_decoded_keys(step: int) -> None:
    rows = [
        ["pacs", quote_plus(key), f"v{i}", "true", "false", "9"]
        for i, key in enumerate(HOSTILE_KEYS)
    ]
    rows += [
        ["pacs", "2019/old.dcm", "v8", "false", "false", "9"],
        ["pacs", "2019/deleted.dcm", "v9", "true", "true", ""],
        ["pacs", "2019/", "v7", "true", "false", "0"],
    ]
    lister = inventory(rows, schema="Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size")
    found = in_steps(Source("inventory", "lists", "m/manifest.json"), lister, step)
    assert {image.key for image in found} == set(HOSTILE_KEYS)
    assert len(found) == len(HOSTILE_KEYS)
    assert {image.size_bytes for image in found} == {9}


@given(st.lists(st.text(min_size=1, max_size=20), max_size=12), st.integers(1, 5))
def test_csv_list_goes_on_from_any_line(keys: list[str], step: int) -> None:
    keys = [key.replace("\r", "").replace("\0", "") or "x" for key in keys]
    keys = [key for key in keys if not any("\ud800" <= c <= "\udfff" for c in key)]
    data = list_of([["bucket", "key", "version_id"], *(["pacs", key, "null"] for key in keys)])
    found = in_steps(Source("csv", "lists", "l.csv"), MemoryLister(files={"l.csv": data}), step)
    assert found == [ImageRef("pacs", key, None, None) for key in keys]


def test_csv_list_with_byte_order_mark_is_read() -> None:
    data = b"\xef\xbb\xbf" + list_of([["bucket", "key"], ["pacs", "a.dcm"]])
    found = in_steps(Source("csv", "lists", "l.csv"), MemoryLister(files={"l.csv": data}), 1)
    assert found == [ImageRef("pacs", "a.dcm", None, None)]


@pytest.mark.parametrize(
    ("source", "files", "sentence"),
    [
        (Source("csv", "b", "l"), {"l": b"key\nx\n"}, "no column bucket"),
        (Source("csv", "b", "l"), {"l": b""}, "no column bucket, key"),
        (Source("csv", "b", "l"), {"l": b"bucket,key\npacs,\n"}, "has no bucket or no key"),
        (Source("inventory", "b", "l"), {"l": b"{}"}, "not the manifest.json"),
        (
            Source("inventory", "b", "l"),
            {"l": b'{"fileFormat":"ORC","fileSchema":"","files":[],"destinationBucket":"b"}'},
            "expected CSV",
        ),
        (
            Source("inventory", "b", "l"),
            {"l": b'{"fileFormat":"CSV","fileSchema":"Key","files":[],"destinationBucket":"b"}'},
            "no field",
        ),
    ],
)
def test_unusable_list_is_refused_with_a_sentence(
    source: Source, files: dict[str, bytes], sentence: str
) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        in_steps(source, MemoryLister(files=files), 1)
