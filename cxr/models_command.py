"""The arguments of `cxr models`, and what it prints."""

import argparse
from pathlib import Path

from cxr.command_line import INCOMPLETE, Parser, Subcommands, write_json


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand and its actions."""
    models = commands.add_parser("models", help="describe model bundles")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser(
        "show",
        help="what the models are, what they were trained on, how they were measured",
        description="Describe the bundles classifier/ and detector/, and check that they load.",
    )
    show.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="default: models/demo")
    show.add_argument("--json", action="store_true", help="print JSON instead of text")
    show.set_defaults(run=show_models)


def show_models(options: argparse.Namespace) -> int:
    """Describe the pair of bundles in a folder; exit code 1 if they cannot be used."""
    from rich.console import Console

    from cxr.analyser import DEFAULT_MODELS
    from cxr.models_description import describe_models, print_models

    description = describe_models(options.folder or DEFAULT_MODELS)
    if options.json:
        write_json(description)
    else:
        print_models(description, Console())
    return 0 if description["usable"] else INCOMPLETE
