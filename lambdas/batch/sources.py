"""Where an archive's images are listed: a prefix, an S3 Inventory, a CSV list.

Each listing goes on from a cursor that fits in a small JSON document, so that a planner with little
time and memory gets through any number of images.
"""

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final, Protocol
from urllib.parse import unquote_plus

from lambdas.batch.job import Source
from lambdas.batch.state import Cursor
from lambdas.batch.waves import Listing
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.messages import ImageRef, ListedObject

INVENTORY_FIELDS: Final = ("Bucket", "Key")
LIST_COLUMNS: Final = ("bucket", "key")

_NO_VERSION: Final = ("", "null")
"""What a bucket without versioning calls its versions."""


class Lister(Protocol):
    """What the listings need of S3."""

    def current_objects(
        self, bucket: str, prefix: str, *, after_key: str | None
    ) -> Iterator[ListedObject]:
        """Current versions in the order of their keys, without deleted ones."""

    def open(self, bucket: str, key: str, *, start: int = 0) -> BinaryIO:
        """An object's bytes from an offset on, as a stream that iterates over lines."""


def listing_of(source: Source, lister: Lister) -> Listing:
    """The listing of a job's source."""
    kinds: dict[str, Callable[[Source, Lister, Cursor], Iterator[tuple[ImageRef, Cursor]]]] = {
        "prefix": _prefix,
        "inventory": _inventory,
        "csv": _csv,
    }
    return lambda cursor: kinds[source.kind](source, lister, cursor)


def _prefix(source: Source, lister: Lister, cursor: Cursor) -> Iterator[tuple[ImageRef, Cursor]]:
    """Every object but the empty ones that stand for folders."""
    objects = lister.current_objects(source.bucket, source.key, after_key=cursor.get("key"))
    for listed in objects:
        if listed.key.endswith("/") and listed.size_bytes == 0:
            continue
        image = ImageRef(
            source.bucket, listed.key, listed.version_id, listed.etag, listed.size_bytes
        )
        yield image, {"key": listed.key}


def _inventory(source: Source, lister: Lister, cursor: Cursor) -> Iterator[tuple[ImageRef, Cursor]]:
    """Source: Amazon S3 user guide, "Locating your inventory list": CSV files, gzip, no header."""
    with lister.open(source.bucket, source.key) as stream:
        manifest = _manifest(stream.read())
    fields = [name.strip() for name in manifest["fileSchema"].split(",")]
    if missing := [name for name in INVENTORY_FIELDS if name not in fields]:
        raise InvalidRequestError(f"the inventory has no field {missing}; its fields are {fields}")
    bucket = manifest["destinationBucket"].removeprefix("arn:aws:s3:::")
    for number in range(cursor.get("file", 0), len(manifest["files"])):
        done = cursor.get("row", 0) if number == cursor.get("file", 0) else 0
        with (
            lister.open(bucket, manifest["files"][number]["key"]) as stream,
            gzip.open(stream, "rt", encoding="utf-8", newline="") as text,
        ):
            for row, values in enumerate(csv.reader(text), start=1):
                if row <= done:
                    continue
                image = _inventoried(dict(zip(fields, values, strict=False)))
                if image is not None:
                    yield image, {"file": number, "row": row}


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(data)
        known = manifest["fileFormat"], manifest["fileSchema"], manifest["files"]
        bucket = manifest["destinationBucket"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(
            "the inventory's manifest is not the manifest.json that S3 writes; name that file"
        ) from error
    if known[0] != "CSV" or not isinstance(bucket, str):
        raise InvalidRequestError(
            f"the inventory's format is {known[0]!r}, expected CSV; change the inventory's "
            "configuration, or list the prefix instead"
        )
    return manifest


def _inventoried(row: Mapping[str, str]) -> ImageRef | None:
    """One line of an inventory; None for what is not a current object."""
    if row.get("IsLatest") == "false" or row.get("IsDeleteMarker") == "true":
        return None
    key, size = unquote_plus(row["Key"]), row.get("Size", "")
    if key.endswith("/") and size == "0":
        return None
    return ImageRef(
        bucket=row["Bucket"],
        key=key,
        version_id=_version(row.get("VersionId", "")),
        etag=row.get("ETag", "").strip('"') or None,
        size_bytes=int(size) if size.isdecimal() else None,
    )


def _csv(source: Source, lister: Lister, cursor: Cursor) -> Iterator[tuple[ImageRef, Cursor]]:
    """Columns bucket and key, perhaps version_id; keys as they are, not URL-encoded."""
    with lister.open(source.bucket, source.key) as stream:
        lines = _Lines(stream)
        header = [name.strip() for name in next(csv.reader(lines), [])]
        begin = lines.consumed
    if missing := [name for name in LIST_COLUMNS if name not in header]:
        raise InvalidRequestError(
            f"the list's first line has no column {', '.join(missing)}; expected bucket,key or "
            "bucket,key,version_id"
        )
    start = cursor.get("byte", begin)
    with lister.open(source.bucket, source.key, start=start) as stream:
        lines = _Lines(stream)
        for values in csv.reader(lines):
            if not values:
                continue
            row = dict(zip(header, values, strict=False))
            if not row.get("bucket") or not row.get("key"):
                raise InvalidRequestError(
                    f"the list's line that ends at byte {start + lines.consumed} has no bucket or "
                    "no key; mend the list and start again"
                )
            image = ImageRef(row["bucket"], row["key"], _version(row.get("version_id", "")), None)
            yield image, {"byte": start + lines.consumed}


class _Lines:
    """Lines of a stream as text, counting the bytes of those handed out."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.consumed = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            text = line.decode("utf-8-sig" if self.consumed == 0 else "utf-8")
            self.consumed += len(line)
            yield text


def _version(text: str) -> str | None:
    return None if text in _NO_VERSION else text
