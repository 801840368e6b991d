"""What the subcommands of `cxr` share: exit codes, argument types, JSON output.

A subcommand is a module `<name>_command.py` with `add_parser(commands)`, which sets `run`: a
function of the options that returns the exit code and imports what it needs, so that --help and
--version answer at once.
"""

import argparse
import json
import sys
from typing import Any, Final, NoReturn

INCOMPLETE: Final = 1
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130


class Parser(argparse.ArgumentParser):
    """Says where to look when arguments are wrong."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to find out more; exit code 2."""
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}; see {self.prog} --help\n")


Subcommands = argparse._SubParsersAction
"""What `add_parser` adds to: `Subcommands[Parser]` in annotations."""


def positive(text: str) -> int:
    """Argument type: a whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return value


def write_json(document: dict[str, Any]) -> None:
    """Print a document for a program; ASCII, so that names that are no valid text survive."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")
