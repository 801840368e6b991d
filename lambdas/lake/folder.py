"""Records and a lake in folders: what `cxr results` reads and writes without a cloud."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from lambdas.shared.records import RECORD_FILE

_PARTIAL_SUFFIX: Final = ".partial"


class FolderLake:
    """A lake below a folder, which is made if it is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def paths(self, model_set: str | None) -> Iterator[str]:
        """Every file below, of one model set or of all."""
        pattern = f"*/model_set={model_set or '*'}/*/*"
        for path in self._root.glob(pattern):
            yield path.relative_to(self._root).as_posix()

    def put(self, path: str, file: BinaryIO) -> None:
        """Write beside the place, then rename."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + _PARTIAL_SUFFIX)
        with partial.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        partial.replace(target)

    def remove(self, path: str) -> None:
        """Remove a file, and its folders if it was their last."""
        target = self._root / path
        target.unlink()
        for folder in (target.parent, target.parent.parent):
            if not any(folder.iterdir()):
                folder.rmdir()


def record_files(root: Path) -> Iterator[Path]:
    """Every record.json below, folder by folder in the order of their names; links not followed."""
    folders = [root]
    while folders:
        inner = []
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(Path(entry.path))
                elif entry.name == RECORD_FILE and entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
        folders += sorted(inner, reverse=True)
