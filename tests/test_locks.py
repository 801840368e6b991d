"""constraints.txt is what `make lock` would write: every requirement has its version there."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

REQUIREMENTS = sorted(
    {
        text
        for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for text in texts
        if canonicalize_name(Requirement(text).name) != PROJECT["name"]
    }
)


def locked() -> dict[str, list[str]]:
    """Versions by name; more than one where Pythons differ."""
    found: dict[str, list[str]] = {}
    lock = (REPOSITORY / "constraints.txt").read_text()
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_a_requirement_is_locked_within_its_range(requirement: str) -> None:
    wanted = Requirement(requirement)
    versions = locked().get(canonicalize_name(wanted.name), [])
    assert versions, "run `make lock`"
    assert all(wanted.specifier.contains(version) for version in versions), "run `make lock`"


IMAGES = sorted(path.parent for path in REPOSITORY.glob("lambdas/*/requirements.txt"))


def asked_for(path: Path) -> set[str]:
    """Names that a requirements.in has, with those of the files that it includes."""
    names = set()
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            names |= asked_for(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            names.add(canonicalize_name(Requirement(line).name))
    return names


@pytest.mark.parametrize("folder", IMAGES, ids=lambda folder: folder.name)
def test_an_images_lock_has_all_that_is_asked_for(folder: Path) -> None:
    lock = (folder / "requirements.txt").read_text()
    pinned = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert asked_for(folder / "requirements.in") <= pinned, "run `make lock`"
