"""What the page is started with: the arguments of `cxr web`, which Streamlit hands to the page."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cxr.analyser import DEFAULT_MODELS
from cxr.command_line import Parser
from cxr.web_arguments import add_arguments
from lambdas.report.formats import parse_formats

DEMO_IMAGES: Final = DEFAULT_MODELS.parents[1] / "build" / "demo" / "images"
"""Where `make demo` draws its images."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one server.

    Attributes:
        models: Folder of the two bundles.
        results: Folders and buckets of results that can be looked at.
        keep: Folder for results that a person asks to keep; None where nothing can be kept.
        images: Where the images of results in folders lie, for exports.
        samples: Folder of sample images.
        formats: Optional outputs to make for every image.
        detect_all: Whether findings are looked for in normal images as well.
    """

    models: Path = DEFAULT_MODELS
    results: tuple[str, ...] = ()
    keep: Path | None = None
    images: Path | None = None
    samples: Path = DEMO_IMAGES
    formats: frozenset[str] = frozenset()
    detect_all: bool = False

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> "Settings":
        """From the arguments that `cxr web` passes on."""
        parser = Parser(prog="cxr web")
        add_arguments(parser)
        return cls.from_options(parser.parse_args(arguments))

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> "Settings":
        """From parsed arguments.

        Raises:
            InvalidRequestError: A format is not known.
        """
        keep = [str(options.keep)] if options.keep else []
        return cls(
            models=options.models or DEFAULT_MODELS,
            results=tuple(dict.fromkeys([*options.results, *keep])),
            keep=options.keep,
            images=options.images,
            samples=options.samples or DEMO_IMAGES,
            formats=parse_formats(options.formats),
            detect_all=options.detect_all,
        )

    def to_arguments(self) -> list[str]:
        """As `from_arguments` takes them."""
        arguments = [f"--models={self.models}", f"--samples={self.samples}"]
        arguments += [f"--results={place}" for place in self.results]
        if self.keep:
            arguments.append(f"--keep={self.keep}")
        if self.images:
            arguments.append(f"--images={self.images}")
        if self.formats:
            arguments.append(f"--formats={','.join(sorted(self.formats))}")
        if self.detect_all:
            arguments.append("--detect-all")
        return arguments
