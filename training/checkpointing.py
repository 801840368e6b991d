"""Weights and training state on disk: plain types only, so that `weights_only=True` loads them.

Two kinds of file. The *state* holds all that an interrupted run needs to go on as if nothing had
happened; the *model file* holds weights and every fact that export, evaluation and a reader need.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lambdas.shared.errors import ConfigError
from training.sources import read_file

STATE_FILE: Final = "training_state.pt"
BEST_FILE: Final = "best_weights.pt"
"""Names within the folder of checkpoints."""


def save_whole(path: Path, value: Any) -> None:
    """Write a file that is either whole or absent, also when the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    with partial.open("wb") as file:
        torch.save(value, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_plain(path: Path) -> Any:
    """Load a file of `save_whole` on the CPU; only tensors and plain types are admitted."""
    return torch.load(path, map_location="cpu", weights_only=True)


def random_state() -> dict[str, Any]:
    """State of torch's generators. Nothing else random outlives a step: order and augmentation are
    drawn anew from (seed, epoch, position)."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put back what `random_state` returned; of the GPUs only as many as there are now."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available():
        for index, value in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(value, index)


def clean_weights(loaded: Any) -> dict[str, Tensor]:
    """The state dict in a loaded file: alone or under a usual key, without `module.` prefixes.

    Raises:
        ConfigError: There is no state dict in it.
    """
    for key in ("model_state_dict", "state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ConfigError("the weights file holds no state dict: names of tensors and tensors")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def load_matching(
    model: nn.Module, location: str, *, prefix: str = "", optional: str | None = None
) -> tuple[int, int]:
    """Start a model from a weights file, leaving out tensors that do not fit.

    Args:
        model: Changed in place: its tensors are replaced where name and shape fit.
        location: A file or `s3://bucket/key`: a model file, or a plain state dict.
        prefix: The part of the model that must be found whole; the file may name its tensors as
            the model does or, as a plain backbone's file does, without this prefix.
        optional: Tensors that start so may be missing, though `prefix` covers them: a head with
            another number of classes.

    Returns:
        Tensors replaced, and tensors of the model.

    Raises:
        ConfigError: The file is absent, unreadable, or of another architecture.
    """
    own = model.state_dict()
    found = clean_weights(load_anywhere(location))
    if not any(key in own for key in found):
        found = {prefix + key: value for key, value in found.items()}
    fitting = {k: v for k, v in found.items() if k in own and v.shape == own[k].shape}
    # FrozenBatchNorm2d and old checkpoints do not count batches; nothing depends on that count
    needed = [k for k in own if k.startswith(prefix) and not k.endswith("num_batches_tracked")]
    lost = [k for k in needed if k not in fitting and not (optional and k.startswith(optional))]
    if lost:
        raise ConfigError(
            f"{location} does not fit: {len(lost)} tensors are missing or of another shape, first "
            f"{lost[0]}; give weights of the same architecture"
        )
    model.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def load_anywhere(location: str) -> Any:
    """Load a weights file from disk or from S3.

    Raises:
        ConfigError: There is none, or it cannot be loaded as plain data.
    """
    path = Path(location)
    try:
        if not location.startswith("s3://"):
            return load_plain(path)
        with tempfile.NamedTemporaryFile(suffix=".pth") as copy:
            copy.write(read_file(location))
            copy.flush()
            return load_plain(Path(copy.name))
    except FileNotFoundError as error:
        raise ConfigError(f"--backbone-weights: no file {location}") from error
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, KeyError and more
        raise ConfigError(f"--backbone-weights: {location} cannot be loaded: {error}") from error


def load_auxiliary(head: nn.Module, location: str) -> bool:
    """Go on with a head that served an earlier training alone, where the file has a fitting one.

    Returns:
        Whether it had.
    """
    loaded = load_anywhere(location)
    weights = loaded.get("auxiliary_state_dict") if isinstance(loaded, Mapping) else None
    own = head.state_dict()
    if not weights or {k: v.shape for k, v in weights.items()} != {
        k: v.shape for k, v in own.items()
    }:
        return False
    head.load_state_dict(weights)
    return True
