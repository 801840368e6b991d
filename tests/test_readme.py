"""Every command that the README shows exists, and what it shows of the demo is what one gets."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from cxr.cli import _parser

README = Path(__file__).parents[1] / "README.md"
MAKEFILE = README.with_name("Makefile")


def commands() -> list[str]:
    """Lines that start with `$ ` in console blocks, and `make …` within the text."""
    text = README.read_text()
    shown = [
        line.removeprefix("$ ")
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return shown + re.findall(r"`(make [\w-]+)`", text)


def test_readme_shows_commands() -> None:
    assert {"make demo", "make test", "make check"} <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_command_exists(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", MAKEFILE.read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0].endswith("python"):
        assert words[1] == "-m"
        assert importlib.util.find_spec(words[2]) is not None
    else:
        assert words[0] == ".venv/bin/cxr"
        _parser().parse_args(words[1:])


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.search(r"@@|TODO|TBD|XXX", README.read_text())
