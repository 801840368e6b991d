"""Fixtures that the trainers' tests share."""

from pathlib import Path

import pytest

from tests.training.prepared_builder import tiny_prepared


@pytest.fixture(scope="session")
def prepared_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 tiny phantoms, prepared: enough of both kinds in training and validation."""
    return tiny_prepared(tmp_path_factory.mktemp("phantoms"))
