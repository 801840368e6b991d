"""The file that a result was made from, found again: in a folder of images, or in its bucket.

Only the very bytes count: a file of the same name with another SHA-256 is not the original.
"""

import hashlib
from pathlib import Path
from typing import Final

from cxr.bucket_results import get_object
from lambdas.shared.limits import MAX_FILE_BYTES
from lambdas.shared.records import Record

NOT_FOUND: Final = "the image is not at hand; name its folder with --images"
NOT_IN_BUCKET: Final = "the image is not in its bucket any more, or is another one by now"


class Originals:
    """Where to look.

    Args:
        images: Folder below which keys are paths; None where no folder is named.
    """

    def __init__(self, images: Path | None) -> None:
        self.images = images

    def find(self, record: Record) -> bytes | None:
        """The bytes that a record is about; None where they cannot be found.

        Raises:
            CxrError: The bucket of the image cannot be read.
        """
        source = record["source"]
        if source["bucket"] is None:
            return self._in_folder(source)
        for version in (None, source["version"]):
            found = get_object(
                source["bucket"], source["key"], version=version, most_bytes=MAX_FILE_BYTES
            )
            if found is not None and _is(found[0], source):
                return found[0]
        return None

    def why_missing(self, record: Record) -> str:
        """What to say where nothing was found."""
        return NOT_FOUND if record["source"]["bucket"] is None else NOT_IN_BUCKET

    def _in_folder(self, source: Record) -> bytes | None:
        parts = source["key"].split("/")
        if self.images is None or any(part in ("", ".", "..") for part in parts):
            return None
        path = self.images.joinpath(*parts)
        try:
            if not path.resolve().is_relative_to(self.images.resolve()):
                return None
            if path.stat().st_size > MAX_FILE_BYTES:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        return data if _is(data, source) else None


def _is(data: bytes, source: Record) -> bool:
    return bool(hashlib.sha256(data).hexdigest() == source["sha256"])
