"""Read radiographs in a child process that may hang, crash or run out of memory without harm.

See `decode_process` for the child and its protocol.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

import lambdas
from lambdas.shared import errors
from lambdas.shared.decode_process import ANSWER_HEAD, REQUEST_HEAD, TAGS_WANTED
from lambdas.shared.errors import (
    ContractError,
    InputError,
    ResourceLimitError,
    UnreadableImageError,
)
from lambdas.shared.limits import (
    DECODE_CPU_SECONDS,
    DECODE_MEMORY_BYTES,
    DECODE_WALL_SECONDS,
    MAX_FILE_BYTES,
    MIB,
)
from lambdas.shared.radiograph import ImageFacts, Radiograph

START_SECONDS: Final = 60
"""For the child to import its decoders; 0.6 s measured, more on a machine that is starting up."""

IMAGES_PER_PROCESS: Final = 1000
"""Then a fresh child: decoders written in C leak a little."""

_CHUNK_BYTES: Final = MIB

_COMMAND: Final = (sys.executable, "-P", "-m", "lambdas.shared.decode_process")
"""`-P`: a file in the working folder named like a library must not be imported instead of it."""


class IsolatedReader:
    """`read_radiograph` with limits on time and memory; a context manager.

    One at a time: a reader is not for several threads.

    Args:
        command: Starts the child; another one only in tests.
        wall_seconds: Elapsed time for one image.
    """

    def __init__(
        self,
        *,
        command: tuple[str, ...] = _COMMAND,
        wall_seconds: float = DECODE_WALL_SECONDS,
    ) -> None:
        self._command = command
        self._wall_seconds = wall_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._images = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the child without waiting for it: it imports while the models load."""
        if self._child is None:
            root = str(Path(lambdas.__file__).parents[1])
            path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders print, and may quote what they read
                env=os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            )
            self._images = -1  # its greeting has not been read yet

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def read(self, data: bytes) -> Radiograph:
        """Read one radiograph at working size.

        Raises:
            InputError: As `read_radiograph`; also where reading took too long or too much memory,
                or the decoder died twice.
            ContractError: The child cannot be started.
        """
        if len(data) > MAX_FILE_BYTES:
            from lambdas.shared.read import too_many_bytes

            raise too_many_bytes(len(data))
        try:
            return self._read(data)
        except _ChildDiedError as first:
            if first.reason is not None:
                raise first.reason from first
        # A crash may have been the machine's doing (memory ran out): once more, in a fresh child.
        try:
            return self._read(data)
        except _ChildDiedError as second:
            raise (second.reason or _crashed()) from second

    def read_tags(self, data: bytes, keywords: Collection[str]) -> dict[str, str]:
        """Values of DICOM attributes for the record's `source_tags`, by keyword.

        Args:
            data: The file; one that cannot be read, or is no DICOM file, has none.
            keywords: From `passthrough.parse_passthrough`; with none the file is not looked at.

        Raises:
            ContractError: The child cannot be started.
        """
        if not keywords or len(data) > MAX_FILE_BYTES:
            return {}
        try:
            header, _ = self._ask(data, flag=TAGS_WANTED)
        except _ChildDiedError:  # `read` says what is wrong with such a file
            return {}
        tags: dict[str, str] = header.get("tags", {})
        return {keyword: value for keyword, value in tags.items() if keyword in keywords}

    def _ask(self, data: bytes, *, flag: int = 0) -> tuple[dict[str, Any], bytes]:
        """Send one file to the child, a fresh one where it is time; header and pixels."""
        if self._images >= IMAGES_PER_PROCESS:
            self.close()
        self.start()
        if self._images < 0:
            self._greet()
        self._images += 1
        deadline = time.monotonic() + self._wall_seconds
        return self._exchange(REQUEST_HEAD.pack(len(data) | flag), data, deadline)

    def _read(self, data: bytes) -> Radiograph:
        header, pixels = self._ask(data)
        if "facts" in header:
            return _radiograph(header, pixels)
        if header["error"] == "MemoryError":
            raise _too_much_memory()
        kind: type[InputError] = getattr(errors, header["error"])
        raise kind(header["message"], code=header["code"])

    def _greet(self) -> None:
        """Wait until the child has imported everything."""
        try:
            self._exchange(b"", b"", time.monotonic() + START_SECONDS)
        except _ChildDiedError as error:
            raise ContractError(
                f"the decoding process does not start ({' '.join(self._command)}); "
                "run that command to see why"
            ) from error
        self._images = 0

    def _exchange(self, head: bytes, data: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        """Send a request and receive its answer, both without blocking beyond the deadline."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        pending = [memoryview(part) for part in (head, data) if part]
        received, wanted = bytearray(), ANSWER_HEAD.size
        header: dict[str, Any] | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if pending:
                os.set_blocking(child.stdin.fileno(), False)
                selector.register(child.stdin, selectors.EVENT_WRITE)
            while True:
                if len(received) >= wanted:
                    if header is not None:
                        return header, bytes(received)
                    (size,) = ANSWER_HEAD.unpack_from(received)
                    if len(received) < ANSWER_HEAD.size + size:
                        wanted = ANSWER_HEAD.size + size
                    else:
                        header = json.loads(received[ANSWER_HEAD.size : ANSWER_HEAD.size + size])
                        del received[: ANSWER_HEAD.size + size]
                        wanted = 4 * int(np.prod(header["shape"])) if "shape" in header else 0
                    continue
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise self._ended(_took_too_long(f"{self._wall_seconds:g} s"))
                for key, _ in events:
                    try:
                        if key.fileobj is child.stdin:
                            sent = os.write(child.stdin.fileno(), pending[0][:_CHUNK_BYTES])
                            pending[0] = pending[0][sent:]
                            if not pending[0]:
                                del pending[0]
                            if not pending:
                                selector.unregister(child.stdin)
                        else:
                            chunk = os.read(child.stdout.fileno(), _CHUNK_BYTES)
                            if not chunk:
                                raise self._ended(None)
                            received += chunk
                    except (BrokenPipeError, ConnectionResetError) as error:
                        raise self._ended(None) from error

    def _ended(self, reason: InputError | None) -> "_ChildDiedError":
        """Reap the child; say whether the image is to blame for certain."""
        child, self._child = self._child, None
        if child is not None:
            if reason is not None:
                child.kill()
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
            child.communicate()
            if child.returncode == -signal.SIGXCPU:
                reason = _took_too_long(f"{DECODE_CPU_SECONDS} s of processor time")
        return _ChildDiedError(reason)


class _ChildDiedError(Exception):
    """The child is gone; `reason` is the rejection where the image is known to be the cause."""

    def __init__(self, reason: InputError | None) -> None:
        super().__init__("the decoding process ended")
        self.reason = reason


def _radiograph(header: dict[str, Any], pixels: bytes) -> Radiograph:
    facts: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in header["facts"].items()
    }
    shape = tuple(header["shape"])
    return Radiograph(np.frombuffer(pixels, np.float32).reshape(shape), ImageFacts(**facts))


def _took_too_long(limit: str) -> ResourceLimitError:
    return ResourceLimitError(
        f"decoding took more than {limit} and was stopped; the file is damaged or made to stall, "
        "export it again",
        code="decode_time",
    )


def _too_much_memory() -> ResourceLimitError:
    return ResourceLimitError(
        f"decoding needed more than {DECODE_MEMORY_BYTES // MIB} MiB and was stopped; "
        "the file is damaged or far too large, export it again",
        code="decode_memory",
    )


def _crashed() -> InputError:
    return UnreadableImageError(
        "the decoder crashed on this file, twice; it is damaged, export it again",
        code="decoder_crashed",
    )
