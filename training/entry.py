"""What both trainers do before the first step: seeds, threads, splits, what is left out."""

import platform
import random
import sys
from collections.abc import Mapping

import numpy as np
import torch

from lambdas.shared.errors import ConfigError, CxrError
from training.config import TrainingConfig
from training.studies import Dataset, Study


def announce(text: str) -> None:
    """One line to the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def report(program: str, error: CxrError, *, environment: Mapping[str, str]) -> None:
    """Say in one sentence on stderr why a trainer stops."""
    # SageMaker's toolkit fills a job's FailureReason from the first line that names an exception
    mark = "Exception: " if "SM_MODEL_DIR" in environment else ""
    sys.stderr.write(f"{mark}{program}: {error}\n")


def prepare_torch(config: TrainingConfig, *, device: torch.device) -> None:
    """Seed every generator, set the threads, and say what the run runs on."""
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    announce(f"torch {torch.__version__} on {name}, {torch.get_num_threads()} threads")


def load_splits(dataset: Dataset) -> tuple[tuple[Study, ...], tuple[Study, ...]]:
    """Training and validation studies; every excluded image is named first.

    Raises:
        ConfigError: One of the two is empty.
    """
    for exclusion in dataset.exclusions:
        announce(f"excluded {exclusion.image_id}: {exclusion.reason}")
    train, validation = dataset.split("train"), dataset.split("validation")
    if not train or not validation:
        raise ConfigError(
            f"{dataset.root}: {len(train)} training and {len(validation)} validation studies, "
            "expected at least one of each"
        )
    return train, validation
