"""Train the finding detector: Faster R-CNN with a ResNet-50 and a feature pyramid.

    python -m training.train_detector --data build/prepared --model-dir build/models/detector

Writes final_model.pth, config.json, metrics.csv, metrics.json and curves.png. Without pretrained
weights, train the backbone first with --objective localisation (cheap steps, an answer for every
cell), and give the detection run its detector_backbone.pth as --backbone-weights. Run the same
command again after a kill: it goes on at the same step. On SageMaker the folders come from SM_*.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from lambdas.shared.errors import CxrError
from training import loop, metrics
from training.batches import (
    Batch,
    Batches,
    Canvases,
    network_input,
    occupancy,
    training_studies,
)
from training.checkpointing import load_auxiliary, load_matching
from training.config import TrainingConfig, parse, setting
from training.data import class_list, load_prepared
from training.detector import STRIDE_PX, build_detector
from training.entry import announce, load_splits, prepare_torch, report
from training.journal import slug
from training.localisation import LocalisingPyramid, occupancy_loss
from training.optimisation import choose_device
from training.studies import Study

FILE_NAME: Final = "final_model.pth"
BACKBONE_FILE_NAME: Final = "detector_backbone.pth"

FINEST_STRIDE_PX: Final = 4
"""Of the pyramid's first level."""

SCORE_THRESHOLD: Final = 0.01
"""Average precision needs the weak detections too; operating thresholds are chosen later."""


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(TrainingConfig):
    """Settings of the detector's training."""

    image_size: int = setting(800, low=64, high=2048)
    """Height and width in px of the square that images are letterboxed onto; a multiple of 32."""
    batch_size: int = setting(4, low=1)
    """Images in one optimizer step."""
    learning_rate: float = setting(2e-4, low=0.0)
    """Peak of the one-cycle schedule."""
    classes: int = setting(4, choices=(4, 5, 8, 13))
    """Which list of labels: 4, 5, 8 or 13."""
    objective: str = setting("detection", choices=("detection", "localisation"))
    """localisation trains backbone and pyramid alone, to say which findings lie in which cell."""
    localisation_classes: int = setting(13, choices=(4, 5, 8, 13))
    """Labels of that objective: more labels teach the backbone more."""
    frozen_norm: bool = setting(False)
    """Keep the statistics of the backbone's BatchNorm: right once they are learnt, and for small
    batches."""
    trainable_layers: int = setting(5, low=0, high=5)
    """Stages of the ResNet that learn, from the last one."""
    regions: int = setting(512, low=8)
    """Proposals an image that the second stage learns from; fewer are faster."""
    background_fraction: float = setting(0.25, low=0.0, high=0.95)
    """Part of the training images that hold no box of the labels, where there are so many."""
    reader: int = setting(1, choices=(1, 2))
    """Whose boxes are the truth; the other reader's where this one drew none for a label."""
    validation_images: int = setting(0, low=0)
    """Validate on this many images; 0 for all."""

    def contradictions(self) -> list[str]:
        """Sentences about values that do not go together."""
        problems = super().contradictions()
        if self.image_size % STRIDE_PX:
            problems.append(
                f"--image-size is {self.image_size}, expected a multiple of {STRIDE_PX}"
            )
        return problems


class _Splits:
    """Training and validation batches of either objective."""

    def __init__(
        self, config: DetectorConfig, labels: Sequence[str], *, device: torch.device
    ) -> None:
        listed, validating = load_splits(load_prepared(config.data))
        train = with_background(
            training_studies(listed, variant=config.variant, labels=labels, seed=config.seed),
            labels,
            fraction=config.background_fraction,
            seed=config.seed,
        )
        count = config.validation_images or len(validating)
        validation = thinned(validating, count, seed=config.seed)
        canvases = Canvases(
            [*train, *validation], size_px=config.image_size, in_memory=config.in_memory
        )
        self.training, self.validation = (
            Batches(
                studies,
                canvases,
                labels=labels,
                batch_size=config.batch_size,
                device=device,
                reader=config.reader,
            )
            for studies in (train, validation)
        )
        announce(f"training on {len(train)} studies, validating on {len(validation)}")


class DetectionTask:
    """The detector, its losses and its average precision.

    Args:
        config: Of the run.
        device: Where to train.
    """

    figure = "ap50"
    file_name = FILE_NAME
    backbone: str | None = "backbone."

    def __init__(self, config: DetectorConfig, *, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._labels = class_list(config.classes)
        splits = _Splits(config, self._labels, device=device)
        self.batches, self._validation = splits.training, splits.validation
        self.trained = _build(config, len(self._labels) + 1).to(device)

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the proposals' and the detections' losses."""
        losses: dict[str, Tensor] = self.trained(_images(batch), self._targets(batch))
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def validate(self) -> Mapping[str, float]:
        """AP50 by label, their mean, and COCO's mAP on the validation split."""
        found = [
            entry
            for batch in self._validation.in_order()
            for entry in image_boxes(self.trained(_images(batch)), self._targets(batch))
        ]
        figures = metrics.detection_figures(found, self._labels)
        by_label = {f"ap50_{slug(label)}": value for label, value in figures.ap50.items()}
        return {"ap50": figures.mean_ap50, "map": figures.mean_ap, **by_label}

    def model_file(self) -> dict[str, Any]:
        """Weights under torchvision's names, and how to feed them."""
        return {
            "model_state_dict": self.trained.state_dict(),
            "task": "detection",
            "architecture": "fasterrcnn_resnet50_fpn",
            "labels": list(self._labels),
            "input": {"size_px": self._config.image_size, "channels": 3, "resize": "letterbox"},
        }

    def _targets(self, batch: Batch) -> list[dict[str, Tensor]]:
        """torchvision's targets: edges in pixels of the canvas, labels from 1."""
        size = batch.images.shape[-1]
        return [
            {
                "boxes": torch.from_numpy(boxes * size).float().to(self._device),
                "labels": torch.from_numpy(labels + 1).to(self._device),
            }
            for boxes, labels in zip(batch.boxes, batch.box_labels, strict=True)
        ]


class LocalisationTask:
    """The detector's backbone and pyramid, learning which findings lie in which cell.

    Args:
        config: Of the run.
        device: Where to train.
    """

    figure = "localisation_auroc"
    file_name = BACKBONE_FILE_NAME
    backbone: str | None = None

    def __init__(self, config: DetectorConfig, *, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._labels = class_list(config.localisation_classes)
        splits = _Splits(config, self._labels, device=device)
        self.batches, self._validation = splits.training, splits.validation
        detector = _build(config, len(self._labels) + 1)
        self.trained = LocalisingPyramid(detector.backbone, len(self._labels)).to(device)
        self.trained.to(memory_format=torch.channels_last)
        if config.backbone_weights:
            load_auxiliary(self.trained.head, config.backbone_weights)

    def loss(self, batch: Batch) -> Tensor:
        """Mean over the pyramid's levels of the cells' loss."""
        where, known = occupancy(
            batch,
            labels=self._labels,
            grid=self._config.image_size // FINEST_STRIDE_PX,
            device=self._device,
        )
        levels = self.trained(network_input(batch.images))
        return torch.stack([occupancy_loss(level, where, known) for level in levels]).mean()

    def validate(self) -> Mapping[str, float]:
        """Mean over labels of the AUROC of an image's most occupied cell."""
        peaks = torch.cat(
            [
                self.trained(network_input(batch.images))[1].float().amax(dim=(2, 3)).cpu()
                for batch in self._validation.in_order()
            ]
        ).numpy()
        by_label = {
            f"localisation_auroc_{slug(label)}": metrics.auroc(
                [label in study.labels for study in self._validation.studies], peaks[:, position]
            )
            for position, label in enumerate(self._labels)
        }
        numbers = [value for value in by_label.values() if np.isfinite(value)]
        mean = float(np.mean(numbers)) if numbers else float("nan")
        return {"localisation_auroc": mean, **by_label}

    def model_file(self) -> dict[str, Any]:
        """The backbone's weights under the detector's names."""
        weights = self.trained.backbone.state_dict()
        return {
            "model_state_dict": {f"backbone.{name}": value for name, value in weights.items()},
            "auxiliary_state_dict": self.trained.head.state_dict(),
            "task": "localisation",
            "architecture": "resnet50_fpn",
            "labels": list(self._labels),
        }


def image_boxes(
    answers: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]]
) -> list[metrics.ImageBoxes]:
    """torchvision's answers and targets, in pixels of the canvas, as the metrics want them."""
    return [
        metrics.ImageBoxes(
            true_boxes=target["boxes"].cpu().double().numpy(),
            true_labels=target["labels"].cpu().numpy(),
            boxes=answer["boxes"].cpu().double().numpy(),
            labels=answer["labels"].cpu().numpy(),
            scores=answer["scores"].cpu().double().numpy(),
        )
        for answer, target in zip(answers, targets, strict=True)
    ]


def with_background(
    studies: Sequence[Study], labels: Sequence[str], *, fraction: float, seed: int
) -> list[Study]:
    """All studies with a box of the labels, and so many of the others that they are `fraction`."""
    wanted = frozenset(labels)
    boxed = [s for s in studies if any(entry.label in wanted for entry in s.boxes)]
    others = [s for s in studies if not any(entry.label in wanted for entry in s.boxes)]
    room = round(len(boxed) * fraction / (1 - fraction)) if boxed else len(others)
    return [*boxed, *thinned(others, room, seed=seed)]


def thinned(studies: Sequence[Study], count: int, *, seed: int) -> list[Study]:
    """At most `count` studies, chosen by chance and left in their order."""
    chosen = np.random.default_rng(seed).permutation(len(studies))[:count]
    return [studies[index] for index in sorted(chosen)]


def _build(config: DetectorConfig, classes: int) -> Any:
    """The detector, from `--backbone-weights` where given."""
    model = build_detector(
        classes,
        size=config.image_size,
        score_threshold=SCORE_THRESHOLD,
        frozen_norm=config.frozen_norm,
        trainable_layers=config.trainable_layers,
    )
    model.roi_heads.fg_bg_sampler.batch_size_per_image = config.regions
    if config.backbone_weights:
        loaded, total = load_matching(model, config.backbone_weights, prefix="backbone.body.")
        announce(f"{loaded} of {total} tensors from {config.backbone_weights}")
    # ResNet convolutions run about a quarter faster so, on the CPU too
    return model.to(memory_format=torch.channels_last)


def _images(batch: Batch) -> list[Tensor]:
    """N of (3, S, S) in [0, 1]; the detector normalises itself."""
    return list(batch.images.expand(-1, 3, -1, -1))


def train(config: DetectorConfig) -> Path:
    """Train the detector, or its backbone, as configured and return the model file.

    Raises:
        CxrError: Data, settings or weights are not usable, or the loss is not finite.
    """
    device = choose_device(config.device)
    prepare_torch(config, device=device)
    kind = DetectionTask if config.objective == "detection" else LocalisationTask
    return loop.run(kind(config, device=device), config, device=device)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command-line entry."""
    try:
        train(parse(DetectorConfig, arguments, environment=os.environ))
    except CxrError as error:
        report("train_detector", error, environment=os.environ)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
