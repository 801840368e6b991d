"""Films as a graph's inputs: to calibrate on, and to compare with torch on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ConfigError, InputError
from lambdas.shared.preprocess import InputSpec, fit, to_input
from lambdas.shared.read import read_radiograph
from training.data import load_prepared
from training.predictions import film_of, read_film

Inputs = list[npt.NDArray[np.float32]]

SEED: Final = 0
"""Of the choice among training images."""


def training_inputs(data: Path, bundle: Bundle, *, count: int) -> Inputs:
    """Some images of the training split as the stage functions give them to the graph.

    Args:
        data: Folder that `python -m training.prepare` wrote.
        bundle: Whose input they are for.
        count: At most.

    Returns:
        (1, C, H, W) float32 each; always the same ones.

    Raises:
        ConfigError: There is no training image.
        ContractError: The folder is none of training.prepare.
    """
    studies = load_prepared(data).split("train")
    if not studies:
        raise ConfigError(f"{data}: no training study to calibrate on")
    order = np.random.default_rng(SEED).permutation(len(studies))[:count]
    spec = InputSpec.from_facts(bundle.facts["input"])
    return [
        to_input(fit(read_film(film_of(studies[index], prepared=True)).pixels, spec)[0], spec)
        for index in sorted(order)
    ]


def film_inputs(folders: Sequence[Path], bundle: Bundle) -> Inputs:
    """Radiographs in folders as the graph's inputs; files that are none are passed over.

    Args:
        folders: Or single files.
        bundle: Whose input they are for.

    Raises:
        ConfigError: A path is missing, or none of its files is a radiograph.
    """
    spec = InputSpec.from_facts(bundle.facts["input"])
    found: Inputs = []
    for folder in folders:
        if not folder.exists():
            raise ConfigError(f"--images {folder}: no such file or folder")
        before = len(found)
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
            if path.is_file():
                try:
                    pixels = read_radiograph(path.read_bytes()).pixels
                except InputError:
                    continue
                found.append(to_input(fit(pixels, spec)[0], spec))
        if len(found) == before:
            raise ConfigError(f"--images {folder}: no radiograph in it")
    return found
