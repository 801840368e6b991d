"""The arguments of `cxr models`, and what it prints."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cxr.command_line import INCOMPLETE, Parser, Subcommands, write_json

if TYPE_CHECKING:
    from cxr.model_registry import Pulled

_PULL: Final = """\
Bring approved model packages from the SageMaker Model Registry into a new folder below models/.
Each archive is checked against the sha256 in its model.json, and both graphs must load. No folder
that exists is changed: rolling back is deploying the folder before.
"""


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
    pull = actions.add_parser(
        "pull", help="bring approved models from the SageMaker Model Registry", description=_PULL
    )
    pull.add_argument("packages", nargs="+", metavar="ARN", help="of a model package; one or two")
    pull.add_argument(
        "--with",
        dest="beside",
        type=Path,
        metavar="DIR",
        help="models whose other bundle is copied, where only one package is named",
    )
    pull.add_argument("--name", help="of the new folder (default: the model set)")
    pull.add_argument(
        "--models", type=Path, metavar="DIR", help="where it is made; default: models"
    )
    pull.add_argument("--json", action="store_true", help="print JSON instead of text")
    pull.set_defaults(run=pull_command)


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


def pull_command(options: argparse.Namespace) -> int:
    """Bring models from the registry, and say how to deploy them."""
    from cxr.analyser import DEFAULT_MODELS
    from cxr.model_registry import pull_models

    pulled = pull_models(
        options.packages,
        models=options.models or DEFAULT_MODELS.parent,
        name=options.name,
        beside=options.beside,
    )
    if options.json:
        write_json(
            {
                "folder": str(pulled.folder),
                "model_set": pulled.model_set,
                "origins": pulled.origins,
                "was_there": pulled.was_there,
            }
        )
    else:
        _print_pulled(pulled)
    return 0


def _print_pulled(pulled: "Pulled") -> None:
    from cxr.analyser import load_pair
    from cxr.keys import shown
    from infra.config import load_settings

    folder = _as_in_cdk_json(pulled.folder)
    lines = [f"{name:<10}  from {shown(origin)}" for name, origin in sorted(pulled.origins.items())]
    lines += [f"Warning: {line}" for bundle in load_pair(pulled.folder) for line in bundle.warnings]
    lines += [
        f"Models in {folder}{' since before' if pulled.was_there else ''}, "
        f"model set {pulled.model_set}",
        f'To deploy: "models": "{folder}" in cdk.json, then `make deploy`.',
        f"To roll back: the folder before, {_as_in_cdk_json(load_settings().models)}.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _as_in_cdk_json(folder: Path) -> str:
    """Relative to the repository where it lies within."""
    from cxr.keys import shown
    from infra.setting_readers import REPOSITORY

    folder = folder.resolve()
    within = folder.is_relative_to(REPOSITORY)
    return shown(str(folder.relative_to(REPOSITORY) if within else folder))
