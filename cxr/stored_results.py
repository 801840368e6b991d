"""Results that are kept: what can be asked of a folder or a bucket of them, and the folder.

Listing must be quick for thousands, so it reads records without holding each against the schema;
`record` does that for the one that is opened. A file that is no record is counted, never shown.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cxr import reviews
from cxr.keys import PARTIAL_FOLDER, REVIEW_FILE, shown
from cxr.results import ABNORMAL, NORMAL, REJECTED, Result, parse_record
from cxr.reviews import Review, ReviewConflictError
from lambdas.shared.errors import ContractError, InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import RECORD_FILE, Record

_READERS: Final = 8
"""Files read at once: on a network drive each waits for an answer."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One row of a listing.

    Attributes:
        result: As its record says.
        reviewed: Whether a review.json lies beside it.
    """

    result: Result
    reviewed: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What a store holds.

    Attributes:
        results: In no particular order.
        unreadable: Files called record.json that are none.
        left_out: Results beyond the most that are listed.
    """

    results: tuple[StoredResult, ...]
    unreadable: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class LoadedReview:
    """A review, and the tag that says which content of it was seen.

    Attributes:
        review: None where there is none, or none that belongs to the record.
        tag: Of the file's content; None where there is no file.
    """

    review: Review | None
    tag: str | None


class ResultStore(Protocol):
    """A place of results."""

    @property
    def name(self) -> str:
        """What to call it on a screen."""

    def listing(self) -> Listing:
        """Everything there is; quick when asked again.

        Raises:
            StorageUnavailableError: It cannot be read.
        """

    def record(self, folder: str) -> Record:
        """The record of one result, held against its schema.

        Raises:
            StorageUnavailableError: It cannot be read.
            ContractError: It breaks its schema.
        """

    def file(self, folder: str, name: str) -> bytes:
        """Another file of a result, by a name that its record gives.

        Raises:
            StorageUnavailableError: It cannot be read.
        """

    def review(self, folder: str, *, record: Record) -> LoadedReview:
        """The review beside a record.

        Raises:
            StorageUnavailableError: It cannot be read.
        """

    def save_review(self, folder: str, review: Review, *, tag: str | None) -> None:
        """Write a review over the one with this tag (None: over none).

        Raises:
            ReviewConflictError: Another one lies there by now; nothing is written.
            StorageUnavailableError: It cannot be written.
        """


class FolderResults:
    """Results below a folder, as `cxr analyze --out` writes them; one for all sessions.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], Result | None]] = {}

    @property
    def name(self) -> str:
        """The folder's path."""
        return shown(self.root)

    def listing(self) -> Listing:
        """Every record below; those that have not changed since the last time are not read."""
        with self._lock, _readable(self.root):
            found = list(_scan(self.root))
            stale = [each for each in found if self._known.get(each[0], (None,))[0] != each[1]]
            with ThreadPoolExecutor(_READERS) as readers:
                fresh = readers.map(self._parse, (folder for folder, _, _ in stale))
                read = {each[0]: (each[1], row) for each, row in zip(stale, fresh, strict=True)}
            self._known = {
                folder: read.get(folder) or self._known[folder] for folder, _, _ in found
            }
            rows = [(self._known[folder][1], reviewed) for folder, _, reviewed in found]
        return Listing(
            results=tuple(StoredResult(row, reviewed) for row, reviewed in rows if row),
            unreadable=sum(row is None for row, _ in rows),
        )

    def record(self, folder: str) -> Record:
        """The record of one result."""
        return checked_record(self.file(folder, RECORD_FILE))

    def file(self, folder: str, name: str) -> bytes:
        """Another file of a result; its name may have a folder in front, as dicom/sr.dcm has."""
        inner, _, name = name.rpartition("/")
        place = self._place(f"{folder}/{inner}" if inner else folder)
        with _readable(place):
            descriptor = os.open(place / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
                return file.read()

    def review(self, folder: str, *, record: Record) -> LoadedReview:
        """The review beside a record."""
        content = self._review_bytes(folder)
        if content is None:
            return LoadedReview(None, None)
        return LoadedReview(reviews.parse_review(content, record=record), _tag(content))

    def save_review(self, folder: str, review: Review, *, tag: str | None) -> None:
        """Write a review over the one with this tag."""
        place = self._place(folder)
        with _readable(place), _locked(place):
            existing = self._review_bytes(folder)
            if (_tag(existing) if existing is not None else None) != tag:
                raise conflict()
            partial = place / f".{REVIEW_FILE}.{os.getpid()}.{threading.get_ident()}"
            try:
                with partial.open("xb") as file:
                    file.write(reviews.to_json(review))
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(place / REVIEW_FILE)
            finally:
                partial.unlink(missing_ok=True)

    def _parse(self, folder: str) -> Result | None:
        try:
            return parse_row((self.root / folder / RECORD_FILE).read_bytes(), folder=folder)
        except OSError:
            return None

    def _review_bytes(self, folder: str) -> bytes | None:
        place = self._place(folder)
        if not (place / REVIEW_FILE).exists():
            return None
        return self.file(folder, REVIEW_FILE)

    def _place(self, folder: str) -> Path:
        """The folder of one result: never outside, nor through a link below."""
        place = self.root
        for part in folder.split("/"):
            place /= part
            if part in ("", ".", "..") or place.is_symlink():
                raise InvalidRequestError(f"{folder!r} is no folder of results")
        return place


def parse_row(content: bytes, *, folder: str) -> Result | None:
    """A row from a record.json that is taken at its word; None where it is none."""
    try:
        return Result.from_record(json.loads(content), folder=folder)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def checked_record(content: bytes) -> Record:
    """A record that is valid under its schema.

    Raises:
        ContractError: It is not.
    """
    record = parse_record(content)
    if record is None:
        raise ContractError(
            "this record.json breaks its schema: it is damaged, or was written by another version; "
            "analyse the image again"
        )
    return record


def conflict() -> ReviewConflictError:
    """What to say when somebody else was quicker."""
    return ReviewConflictError(
        "somebody saved another review of this result meanwhile; load that one, then save again"
    )


def _scan(root: Path) -> Iterator[tuple[str, tuple[int, int], bool]]:
    """Folder, stamp of the record and whether there is a review; links are not followed."""
    folders = [""]
    while folders:
        folder = folders.pop()
        stamp, reviewed = None, False
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name == RECORD_FILE:
                    if folder and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        stamp = (status.st_mtime_ns, status.st_size)
                elif entry.name == REVIEW_FILE and entry.is_file(follow_symlinks=False):
                    reviewed = True
                elif entry.is_dir(follow_symlinks=False) and entry.name != PARTIAL_FOLDER:
                    folders.append(f"{folder}/{entry.name}" if folder else entry.name)
        if stamp is not None:
            yield folder, stamp, reviewed


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """One writer at a time, also among processes; the system lets go when the process ends."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _readable(place: Path) -> Iterator[None]:
    """The name of a result may name a patient, so an error says only what went wrong."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(
            f"the folder of results cannot be used: {error.strerror or type(error).__name__}; "
            "check that it is there and that it may be read and written"
        ) from None


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def most_urgent_first(rows: Sequence[StoredResult]) -> list[StoredResult]:
    """Abnormal from the highest number down, then rejected, then normal."""
    order = {ABNORMAL: 0, REJECTED: 1, NORMAL: 2}
    return sorted(
        rows,
        key=lambda row: (
            order[row.result.kind],
            -(row.result.probability or 0.0),
            row.result.key,
        ),
    )
