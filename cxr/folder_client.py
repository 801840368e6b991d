"""The client of a folder of results: images are analysed on this machine, by `cxr analyze`."""

import functools
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date
from pathlib import Path
from typing import IO, Any, Final, Protocol

from cxr.client import StillPendingError, Submitted, collect
from cxr.client_types import ImageResult, parse_result
from cxr.discover import Image
from cxr.keys import result_folder
from cxr.patience import Patience
from cxr.submitted_files import find_images
from cxr.worker import source_digest
from lambdas.lake.folder import record_files
from lambdas.shared.errors import InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import RECORD_FILE, Source

PAUSE_S: Final = 0.2
"""Between two looks at the folder."""

_COMMAND: Final = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from cxr.cli import main; sys.exit(main())",
)
"""A process of its own: the workers of `cxr analyze` import the program that started them, and a
consumer's script need not be fit for that."""


class Running(Protocol):
    """A process, as far as this module cares."""

    def poll(self) -> int | None:
        """Exit code, None while it runs."""


StartAnalysis = Callable[[Sequence[str], IO[bytes]], Running]


def start_analysis(arguments: Sequence[str], errors: IO[bytes]) -> Running:
    """Start `cxr analyze` with these arguments; what it complains of goes into a file."""
    return subprocess.Popen(
        [*_COMMAND, "analyze", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )


class FolderClient:
    """See `cxr.client.Client`.

    Args:
        root: Folder of results; made if it is missing.
        models: Folder of the bundles; None for models/demo.
        start: Starts the analysis; another one in tests.
    """

    def __init__(
        self, root: Path, *, models: Path | None = None, start: StartAnalysis = start_analysis
    ) -> None:
        self._root = root
        self._models = models
        self._start = start

    def submit(self, *paths: str | Path) -> "FolderSubmission":
        """Begin to analyse images; see `Client.submit`."""
        images = find_images(paths, out=self._root)
        submitted = tuple(Submitted(image.path, _image_id(image)) for image in images)
        places = {
            each.image_id: self._root / result_folder(image.key) / RECORD_FILE
            for each, image in zip(submitted, images, strict=True)
        }
        models = ["--models", str(self._models)] if self._models else []
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - the submission's, as long as it lives
        arguments = [*map(str, paths), "--out", str(self._root), "--quiet", *models]
        return FolderSubmission(submitted, places, self._start(arguments, errors), errors)

    def results(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        model_set: str | None = None,
    ) -> Iterator[ImageResult]:
        """Every result below the folder; see `Client.results`."""
        for path in record_files(self._root) if self._root.is_dir() else ():
            result = read_result(path)
            day = result.finished_at.astimezone(UTC).date()
            if (
                model_set in (None, result.model_set)
                and (since is None or day >= since)
                and (until is None or day <= until)
            ):
                yield result

    def result(self, image_id: str, *, model_set: str | None = None) -> ImageResult | None:
        """One image's result; looks at each record in turn. See `Client.result`."""
        for result in self.results(model_set=model_set):
            if result.image_id == image_id:
                return result
        return None

    def result_of(self, event: Mapping[str, Any]) -> ImageResult:
        """A folder tells no events."""
        raise InvalidRequestError("a folder tells no events; connect() to the deployment that does")


class FolderSubmission:
    """See `cxr.client.Submission`."""

    def __init__(
        self,
        images: tuple[Submitted, ...],
        places: Mapping[str, Path],
        process: Running,
        errors: IO[bytes],
        *,
        patience: Callable[[float | None], Patience] = Patience,
    ) -> None:
        self.images = images
        self._pending = {image.image_id: image for image in images}
        self._places = places
        self._process = process
        self._errors = errors
        self._patience = patience
        weakref.finalize(self, _let_go, process, errors)

    @property
    def pending(self) -> tuple[Submitted, ...]:
        """Without a result so far."""
        return tuple(self._pending.values())

    def results(self, *, timeout_s: float | None = None) -> Iterator[ImageResult]:
        """Look for what is pending; with the last one the analysis has ended."""
        patience = self._patience(timeout_s)
        while self._pending:
            ended = self._process.poll()  # before looking: what comes in between is seen
            for image_id in list(self._pending):
                found = self._found(image_id)
                if found is not None:
                    del self._pending[image_id]
                    yield found
            if self._pending and ended is not None:
                raise StillPendingError(self._complaint(ended), self.pending)
            if self._pending and not patience.wait(PAUSE_S):
                raise StillPendingError(
                    f"{len(self._pending)} of {len(self.images)} images have no result after "
                    f"{timeout_s:g} s; the analysis goes on",
                    self.pending,
                )
        while self._process.poll() is None and patience.wait(PAUSE_S):
            pass  # index.html and summary.csv are written last

    def wait(self, *, timeout_s: float | None = None) -> tuple[ImageResult, ...]:
        """All that were pending."""
        return collect(self.images, self.results(timeout_s=timeout_s))

    def _found(self, image_id: str) -> ImageResult | None:
        """The record of these very bytes; an older one of the same name is none."""
        try:
            result = read_result(self._places[image_id])
        except FileNotFoundError:
            return None
        return result if result.image_id == image_id else None

    def _complaint(self, exit_code: int) -> str:
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "backslashreplace").strip()
        return (
            f"{len(self._pending)} of {len(self.images)} images have no result, and `cxr analyze` "
            f"has ended with exit code {exit_code}" + (f": {said}" if said else "")
        )


def _let_go(process: Running, errors: IO[bytes]) -> None:
    """Of a submission that nobody holds any more; an analysis that runs goes on."""
    process.poll()
    errors.close()


def read_result(path: Path) -> ImageResult:
    """The result whose record.json this is.

    Raises:
        ContractError: It is no record.
    """
    return parse_result(
        path.read_bytes(), address=str(path), read=functools.partial(_beside, path.parent)
    )


def _beside(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise StorageUnavailableError(
            f"{name} cannot be read: {error.strerror or error}"
        ) from error


def _image_id(image: Image) -> str:
    try:
        digest = source_digest(image.path)
    except OSError as error:
        raise InvalidRequestError(
            f"{image.path} cannot be read: {error.strerror or error}"
        ) from error
    return Source(bucket=None, key=image.key, version=None, sha256=digest).image_id
