"""A prepared folder of tiny phantoms, for whoever trains, calibrates or judges."""

from pathlib import Path

from training.phantoms.__main__ import main as draw_phantoms
from training.prepare import prepare


def tiny_prepared(folder: Path) -> Path:
    """48 phantoms, prepared: enough of both kinds in training and validation."""
    data = folder / "data"
    flags = ["--studies", "48", "--seed", "5", "--size", "288"]
    assert draw_phantoms(["--out", str(data), *flags]) == 0
    prepare(data, folder / "prepared", long_side_px=128)
    return folder / "prepared"
