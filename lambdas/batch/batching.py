"""Cut lists of images into batches that fit a child's input."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Final, TypeVar

from lambdas.shared.messages import ImageRef

INPUT_BYTES: Final = 240 * 1024
"""Of the images in a child's input; Step Functions takes 256 KiB, some of them for the rest."""

Entry = TypeVar("Entry")


def split(images: Iterable[ImageRef], size: int) -> list[tuple[ImageRef, ...]]:
    """Cut a list into batches."""
    return list(batches(images, size, image_of=lambda image: image))


def batches(
    entries: Iterable[Entry], size: int, *, image_of: Callable[[Entry], ImageRef]
) -> Iterator[tuple[Entry, ...]]:
    """Cut what comes into batches, none of which is more than a child's input may hold.

    Args:
        entries: Each with an image.
        size: Most in a batch.
        image_of: Gives an entry's image.
    """
    batch: list[Entry] = []
    room = INPUT_BYTES
    for entry in entries:
        # keys that are not ASCII take up to six times their length
        weight = len(json.dumps(asdict(image_of(entry)))) + len(", ")
        if batch and (len(batch) == size or weight > room):
            yield tuple(batch)
            batch, room = [], INPUT_BYTES
        batch.append(entry)
        room -= weight
    if batch:
        yield tuple(batch)
