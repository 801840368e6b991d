"""What a worker opens to analyse images: the bundles of one folder and a reader of its own."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cxr.keys import shown
from cxr.wanted import PLAIN, Wanted
from cxr.worker import Analyse, AnalysisResult
from lambdas.batch.analyse import analyse, load_models
from lambdas.shared.bundle import CLASSIFIER, DETECTOR, Bundle, model_set
from lambdas.shared.bundle import load_pair as load_bundles
from lambdas.shared.errors import ConfigError
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Source

DEFAULT_MODELS: Final = Path(__file__).resolve().parent.parent / "models" / "demo"
"""The pair that ships with the repository; the command runs from a checkout."""


@dataclass(frozen=True)
class BundlesAnalyser:
    """The stages with the models of one folder; small, because it is sent to every worker.

    Attributes:
        folder: Holds the bundles `classifier` and `detector`.
        model_set: Of the pair, as checked when this was made.
        warnings: Sentences that every display of the results must show.
        detect_all: Whether findings are wanted for negative images as well.
    """

    folder: Path
    model_set: str
    warnings: tuple[str, ...]
    detect_all: bool

    @contextlib.contextmanager
    def open(self) -> Iterator[Analyse]:
        """Load both models with one thread each, and start the reader."""
        with IsolatedReader() as reader:
            models = load_models(self.folder, threads=1)

            def analyse_source(
                data: bytes, source: Source, wanted: Wanted = PLAIN, /
            ) -> AnalysisResult:
                return analyse(
                    data,
                    source=source,
                    models=models,
                    reader=reader,
                    detect_all=self.detect_all or wanted.detect_all,
                    formats=wanted.formats,
                    references=wanted.references,
                    passthrough=wanted.passthrough,
                )

            yield analyse_source


def load_pair(folder: Path) -> tuple[Bundle, Bundle]:
    """The classifier's and the detector's bundle, checked but without their graphs.

    Raises:
        ContractError: A bundle is missing, malformed, or not what it says.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"there are no models at {shown(folder)}; name a folder that holds the bundles "
            f"{CLASSIFIER}/ and {DETECTOR}/"
        )
    pair = load_bundles(folder)
    return pair.classifier, pair.detector


def bundles_analyser(folder: Path, *, detect_all: bool) -> BundlesAnalyser:
    """The analyser for the models in a folder.

    Raises:
        ContractError: A bundle is missing, malformed, or not what it says.
    """
    classifier, detector = load_pair(folder)
    return BundlesAnalyser(
        folder=folder,
        model_set=model_set(classifier, detector),
        warnings=(*classifier.warnings, *detector.warnings),
        detect_all=detect_all,
    )
