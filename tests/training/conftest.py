"""Fixtures that the trainers' tests share."""

from pathlib import Path

import pytest

from training.phantoms.__main__ import main as draw_phantoms
from training.prepare import prepare


@pytest.fixture(scope="session")
def prepared_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 tiny phantoms, prepared: enough of both kinds in training and validation."""
    folder = tmp_path_factory.mktemp("phantoms")
    data = folder / "data"
    flags = ["--studies", "48", "--seed", "5", "--size", "288"]
    assert draw_phantoms(["--out", str(data), *flags]) == 0
    prepare(data, folder / "prepared", long_side_px=128)
    return folder / "prepared"
