"""Where a data set lies: a folder, or a prefix of an S3 bucket. Both answer the same questions.

Sources are small values that can be sent to worker processes. From S3 only what is asked for is
fetched: two annotation files to know the studies, one object for each image that is read.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lambdas.shared.errors import StorageUnavailableError
from training.errors import MissingPartError

S3_SCHEME = "s3://"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a source.

    Attributes:
        size_bytes: Its size.
        tag: Changes when the content does: modification time, or ETag.
    """

    size_bytes: int
    tag: str


class Source(Protocol):
    """A place that holds files under relative paths with forward slashes."""

    def listing(self) -> Mapping[str, Entry]:
        """Every file, by relative path."""

    def read(self, path: str) -> bytes:
        """A whole file."""

    def tail(self, path: str, count: int) -> bytes:
        """The last `count` bytes of a file."""

    def locate(self, path: str) -> Path | str:
        """What `read_file` understands: a file path, or `s3://bucket/key`."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Files below a folder."""

    root: Path

    def listing(self) -> Mapping[str, Entry]:
        """Every file below the folder but hidden ones."""
        entries = {}
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            if any(part.startswith(".") for part in relative.parts) or not path.is_file():
                continue
            status = path.stat()
            entries[relative.as_posix()] = Entry(status.st_size, str(status.st_mtime_ns))
        return entries

    def read(self, path: str) -> bytes:
        """A whole file."""
        return (self.root / path).read_bytes()

    def tail(self, path: str, count: int) -> bytes:
        """The last `count` bytes of a file, or all of it if it is shorter."""
        with (self.root / path).open("rb") as file:
            file.seek(max(0, (self.root / path).stat().st_size - count))
            return file.read(count)

    def locate(self, path: str) -> Path:
        """The file's path."""
        return self.root / path


@dataclass(frozen=True, slots=True)
class S3Source:
    """Objects below a prefix; the prefix is empty or ends in a slash."""

    bucket: str
    prefix: str

    def listing(self) -> Mapping[str, Entry]:
        """Every object below the prefix."""
        from botocore.exceptions import BotoCoreError, ClientError

        entries = {}
        pages = _s3_client().get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for item in page.get("Contents", ()):
                    relative = item["Key"].removeprefix(self.prefix)
                    entries[relative] = Entry(item["Size"], item["ETag"].strip('"'))
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(self.locate(""), error) from error
        return entries

    def read(self, path: str) -> bytes:
        """A whole object."""
        return _get(self.bucket, self.prefix + path)

    def tail(self, path: str, count: int) -> bytes:
        """The last `count` bytes of an object, by a ranged request."""
        return _get(self.bucket, self.prefix + path, Range=f"bytes=-{count}")

    def locate(self, path: str) -> str:
        """The object's URL."""
        return f"{S3_SCHEME}{self.bucket}/{self.prefix}{path}"


def open_source(root: Path | str) -> Source:
    """The source at a folder or an `s3://bucket/prefix`.

    Raises:
        MissingPartError: The folder does not exist.
    """
    if str(root).startswith(S3_SCHEME):
        bucket, _, prefix = str(root).removeprefix(S3_SCHEME).partition("/")
        prefix = prefix.rstrip("/")
        return S3Source(bucket, f"{prefix}/" if prefix else "")
    folder = Path(root)
    if not folder.is_dir():
        raise MissingPartError(f"{folder} is not a folder; give the folder that PadChest-GR is in")
    return FolderSource(folder)


def read_file(location: Path | str) -> bytes:
    """Bytes of what `Source.locate` named."""
    if isinstance(location, Path) or not location.startswith(S3_SCHEME):
        return Path(location).read_bytes()
    bucket, _, key = location.removeprefix(S3_SCHEME).partition("/")
    return _get(bucket, key)


def _get(bucket: str, key: str, **options: str) -> bytes:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        body: bytes = _s3_client().get_object(Bucket=bucket, Key=key, **options)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise _unavailable(f"{S3_SCHEME}{bucket}/{key}", error) from error
    return body


def _unavailable(url: str, error: Exception) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"{url} cannot be read ({error}); check the bucket, the region and that the role may "
        "s3:ListBucket and s3:GetObject there, then run again"
    )


@functools.cache
def _s3_client() -> Any:
    """One client a process; boto3 is needed for `s3://` alone."""
    import boto3
    from botocore.config import Config

    # 16 connections: the image check asks that many at once
    config = Config(retries={"mode": "standard", "max_attempts": 8}, max_pool_connections=16)
    return boto3.client("s3", config=config)
