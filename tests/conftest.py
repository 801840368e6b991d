"""Fixtures that many tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdas.batch.analyse import Models, load_models
from lambdas.shared.isolated_reader import IsolatedReader
from tests.builders import tiny_models

REPOSITORY = Path(__file__).parents[1]

SHARED_DATA = Path(os.environ.get("CXR_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
"""Real radiographs and DICOM files kept beside the checkout, never in it."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real images at {SHARED_DATA}; set CXR_TEST_DATA to a folder that has them")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(tiny_models_folder: Path) -> Models:
    return load_models(tiny_models_folder, threads=1)


@pytest.fixture(scope="session")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as opened:
        yield opened
