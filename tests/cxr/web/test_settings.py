"""The command's arguments reach the page as they were given."""

from pathlib import Path

import pytest

from cxr.analyser import DEFAULT_MODELS
from cxr.web.settings import DEMO_IMAGES, Settings
from lambdas.shared.errors import InvalidRequestError


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            models=Path("my models"),
            results=("a folder", "s3://bucket/prefix", "kept"),
            keep=Path("kept"),
            images=Path("--odd"),  # a name that looks like an argument
            samples=Path("samples"),
            formats=frozenset({"fhir", "dicom-sr"}),
            detect_all=True,
        ),
    ],
)
def test_arguments_travel_whole(settings: Settings) -> None:
    assert Settings.from_arguments(settings.to_arguments()) == settings


def test_defaults() -> None:
    settings = Settings.from_arguments([])
    assert (settings.models, settings.samples) == (DEFAULT_MODELS, DEMO_IMAGES)
    assert (settings.results, settings.keep) == ((), None)


def test_kept_results_can_be_looked_at() -> None:
    assert Settings.from_arguments(["--results=a", "--keep=b"]).results == ("a", "b")
    assert Settings.from_arguments(["--results=b", "--keep=b"]).results == ("b",)


def test_unknown_format() -> None:
    with pytest.raises(InvalidRequestError, match="unknown format"):
        Settings.from_arguments(["--formats=gif"])
