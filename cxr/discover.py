"""From the arguments of a person to the images they mean, each with its key.

Folders are walked, links followed but no folder entered twice; hidden files, pipes and devices are
left out; text (manifests, notes) is told by its content and listed as skipped.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr.glob_pattern import GlobPattern, split_pattern
from cxr.keys import PARTIAL_FOLDER, join_key, shown
from cxr.wanted import PLAIN, Wanted
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.sniff import SNIFF_BYTES, sniff


@dataclass(frozen=True, slots=True)
class Image:
    """A file to analyse; whether it is a radiograph is for the reader to say."""

    path: Path
    key: str
    wanted: Wanted = PLAIN


@dataclass(frozen=True, slots=True)
class Omission:
    """A file or folder without a record, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the arguments name.

    Attributes:
        images: Sorted by key.
        skipped: Left out on purpose.
        failed: Could not even be looked at; each makes the run incomplete.
    """

    images: tuple[Image, ...]
    skipped: tuple[Omission, ...]
    failed: tuple[Omission, ...]


@dataclass(frozen=True, slots=True)
class _Root:
    """One argument: a file, a folder, or a folder with a pattern for what is below it."""

    path: Path
    pattern: GlobPattern | None
    name: str


def discover(arguments: Sequence[str], *, out: Path | None = None) -> Discovery:
    """Find the images that the arguments name.

    The key of an image is its path below the one folder (or the part of a pattern before its
    first wildcard) that was given, or the name of the one file. Several arguments put their own
    name in front.

    Args:
        arguments: Files, folders, patterns.
        out: Folder of the results; left out wherever it lies. None if results lie in no folder.

    Raises:
        InvalidRequestError: An argument names nothing, or lies within `out`.
    """
    roots = [_root(argument, out) for argument in arguments]
    images: dict[tuple[str, str], Image] = {}
    skipped: list[Omission] = []
    failed: list[Omission] = []
    for root in roots:
        prefix = (root.name,) if len(roots) > 1 else ()
        for found in _walk(root, prefix, out, skipped, failed):
            # the same file named twice is one image
            images.setdefault((found.key, os.path.realpath(found.path)), found)
    kept = []
    for image in sorted(images.values(), key=lambda image: image.key):
        if _is_text(image.path):
            skipped.append(Omission(image.key, "text, not an image"))
        else:
            kept.append(image)
    return Discovery(
        tuple(kept),
        tuple(sorted(set(skipped), key=lambda omission: omission.key)),
        tuple(sorted(set(failed), key=lambda omission: omission.key)),
    )


def nothing_found(paths: Sequence[str], skipped: Sequence[Omission]) -> str:
    """What to say where the arguments name no image."""
    message = f"no images in {', '.join(map(shown, paths))}"
    if skipped:
        first = f"{shown(skipped[0].key)}: {skipped[0].reason}"
        message += f" ({len(skipped)} skipped, such as {first})"
    return message


def _root(argument: str, out: Path | None) -> _Root:
    path, pattern = Path(argument), None
    if not os.path.lexists(path):
        pattern = split_pattern(argument)
        if pattern is None:
            raise InvalidRequestError(f"{shown(argument)} does not exist; check the path")
        path = pattern.base
        if not path.is_dir():
            raise InvalidRequestError(
                f"{shown(argument)} matches nothing: there is no folder {shown(path)}"
            )
    real, real_out = Path(os.path.realpath(path)), out and Path(os.path.realpath(out))
    if real_out and (real == real_out or real_out in real.parents):
        raise InvalidRequestError(
            f"{shown(argument)} lies in --out {shown(out)}, which holds results; "
            "choose an --out folder outside the images"
        )
    # `..` and `.` have no name of their own; abspath, not realpath: a link keeps the name it has
    name = Path(os.path.abspath(path)).name or real.name or "root"  # noqa: PTH100
    return _Root(path, pattern, name)


def _walk(
    root: _Root,
    prefix: tuple[str, ...],
    out: Path | None,
    skipped: list[Omission],
    failed: list[Omission],
) -> Iterator[Image]:
    """Files of one argument; what cannot be one is added to `skipped` or `failed`."""
    try:
        top = root.path.stat()
    except OSError as error:
        failed.append(Omission(root.name, _reason(error)))
        return
    if not stat.S_ISDIR(top.st_mode):
        if stat.S_ISREG(top.st_mode):
            yield Image(root.path, join_key([root.name]))
        else:
            skipped.append(Omission(root.name, "not a regular file"))
        return
    entered = {_identity(out.stat())} if out and out.is_dir() else set()
    # Real folders first, links to folders after all of them, so that a folder reachable both ways
    # is known by its own path and keys do not depend on links.
    folders: deque[tuple[str, ...]] = deque([()])
    links: deque[tuple[str, ...]] = deque()
    while folders or links:
        is_link = not folders
        names = links.popleft() if is_link else folders.popleft()
        folder = root.path.joinpath(*names)
        key = "/".join((*prefix, *names)) or root.name
        try:
            identity = _identity(folder.stat())
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            failed.append(Omission(f"{key}/", _reason(error)))
            continue
        if identity in entered:
            if is_link:
                skipped.append(Omission(f"{key}/", "link to a folder that is already included"))
            continue
        entered.add(identity)
        if any(entry.name == PARTIAL_FOLDER for entry in entries):
            skipped.append(Omission(f"{key}/", "results of an earlier run"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            below = (*names, entry.name)
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                if root.pattern is None or root.pattern.matches(below):
                    failed.append(Omission("/".join((*prefix, *below)), _reason(error)))
                continue
            if stat.S_ISDIR(mode):
                if root.pattern is None or root.pattern.admits_folder(below):
                    (links if entry.is_symlink() else folders).append(below)
            elif root.pattern is None or root.pattern.matches(below):
                if stat.S_ISREG(mode):
                    yield Image(Path(entry.path), join_key((*prefix, *below)))
                else:
                    skipped.append(Omission("/".join((*prefix, *below)), "not a regular file"))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "a link to a file that does not exist"
    return f"cannot be opened: {error.strerror or error}"


def _is_text(path: Path) -> bool:
    """Whether the content is text; False where it cannot be read, which analysis reports."""
    try:
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
    except OSError:
        return False
    return bool(head) and sniff(head) == "text"
