"""What is there before a job starts, and what of it these models have already done.

Results lie below results/<model set>/<image id>/, and an image id is a digest of bucket, key and
version: so the ids of a listing and the names of the results are compared, and no image is asked
for. Ids are held as 64 of their 128 bits: of a hundred million images, the chance that one is taken
for another is below one in a thousand.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cxr.archive.files import READERS, JobFiles
from lambdas.batch.waves import Listing
from lambdas.shared.records import RECORD_FILE, RESULTS_PREFIX, image_id_of

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""First digits of image ids, listed side by side."""

CHUNK: Final = 20_000
"""Images compared at a time; between two chunks the caller is told."""

_DIGITS: Final = 16

Ids = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Survey:
    """What a source holds.

    Attributes:
        images: Objects listed.
        size_bytes: Of those whose size the listing tells.
        unsized: Images whose size it does not tell.
        done: Images that have a record of these models.
        unknown: Images of which that cannot be known before they are looked up: listed without
            version or ETag.
    """

    images: int
    size_bytes: int
    unsized: int
    done: int
    unknown: int

    @property
    def to_do(self) -> int:
        """Images without a record, as far as is known."""
        return self.images - self.done


def done_ids(files: JobFiles, model_set: str) -> Ids:
    """First half of the id of every image with a record, sorted."""
    prefix = f"{RESULTS_PREFIX}{model_set}/"

    def shard(digits: str) -> Ids:
        ids = (
            int(stored.key[len(prefix) : len(prefix) + _DIGITS], 16)
            for stored in files.listed(prefix + digits)
            if stored.key.endswith(f"/{RECORD_FILE}")
        )
        return np.fromiter(ids, np.uint64)

    if next(files.listed(prefix), None) is None:
        return np.empty(0, np.uint64)
    with ThreadPoolExecutor(READERS) as pool:
        return np.sort(np.concatenate(list(pool.map(shard, SHARDS))))


def survey(
    listing: Listing, done: Ids, *, tell: Callable[[int], None] = lambda images: None
) -> Survey:
    """Go through a source.

    Args:
        listing: Of the source.
        done: Of `done_ids`.
        tell: Told now and then how many images were listed so far.
    """
    images = size_bytes = unsized = found = unknown = 0
    walk: Iterator[Any] = listing({})
    while chunk := list(islice(walk, CHUNK)):
        ids: list[int] = []
        for image, _ in chunk:
            if image.version is None:
                unknown += 1
            elif done.size:
                name = image_id_of(image.bucket, image.key, image.version)
                ids.append(int(name[:_DIGITS], 16))
            if image.size_bytes is None:
                unsized += 1
            else:
                size_bytes += image.size_bytes
        images += len(chunk)
        found += _count(done, ids)
        tell(images)
    return Survey(images, size_bytes, unsized, found, unknown)


def _count(done: Ids, ids: list[int]) -> int:
    if not ids:
        return 0
    wanted = np.array(ids, np.uint64)
    places = np.minimum(np.searchsorted(done, wanted), done.size - 1)
    return int((done[places] == wanted).sum())
