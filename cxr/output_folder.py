"""The folder of results: written by one run at a time, file by file, never half and never outside.

A file is written in `.cxr-partial`, synchronised and renamed into place; record.json comes last, so
that an image has a record only when everything else of it is there. Folders are opened one name at
a time without following links, so that no link inside leads a write elsewhere.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from cxr.keys import PARTIAL_FOLDER, RESULT_FILES, shown
from lambdas.shared.errors import InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import RECORD_FILE

_LOCK_FILE: Final = "lock"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""Errors of the whole disk, not of one image: going on would fail for every image."""


class OutputFolder:
    """An --out folder, locked for one run; use as a context manager.

    Args:
        path: Made where it is missing.

    Raises:
        InvalidRequestError: On entering: it is no folder, cannot be written, or is in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = itertools.count()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "OutputFolder":
        """Make, open, lock and clean the folder."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._root = self._keep(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY))
            with contextlib.suppress(FileExistsError):
                os.mkdir(PARTIAL_FOLDER, dir_fd=self._root)
            self._partial = self._keep(os.open(PARTIAL_FOLDER, _FOLDER_FLAGS, dir_fd=self._root))
            self._lock()
            self._remove_stale()
        except OSError as error:
            self._stack.close()
            raise InvalidRequestError(
                f"--out {shown(self.path)} cannot be used: {error.strerror or error}; "
                "name a folder that you may write to"
            ) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self._stack.close()

    def save_result(self, folder: str, *, record: bytes, files: Mapping[str, bytes]) -> None:
        """Write the files of one image, record.json last.

        Args:
            folder: Below this one, `/` between its parts.
            record: Content of record.json.
            files: The other files, by name; a `/` in it is a folder.

        Raises:
            OSError: This image's files cannot be written.
            StorageUnavailableError: No file can be written any more.
        """
        with self._writing():
            # An old record goes first: it must never stand beside files that are not its own.
            for name in RESULT_FILES:
                if name not in files:
                    self._remove(f"{folder}/{name}")
            for name, content in (*files.items(), (RECORD_FILE, record)):
                within, _, last = f"{folder}/{name}".rpartition("/")
                with self._opened(within, make=True) as place:
                    self._replace(last, content, place)

    def save_file(self, name: str, content: bytes) -> None:
        """Write a file of the whole run, beside the results.

        Raises:
            StorageUnavailableError: It cannot be written.
        """
        try:
            self._replace(name, content, self._root)
        except OSError as error:
            raise _no_room(self.path / name, error) from error

    def remove_record(self, folder: str) -> None:
        """Take back the record in a folder, so that its image counts as not yet done."""
        with self._writing():
            self._remove(f"{folder}/{RECORD_FILE}")

    def read_file(self, folder: str, name: str) -> bytes | None:
        """Content of a file of a result; None where there is none of its own."""
        if not self.has_file(folder, name):
            return None
        try:
            return (self.path / folder / name).read_bytes()
        except OSError:
            return None

    def has_file(self, folder: str, name: str) -> bool:
        """Whether a result is there as a file of its own, not as a link."""
        path = self.path / folder / name
        return path.is_file() and not path.is_symlink()

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Every record.json below, with its folder; links are not followed."""
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != PARTIAL_FOLDER:
                            folders.append(f"{folder}/{entry.name}" if folder else entry.name)
                    elif (
                        folder
                        and entry.name == RECORD_FILE
                        and entry.is_file(follow_symlinks=False)
                    ):
                        with contextlib.suppress(OSError):
                            yield folder, Path(entry.path).read_bytes()

    def fold(self, folder: str) -> str:
        """A name as this file system compares it: some ignore case, or the form of accents."""
        if not hasattr(self, "_folds_case"):
            self._folds_case = self._is_one_name("CaseProbe", "caseprobe")
            self._folds_accents = self._is_one_name("prob\u00e9", "probe\u0301")
        if self._folds_accents:
            folder = unicodedata.normalize("NFC", folder)
        return folder.casefold() if self._folds_case else folder

    def _is_one_name(self, first: str, second: str) -> bool:
        os.close(os.open(first, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=self._partial))
        try:
            os.stat(second, dir_fd=self._partial)
        except FileNotFoundError:
            return False
        finally:
            os.unlink(first, dir_fd=self._partial)
        return True

    def _remove(self, name: str) -> None:
        """Remove a file below, if it is there."""
        folder, _, last = name.rpartition("/")
        with (
            contextlib.suppress(FileNotFoundError),
            self._opened(folder, make=False) as place,
        ):
            os.unlink(last, dir_fd=place)

    @contextlib.contextmanager
    def _opened(self, folder: str, *, make: bool) -> Iterator[int]:
        """Descriptor of a folder below, reached name by name, no link followed."""
        descriptor = os.dup(self._root)
        try:
            for part in folder.split("/"):
                if part in ("", ".", ".."):
                    raise OSError(errno.EINVAL, "not the name of a file", folder)
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                inner = os.open(part, _FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _replace(self, name: str, content: bytes, folder: int) -> None:
        partial = f"{os.getpid()}-{next(self._names)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(partial, flags, 0o666, dir_fd=self._partial)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            os.replace(partial, name, src_dir_fd=self._partial, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial, dir_fd=self._partial)
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Tell a full disk, which ends the run, from the trouble of one image."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise _no_room(self.path, error) from error
            raise

    def _lock(self) -> None:
        """Lock the folder; the system lets go of it when the process ends, however it ends."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = self._keep(os.open(_LOCK_FILE, flags, 0o666, dir_fd=self._partial))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidRequestError(
                f"another run is writing to --out {shown(self.path)}; wait until it has ended, "
                "or choose another --out"
            ) from error

    def _remove_stale(self) -> None:
        """Remove what a killed run left half-written."""
        for name in os.listdir(self._partial):  # noqa: PTH208 - a descriptor, not a path
            if name != _LOCK_FILE:
                os.unlink(name, dir_fd=self._partial)

    def _keep(self, descriptor: int) -> int:
        self._stack.callback(os.close, descriptor)
        return descriptor


def _no_room(path: Path, error: OSError) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"{shown(path)} cannot be written: {error.strerror or error}; what is already there is "
        "whole, and the same command goes on from it once this is repaired"
    )
