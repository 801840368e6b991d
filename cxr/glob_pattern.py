"""Quoted patterns such as 'scans/**/*.dcm': the folder they start from, and what they match.

The standard library's glob follows loops of links and cannot say under which folder a match lies.
"""

import fnmatch
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MAGIC: Final = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class GlobPattern:
    """A pattern, split where its first wildcard stands.

    Attributes:
        base: Folder above the first wildcard.
        parts: Names below it, with wildcards; `**` stands for any number of folders.
    """

    base: Path
    parts: tuple[str, ...]

    def matches(self, names: Sequence[str]) -> bool:
        """Whether a file with this path below `base` is meant, itself or by a folder above it."""
        return any(_match(tuple(names[:depth]), self.parts) for depth in range(1, len(names) + 1))

    def admits_folder(self, names: Sequence[str]) -> bool:
        """Whether a folder with this path below `base` may hold anything that is meant."""
        return self.matches(names) or _may_lead_to_match(tuple(names), self.parts)


def split_pattern(argument: str) -> GlobPattern | None:
    """The pattern in an argument; None where it has no wildcard."""
    if not _MAGIC.search(argument):
        return None
    parts = Path(argument).parts
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    return GlobPattern(Path(*parts[:first]), parts[first:])


def _match(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether names, all of them, match the pattern, all of it."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return _match(names, pattern[1:]) or (bool(names) and _match(names[1:], pattern))
    return bool(names) and _regex(pattern[0])(names[0]) and _match(names[1:], pattern[1:])


def _may_lead_to_match(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether names could be the beginning of a match."""
    if not names:
        return True
    if not pattern:
        return False
    return pattern[0] == "**" or (
        _regex(pattern[0])(names[0]) and _may_lead_to_match(names[1:], pattern[1:])
    )


@functools.cache
def _regex(part: str) -> "functools.partial[bool]":
    return functools.partial(fnmatch.fnmatchcase, pat=part)
