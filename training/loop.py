"""The training loop, and the state it can go on from after a kill.

A trainer supplies a `Task`: what to train, its loss, its validation. The loop owns the order of
events: step, checkpoint, validate, keep the best, stop early, write the model file.
"""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from lambdas.shared.errors import ConfigError, TransientError
from lambdas.shared.radiograph import PIPELINE_VERSION
from training.batches import Batch, Batches, epoch_order, epochs_in_run, steps_in_run
from training.checkpointing import (
    BEST_FILE,
    STATE_FILE,
    load_plain,
    random_state,
    restore_random_state,
    save_whole,
)
from training.code_version import code_version
from training.config import TrainingConfig
from training.journal import Journal
from training.optimisation import Optimisation

CONFIG_FILE: Final = "config.json"
"""The resolved configuration, beside the weights."""

FREE_TO_CHANGE: Final = frozenset(
    {"data", "model_dir", "output_dir", "checkpoint_dir", "device", "threads", "checkpoint_steps"}
    | {"in_memory", "backbone_weights"}
)
"""Settings that may differ when a run is resumed: the result does not follow from them, or, of the
first weights, has them already in it."""


class InterruptedTrainingError(TransientError):
    """The process was asked to end; the state is saved and the same command goes on from it."""


class Task(Protocol):
    """What a trainer puts into the loop."""

    figure: str
    """Validation figure to maximise."""
    batches: Batches
    """Of the training split."""
    file_name: str
    """Of the model file."""
    backbone: str | None
    """Prefix of the parameters that learn at `backbone_rate_scale`."""

    @property
    def trained(self) -> nn.Module:
        """All that learns, heads that serve training alone included."""

    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss of one batch, in training mode and under autocast."""

    def validate(self) -> Mapping[str, float]:
        """Figures on the validation split, in evaluation mode."""

    def model_file(self) -> dict[str, Any]:
        """`model_state_dict` and the task's own facts."""


def run(task: Task, config: TrainingConfig, *, device: torch.device) -> Path:
    """Train, from the start or from where a killed run of the same command stopped.

    Args:
        task: Its model is trained in place and ends with the best weights.
        config: Of the run.
        device: Where the model is.

    Returns:
        The model file.

    Raises:
        ConfigError: The state to resume from belongs to a run with other settings.
        NonFiniteLossError: The loss is NaN or infinite.
        InterruptedTrainingError: SIGTERM came; the state is saved.
    """
    per_epoch = task.batches.per_epoch
    total = steps_in_run(epochs=config.epochs, per_epoch=per_epoch, max_steps=config.max_steps)
    optimisation = Optimisation(
        task.trained, config, device=device, total_steps=total, backbone=task.backbone
    )
    journal = Journal(figure=task.figure, total_steps=total, batch_size=config.batch_size)
    state_path, best_path = config.state_dir / STATE_FILE, config.state_dir / BEST_FILE
    _write_config(config)
    epoch, position, finished = _resume(state_path, config, optimisation, journal)

    def save() -> None:
        save_whole(
            state_path,
            {
                "optimisation": optimisation.state_dict(),
                "journal": journal.state_dict(),
                "random": random_state(),
                "epoch": epoch,
                "position": position,
                "finished": finished,
                "config": config.as_plain(),
            },
        )

    count = len(task.batches.studies)
    with _termination() as asked:
        while not finished and epoch < epochs_in_run(total_steps=total, per_epoch=per_epoch):
            order = epoch_order(count, seed=config.seed, epoch=epoch)
            task.trained.train()
            while position < per_epoch and optimisation.steps < total:
                batch = task.batches.training_batch(
                    position, order=order, seed=config.seed, epoch=epoch, augment=config.augment
                )
                with optimisation.autocast():
                    loss = task.loss(batch)
                rate = optimisation.rate
                value = optimisation.step(loss)
                position += 1
                journal.add_step(value, step=optimisation.steps, epoch=epoch, rate=rate)
                if asked or optimisation.steps % config.checkpoint_steps == 0:
                    save()
                if asked:
                    raise InterruptedTrainingError(
                        f"asked to end at step {optimisation.steps}; the state is in {state_path}"
                    )
            task.trained.eval()
            with optimisation.best_weights() as weights, torch.inference_mode():
                with optimisation.autocast():
                    figures = task.validate()
                if journal.add_epoch(figures, epoch=epoch, step=optimisation.steps):
                    save_whole(best_path, weights.state_dict())
            journal.write_curves(config.curves_dir)
            epoch, position = epoch + 1, 0
            finished = bool(config.patience) and journal.epochs_since_best() >= config.patience
            save()
    return _write_model(task, config, journal, best_path)


@contextmanager
def _termination() -> Iterator[list[int]]:
    """Within, SIGTERM (a spot interruption, a stopped job) only fills the list that is yielded."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def _write_config(config: TrainingConfig) -> None:
    config.model_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config.as_plain(), indent=1, sort_keys=True)
    (config.model_dir / CONFIG_FILE).write_text(text + "\n")


def _resume(
    path: Path, config: TrainingConfig, optimisation: Optimisation, journal: Journal
) -> tuple[int, int, bool]:
    """Epoch, position within it, and whether the run had stopped early; zeros without a state."""
    if not path.exists():
        return 0, 0, False
    state = load_plain(path)
    saved, wanted = state["config"], config.as_plain()
    other = sorted(
        name for name in wanted.keys() - FREE_TO_CHANGE if saved.get(name) != wanted[name]
    )
    if other:
        told = ", ".join(f"{name} {saved.get(name)} -> {wanted[name]}" for name in other)
        raise ConfigError(
            f"{path} is of a run with other settings ({told}); give another --checkpoint-dir, or "
            "remove that file to start anew"
        )
    optimisation.load_state_dict(state["optimisation"])
    journal.load_state_dict(state["journal"])
    restore_random_state(state["random"])
    sys.stdout.write(f"resumed from {path} at step {optimisation.steps}\n")
    return state["epoch"], state["position"], state["finished"]


def _write_model(task: Task, config: TrainingConfig, journal: Journal, best_path: Path) -> Path:
    """The model file: best weights, and every fact about them."""
    if best_path.exists():
        task.trained.load_state_dict(load_plain(best_path))
    path = config.model_dir / task.file_name
    save_whole(
        path,
        {
            **task.model_file(),
            "config": config.as_plain(),
            "metrics": journal.best or {},
            "history": journal.rows,
            "code_version": code_version(),
            "pipeline_version": PIPELINE_VERSION,
        },
    )
    sys.stdout.write(f"wrote {path}\n")
    return path
