"""The images among the files and folders that a program submits."""

from collections.abc import Sequence
from pathlib import Path

from cxr.discover import Image, discover
from cxr.keys import check_distinct, shown
from lambdas.shared.errors import InvalidRequestError


def find_images(paths: Sequence[str | Path], *, out: Path | None = None) -> tuple[Image, ...]:
    """Every image, with its key: its path below the one folder given, or its name.

    Args:
        paths: Files, folders, patterns.
        out: Folder of results; left out wherever it lies.

    Raises:
        InvalidRequestError: A path is not there or cannot be read, two images have one key, or
            there is no image.
    """
    named = [str(path) for path in paths]
    found = discover(named, out=out)
    if found.failed:
        first = found.failed[0]
        raise InvalidRequestError(f"{shown(first.key)} cannot be read: {first.reason}")
    if not found.images:
        raise InvalidRequestError(f"no images in {', '.join(map(shown, named)) or 'nothing'}")
    origins: dict[str, list[str]] = {}
    for image in found.images:
        origins.setdefault(image.key, []).append(str(image.path))
    check_distinct(origins, fold=lambda folder: folder)
    return found.images
