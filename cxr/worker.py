"""One worker process: reads a file, has it analysed, sends the result back.

It writes nothing to disk: the process that was started by the person is the only writer, so that
nothing is written any more once that one is gone.
"""

import contextlib
import hashlib
import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Protocol

from cxr.discover import Image
from cxr.wanted import PLAIN, Wanted
from lambdas.shared.errors import CxrError
from lambdas.shared.limits import MAX_FILE_BYTES
from lambdas.shared.records import Record, Source

_CHUNK_BYTES: Final = 1024 * 1024


class AnalysisResult(Protocol):
    """What becomes of one image: `lambdas.batch.analyse.Analysis`."""

    @property
    def record(self) -> Record:
        """The final record."""

    @property
    def files(self) -> dict[str, bytes]:
        """Every other file, by name."""


class Analyse(Protocol):
    """Analyses one image."""

    def __call__(self, data: bytes, source: Source, wanted: Wanted = PLAIN, /) -> AnalysisResult:
        """The bytes of a file, where it came from, what is wanted beyond the plain result."""


class Analyser(Protocol):
    """Opens, in the worker, what analyses images; travels there by pickle."""

    def open(self) -> contextlib.AbstractContextManager[Analyse]:
        """Load the models; on leaving, let go of them."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The models are loaded."""


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The models do not load; no worker will do better."""

    message: str


@dataclass(frozen=True, slots=True)
class Analysed:
    """An image has a record."""

    image: Image
    record: Record
    files: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Failed:
    """An image has no record, and why."""

    image: Image
    reason: str


def serve(connection: Connection, analyser: Analyser) -> None:
    """Answer each `Image` with `Analysed` or `Failed`, until the other end closes."""
    # Ctrl-C reaches every process of a terminal; the one that gave us work decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gone = (EOFError, BrokenPipeError, ConnectionResetError)
    with connection, contextlib.suppress(*gone), contextlib.ExitStack() as stack:
        try:
            analyse = stack.enter_context(analyser.open())
        except Exception as error:  # whatever it is, a person must read it
            connection.send(LoadFailed(_sentence(error)))
            return
        connection.send(Ready())
        while True:
            connection.send(_analysed(connection.recv(), analyse))


def read_source(path: Path) -> bytes:
    """The bytes of a file, at most one more than the limit, which is enough to reject it.

    Raises:
        OSError: It cannot be read, or changed while it was read.
    """
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        # not read(limit) alone: that would set the whole limit's memory aside first
        data = file.read(min(before.st_size, MAX_FILE_BYTES) + 1)
        after = os.fstat(file.fileno())
    unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not unchanged or len(data) != min(before.st_size, MAX_FILE_BYTES + 1):
        raise OSError("it changed while it was read; run again when it is no longer being written")
    return data


def source_digest(path: Path) -> str:
    """Hex SHA-256 of what `read_source` returns, without holding it.

    Raises:
        OSError: The file cannot be read.
    """
    digest, left = hashlib.sha256(), MAX_FILE_BYTES + 1
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _analysed(image: Image, analyse: Analyse) -> Analysed | Failed:
    try:
        data = read_source(image.path)
    except OSError as error:
        return Failed(image, f"cannot be read: {error.strerror or error}")
    source = Source(
        bucket=None, key=image.key, version=None, sha256=hashlib.sha256(data).hexdigest()
    )
    try:
        analysis = analyse(data, source, image.wanted)
    except Exception as error:  # one image must not end the run
        return Failed(image, _sentence(error))
    return Analysed(image, analysis.record, analysis.files)


def _sentence(error: Exception) -> str:
    """Our own messages as they are; any other with its class, for whoever must look into it."""
    return str(error) if isinstance(error, CxrError) else f"{type(error).__name__}: {error}"
