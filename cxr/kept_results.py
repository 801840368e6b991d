"""Keep a result that the page made, in a folder as `cxr analyze --out` writes them."""

from collections.abc import Mapping
from pathlib import Path

from cxr.keys import join_key, result_folder
from cxr.output_folder import OutputFolder
from cxr.stored_results import FolderResults
from lambdas.shared.errors import CxrError, InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import Record, to_json


def folder_of(record: Record) -> str:
    """Where a result lies below the folder that keeps it.

    Raises:
        InvalidRequestError: The image's name is no name for a folder.
    """
    return result_folder(join_key([record["source"]["key"]]))


def is_kept(folder: Path, record: Record) -> bool:
    """Whether this very result lies there."""
    try:
        there = FolderResults(folder).record(folder_of(record))
    except CxrError:
        return False
    return _identity(there) == _identity(record)


def keep_result(folder: Path, record: Record, files: Mapping[str, bytes]) -> None:
    """Write a result, record.json last.

    Args:
        folder: Made where it is missing.
        record: Final.
        files: Every other file of the result, by name.

    Raises:
        InvalidRequestError: Another image of that name is kept there, or results of other models.
        StorageUnavailableError: It cannot be written.
    """
    place = folder_of(record)
    with OutputFolder(folder) as out:
        for row in FolderResults(folder).listing().results:
            if row.result.model_set != record["model_set"]:
                raise InvalidRequestError(
                    f"the folder of kept results holds those of another model set "
                    f"({row.result.model_set}); start with another --keep"
                )
            if row.result.folder == place and row.result.image_id != record["image_id"]:
                raise InvalidRequestError(
                    "another image of that name is kept already; give this one another name"
                )
        try:
            out.save_result(place, record=to_json(record), files=files)
        except OSError as error:
            raise StorageUnavailableError(
                f"the result cannot be kept: {error.strerror or type(error).__name__}"
            ) from None


def _identity(record: Record) -> tuple[str, str]:
    return record["image_id"], record["model_set"]
