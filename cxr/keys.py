"""The key of an image, and the folder below --out that holds its results.

A key is the path of an image below the argument that named it, with `/` between its parts. File
names are data here, never paths to trust: a part is one name, so that no key leaves --out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lambdas.report.formats import FORMAT_FILES
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import RECORD_FILE, REPORT_FILE, THUMBNAIL_FILE

INDEX_FILE: Final = "index.html"
SUMMARY_FILE: Final = "summary.csv"
REVIEW_FILE: Final = "review.json"
"""What a person says of a result; beside its record, and never written by a run."""
PARTIAL_FOLDER: Final = ".cxr-partial"
"""Holds the lock and files being written; also marks a folder as results, not images."""

RESULT_FILES: Final = (RECORD_FILE, REPORT_FILE, THUMBNAIL_FILE, *FORMAT_FILES.values())
"""All that a run writes of one image, record.json first."""

_RESULT_NAMES: Final = frozenset({name.partition("/")[0] for name in RESULT_FILES} | {REVIEW_FILE})
_TOP_LEVEL_NAMES: Final = frozenset({INDEX_FILE, SUMMARY_FILE, PARTIAL_FOLDER})


def join_key(parts: Sequence[str]) -> str:
    """The key made of these file names.

    Raises:
        InvalidRequestError: A part is no name of a file: empty, `.`, `..`, or with a separator.
    """
    for part in parts:
        if part in ("", ".", "..") or "/" in part or "\0" in part:
            raise InvalidRequestError(f"{part!r} in {'/'.join(parts)!r} is not the name of a file")
    if not parts:
        raise InvalidRequestError("a key needs at least one name")
    return "/".join(parts)


def result_folder(key: str) -> str:
    """Folder below --out for the results of a key: the key itself.

    Only where its first name belongs to a file of the whole run (an image may be called
    index.html), an underscore is added.
    """
    first, slash, rest = key.partition("/")
    return (f"{first}_" if first.lower() in _TOP_LEVEL_NAMES else first) + slash + rest


def check_distinct(origins: Mapping[str, Sequence[str]], *, fold: Callable[[str], str]) -> None:
    """Refuse images whose results would overwrite each other.

    Args:
        origins: Paths of the images that have a key, by key.
        fold: Maps names that the file system of --out takes for one to one name.

    Raises:
        InvalidRequestError: Names both images and says what to do.
    """
    remedy = "rename one of them, or give them different --out folders"
    by_folder: dict[str, str] = {}
    for key, paths in origins.items():
        if len(paths) > 1:
            raise InvalidRequestError(
                f"{shown(paths[0])} and {shown(paths[1])} would both be called {shown(key)!r}: "
                + remedy
            )
        other = by_folder.setdefault(fold(result_folder(key)), key)
        if other != key:
            raise InvalidRequestError(
                f"the results of {shown(origins[other][0])} and {shown(paths[0])} would share one "
                f"folder, because --out does not tell their names apart: {remedy}"
            )
    for folder, key in by_folder.items():
        parts = folder.split("/")
        for depth in range(1, len(parts)):
            above = by_folder.get("/".join(parts[:depth]))
            if above is not None and parts[depth].lower() in _RESULT_NAMES:
                raise InvalidRequestError(
                    f"the results of {shown(origins[above][0])} and {shown(origins[key][0])} "
                    f"would share the name {shown(parts[depth])}: {remedy}"
                )


def shown(text: object) -> str:
    """Text for a screen: bytes that are no text and control characters become \\x escapes."""
    return "".join(
        character if character.isprintable() else _escape(character) for character in str(text)
    )


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: one byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
