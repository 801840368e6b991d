"""Which images a job is about: a prefix, an inventory, a list; told apart by the arguments."""

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.archive.files import JobFiles, list_key
from cxr.keys import shown
from cxr.upload_target import SCHEME
from lambdas.batch.job import Source
from lambdas.batch.sources import LIST_COLUMNS
from lambdas.shared.errors import InvalidRequestError

if TYPE_CHECKING:
    from lambdas.batch.waves import Listing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three ways to name images."""
    parser.add_argument(
        "source", nargs="?", metavar="s3://BUCKET/PREFIX", help="all images below a prefix"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--inventory", metavar="s3://…/manifest.json", help="those of an S3 Inventory (CSV)"
    )
    which.add_argument(
        "--list",
        metavar="CSV",
        help="those of a list with columns bucket, key and perhaps version_id: s3://… or a file "
        "of this machine, such as `cxr upload --manifest` writes",
    )


def local_list(options: argparse.Namespace) -> Path | None:
    """The list where it is a file of this machine."""
    if options.list is None or options.list.startswith(SCHEME):
        return None
    return Path(options.list)


def source_of(options: argparse.Namespace, *, files: JobFiles, job: str) -> Source:
    """The source that the arguments mean; a list of this machine will be where it goes to.

    Raises:
        InvalidRequestError: None or more than one is named, or it is no address.
    """
    named = [value for value in (options.source, options.inventory, options.list) if value]
    if len(named) != 1:
        raise InvalidRequestError(
            "name the images once: s3://BUCKET/PREFIX, --inventory s3://…/manifest.json or "
            "--list CSV; what lies in a folder goes up by `cxr upload` first"
        )
    if local_list(options) is not None:
        return Source("csv", files.bucket, list_key(job))
    kind = "prefix" if options.source else "inventory" if options.inventory else "csv"
    return parse_source(kind, named[0])


def parse_source(kind: str, url: str) -> Source:
    """Read an address.

    Raises:
        InvalidRequestError: It is none, or what it names cannot be such a source.
    """
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    if not url.startswith(SCHEME) or not bucket:
        raise InvalidRequestError(
            f"{shown(url)!r} is no address such as s3://bucket/2019/; a folder of this machine "
            "goes up by `cxr upload` first"
        )
    if kind == "prefix":
        return Source("prefix", bucket, key)
    if kind == "inventory":
        if not key.endswith("manifest.json"):
            raise InvalidRequestError("--inventory: name the manifest.json that S3 Inventory wrote")
        return Source("inventory", bucket, key)
    if not key:
        raise InvalidRequestError("--list: name an object, such as s3://bucket/list.csv")
    return Source("csv", bucket, key)


def read_local_list(path: Path) -> bytes:
    """A list's bytes, after a look at its first line.

    Raises:
        InvalidRequestError: It cannot be read, or is no such list.
    """
    try:
        content = path.read_bytes()
        header = next(csv.reader([content.decode("utf-8-sig").partition("\n")[0]]), [])
    except OSError as error:
        raise InvalidRequestError(f"--list {shown(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"--list {shown(path)} is not UTF-8; save it as CSV in UTF-8"
        ) from error
    names = {name.strip() for name in header}
    if missing := [name for name in LIST_COLUMNS if name not in names]:
        raise InvalidRequestError(
            f"--list {shown(path)} has no column {', '.join(missing)} in its first line; expected "
            "bucket,key or bucket,key,version_id"
        )
    return content


def listing_of_file(path: Path) -> "Listing":
    """The listing of a list that is still on this machine."""
    import io

    from lambdas.batch.sources import listing_of

    class OneFile:
        """Stands where S3 will."""

        def current_objects(self, bucket: str, prefix: str, *, after_key: str | None) -> "object":
            raise AssertionError("a list names its objects")

        def open(self, bucket: str, key: str, *, start: int = 0) -> "io.BytesIO":
            return io.BytesIO(content[start:])

    content = read_local_list(path)
    return listing_of(Source("csv", "", ""), OneFile())  # type: ignore[arg-type]


def source_text(source: Source) -> str:
    """As it is shown."""
    what = {"prefix": "", "inventory": "inventory ", "csv": "list "}[source.kind]
    return f"{what}{SCHEME}{source.bucket}/{source.key}"
