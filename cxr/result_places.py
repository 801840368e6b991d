"""From what a person names to a store of results."""

from pathlib import Path

from cxr.bucket_results import SCHEME, BucketResults
from cxr.keys import shown
from cxr.stored_results import FolderResults, ResultStore
from lambdas.shared.errors import InvalidRequestError


def open_store(place: str) -> ResultStore:
    """The store at a folder or an s3:// URL.

    Raises:
        InvalidRequestError: There is no such folder, or the URL names no bucket.
    """
    if place.startswith(SCHEME):
        return BucketResults(place)
    folder = Path(place)
    if not folder.is_dir():
        raise InvalidRequestError(
            f"there are no results at {shown(place)}; name a folder that `cxr analyze --out` "
            "wrote, or s3://bucket"
        )
    return FolderResults(folder.resolve())
