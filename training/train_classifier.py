"""Train the triage classifier: EfficientNet-B4, Normal or Abnormal.

    python -m training.train_classifier --data build/prepared --model-dir build/models/classifier

Writes efficientnet_b4_best.pth, config.json, metrics.csv, metrics.json and curves.png. Run the same
command again after a kill: it goes on at the same step. On SageMaker the folders come from SM_*.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lambdas.shared.errors import CxrError
from lambdas.shared.labels import TRIAGE_LABELS
from training import loop, metrics
from training.batches import (
    Batch,
    Batches,
    Canvases,
    epoch_order,
    network_input,
    occupancy,
    training_studies,
)
from training.checkpointing import load_auxiliary, load_matching
from training.classifier import IMAGENET_MEAN, IMAGENET_STD, build_classifier
from training.config import TrainingConfig, parse, setting
from training.data import class_list, load_prepared
from training.entry import announce, load_splits, prepare_torch, report
from training.localisation import STRIDE_PX, LocalisingClassifier, occupancy_loss
from training.norm_statistics import measure_norms
from training.optimisation import choose_device

FILE_NAME: Final = "efficientnet_b4_best.pth"


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(TrainingConfig):
    """Settings of the classifier's training."""

    class_weights: bool = setting(True)
    """Weigh Normal and Abnormal by the inverse of how often they are seen."""
    label_smoothing: float = setting(0.0, low=0.0, high=0.5)
    """Part of the truth that is spread over both labels."""
    dropout: float = setting(0.2, low=0.0, high=0.9)
    """Before the last layer."""
    localisation_weight: float = setting(0.0, low=0.0)
    """Weight of a second objective, saying where the findings are; 0 for none. Helps from random
    weights; its head is not part of the model file's weights."""
    localisation_classes: int = setting(13, choices=(4, 5, 8, 13))
    """Labels of that objective."""
    norm_batches: int = setting(0, low=0)
    """Before each validation measure BatchNorm's statistics anew on this many batches of the
    training split; 0 for the running ones. Short runs and running means of weights need it."""


class ClassifierTask:
    """The classifier, its loss and its validation.

    Args:
        config: Of the run.
        device: Where to train.
    """

    figure = "auroc"
    file_name = FILE_NAME
    backbone: str | None = None

    def __init__(self, config: ClassifierConfig, *, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._labels = class_list(config.localisation_classes)
        listed, validation = load_splits(load_prepared(config.data))
        train = training_studies(listed, variant=config.variant, labels=None, seed=config.seed)
        canvases = Canvases(
            [*train, *validation], size_px=config.image_size, in_memory=config.in_memory
        )
        self.batches = Batches(
            train, canvases, labels=self._labels, batch_size=config.batch_size, device=device
        )
        self._validation = Batches(
            validation, canvases, labels=self._labels, batch_size=config.batch_size, device=device
        )
        model: Any = build_classifier(len(TRIAGE_LABELS), dropout=config.dropout)
        # timm draws the last layer wider the fewer labels there are: +-0.7 for two, so logits
        # of +-10 and a loss that takes hundreds of steps to come back from
        nn.init.normal_(model.classifier.weight, std=0.01)
        nn.init.zeros_(model.classifier.bias)
        self.trained = LocalisingClassifier(model, len(self._labels))
        if config.backbone_weights:
            load_matching(model, config.backbone_weights, optional="classifier.")
            load_auxiliary(self.trained.head, config.backbone_weights)
        # 1 x 1 convolutions on one CPU thread run 1.6 times faster so; a GPU likes it as well
        self.trained.to(device).to(memory_format=torch.channels_last)
        counts = np.bincount([study.abnormal for study in train], minlength=len(TRIAGE_LABELS))
        announce(f"training on {counts[0]} normal and {counts[1]} abnormal studies")
        weights = counts.sum() / np.maximum(counts, 1) / len(TRIAGE_LABELS)
        self._weights = (
            torch.tensor(weights, dtype=torch.float32, device=device)
            if config.class_weights
            else None
        )

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy of the two labels, plus the localisation's where it has a weight."""
        config = self._config
        logits, cells = self.trained(network_input(batch.images))
        truth = torch.tensor([int(study.abnormal) for study in batch.studies], device=self._device)
        loss = functional.cross_entropy(
            logits.float(), truth, self._weights, label_smoothing=config.label_smoothing
        )
        if not config.localisation_weight:
            return loss
        where, known = occupancy(
            batch, labels=self._labels, grid=config.image_size // STRIDE_PX, device=self._device
        )
        return loss + config.localisation_weight * occupancy_loss(cells, where, known)

    def validate(self) -> Mapping[str, float]:
        """AUROC, AUPRC, calibration error and loss on the validation split."""
        measure_norms(self.trained.classifier, self._norm_inputs())
        truth = np.asarray([study.abnormal for study in self._validation.studies])
        logits = torch.cat(
            [
                self.trained(network_input(batch.images))[0].float().cpu()
                for batch in self._validation.in_order()
            ]
        )
        chance = logits.softmax(dim=1)[:, 1].double().numpy()
        loss = functional.cross_entropy(logits, torch.from_numpy(truth.astype(np.int64)))
        return {
            "auroc": metrics.auroc(truth, chance),
            "auprc": metrics.auprc(truth, chance),
            "ece": metrics.expected_calibration_error(truth, chance),
            "loss": float(loss),
        }

    def _norm_inputs(self) -> Iterator[Tensor]:
        """Training images to measure norms on, plain and always the same."""
        order = epoch_order(len(self.batches.studies), seed=self._config.seed, epoch=0)
        for position in range(min(self._config.norm_batches, self.batches.per_epoch)):
            batch = self.batches.training_batch(
                position, order=order, seed=self._config.seed, epoch=0, augment=False
            )
            yield network_input(batch.images)

    def model_file(self) -> dict[str, Any]:
        """Weights under timm's names, and how to feed them."""
        return {
            "model_state_dict": self.trained.classifier.state_dict(),
            "auxiliary_state_dict": self.trained.head.state_dict(),
            "task": "classification",
            "architecture": "efficientnet_b4",
            "labels": list(TRIAGE_LABELS),
            "input": {
                "size_px": self._config.image_size,
                "channels": 3,
                "resize": "letterbox",
                "mean": list(IMAGENET_MEAN),
                "std": list(IMAGENET_STD),
            },
        }


def train(config: ClassifierConfig) -> Path:
    """Train the classifier as configured and return its model file.

    Raises:
        CxrError: Data, settings or weights are not usable, or the loss is not finite.
    """
    device = choose_device(config.device)
    prepare_torch(config, device=device)
    return loop.run(ClassifierTask(config, device=device), config, device=device)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command-line entry."""
    try:
        train(parse(ClassifierConfig, arguments, environment=os.environ))
    except CxrError as error:
        report("train_classifier", error, environment=os.environ)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
