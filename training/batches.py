"""From prepared studies to batches: letterboxed as in production, in an order that can be resumed.

The order and the augmentation of a batch follow from (seed, epoch, position) alone, so that a run
that is killed and started again sees the very same batches.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lambdas.shared.preprocess import InputSpec, fit, place
from training.classifier import IMAGENET_MEAN, IMAGENET_STD
from training.prepared import WHITE, load_pixels
from training.studies import LabelledBox, Study, balanced
from training.transforms import augment_boxes, augment_images, draw

LOADERS: Final = 4
"""Threads that read images into memory; Pillow decodes without holding the interpreter's lock."""

MIN_BOX: Final = 0.004
"""Smaller than this part of the canvas in either direction, a moved box is all but gone."""

_ORDER, _AUGMENTATION = 0, 1
"""Streams of random numbers that must not repeat each other."""


def letterbox(size_px: int) -> InputSpec:
    """A square grey input of this size, aspect kept, as in every bundle."""
    return InputSpec(
        height_px=size_px, width_px=size_px, channels=1, resize="letterbox", mean=(0.0,), std=(1.0,)
    )


class Canvases:
    """The letterboxed images of some studies, and their boxes on the canvas.

    Args:
        studies: Prepared; repeats are stored once.
        size_px: Height and width of the canvas.
        in_memory: Keep all of them, as 16-bit samples; else read each when it is asked for.
    """

    def __init__(self, studies: Sequence[Study], *, size_px: int, in_memory: bool) -> None:
        self.spec = letterbox(size_px)
        unique = {study.image_id: study for study in studies}
        self._samples: dict[str, npt.NDArray[np.uint16]] = {}
        self._frames: dict[str, tuple[int, int]] = {}
        if in_memory:
            with ThreadPoolExecutor(LOADERS) as pool:
                for name, samples in zip(
                    unique, pool.map(self._read, unique.values()), strict=True
                ):
                    self._samples[name] = samples

    def images(self, studies: Sequence[Study]) -> Tensor:
        """(N, 1, S, S) float32 in [0, 1]."""
        stack = [self._sample(study) for study in studies]
        return torch.from_numpy(np.stack(stack).astype(np.float32) / WHITE).unsqueeze(1)

    def boxes(self, study: Study, chosen: Sequence[LabelledBox]) -> npt.NDArray[np.float64]:
        """(B, 4) x_min, y_min, x_max, y_max as fractions of the canvas; the study's image must have
        been read."""
        height, width = self._frames[study.image_id]
        placement = place(height_px=height, width_px=width, spec=self.spec)
        edges = [placement.input_edges(entry.box) for entry in chosen]
        return np.asarray(edges, np.float64).reshape(-1, 4) / self.spec.width_px

    def _sample(self, study: Study) -> npt.NDArray[np.uint16]:
        stored = self._samples.get(study.image_id)
        return self._read(study) if stored is None else stored

    def _read(self, study: Study) -> npt.NDArray[np.uint16]:
        pixels = load_pixels(study)
        self._frames[study.image_id] = (pixels.shape[0], pixels.shape[1])
        canvas, _ = fit(pixels, self.spec)
        return np.rint(canvas * WHITE).astype(np.uint16)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with what is known of them.

    Attributes:
        studies: N of them.
        images: (N, 1, S, S) float32 in [0, 1], on the device.
        boxes: N arrays (B, 4) as fractions of the canvas.
        box_labels: N arrays (B,) int, positions in the list of labels.
    """

    studies: tuple[Study, ...]
    images: Tensor
    boxes: tuple[npt.NDArray[np.float64], ...]
    box_labels: tuple[npt.NDArray[np.int64], ...]


class Batches:
    """Batches of one split.

    Args:
        studies: Of the split.
        canvases: Holding at least those studies.
        labels: Boxes of other labels are left out.
        batch_size: Images a batch.
        device: Where images go.
        reader: Whose boxes count, 1 or 2; the other's where this one drew none for a label.
    """

    def __init__(
        self,
        studies: Sequence[Study],
        canvases: Canvases,
        *,
        labels: Sequence[str],
        batch_size: int,
        device: torch.device,
        reader: int = 1,
    ) -> None:
        self.studies = tuple(studies)
        self._canvases = canvases
        self._ids = {label: position for position, label in enumerate(labels)}
        self._batch_size = batch_size
        self._device = device
        self._reader = reader

    @property
    def per_epoch(self) -> int:
        """Batches in one pass while training: only whole ones, unless there are too few images."""
        return max(1, len(self.studies) // self._batch_size)

    def in_order(self) -> list[Batch]:
        """One pass for evaluation: as listed, unchanged, the last batch as short as it comes."""
        starts = range(0, len(self.studies), self._batch_size)
        return [self._plain(self.studies[i : i + self._batch_size]) for i in starts]

    def training_batch(
        self, position: int, *, order: Sequence[int], seed: int, epoch: int, augment: bool
    ) -> Batch:
        """One batch of a training epoch.

        Args:
            position: Which, from 0 to `per_epoch` - 1.
            order: Of this epoch, from `epoch_order`.
            seed: Of the run.
            epoch: From 0.
            augment: Whether to move and re-expose the images.
        """
        chosen = order[position * self._batch_size : (position + 1) * self._batch_size]
        batch = self._plain([self.studies[index] for index in chosen])
        if not augment:
            return batch
        generator = np.random.default_rng((seed, _AUGMENTATION, epoch, position))
        draws = draw(len(batch.studies), generator=generator)
        moved = [augment_boxes(b, draws, index=i) for i, b in enumerate(batch.boxes)]
        left = [(box[:, 2:] - box[:, :2]).min(axis=1, initial=1.0) > MIN_BOX for box in moved]
        return Batch(
            studies=batch.studies,
            images=augment_images(batch.images, draws),
            boxes=tuple(box[keep] for box, keep in zip(moved, left, strict=True)),
            box_labels=tuple(n[keep] for n, keep in zip(batch.box_labels, left, strict=True)),
        )

    def _plain(self, studies: Sequence[Study]) -> Batch:
        images = self._canvases.images(studies).to(self._device)
        chosen = [self.chosen_boxes(study) for study in studies]
        pairs = list(zip(studies, chosen, strict=True))
        return Batch(
            studies=tuple(studies),
            images=images,
            boxes=tuple(self._canvases.boxes(study, entries) for study, entries in pairs),
            box_labels=tuple(
                np.asarray([self._ids[entry.label] for entry in entries], np.int64)
                for _, entries in pairs
            ),
        )

    def chosen_boxes(self, study: Study) -> list[LabelledBox]:
        """One reader's boxes of the wanted labels."""
        wanted = [entry for entry in study.boxes if entry.label in self._ids]
        own = {entry.label for entry in wanted if entry.reader == self._reader}
        return [e for e in wanted if e.reader == self._reader or e.label not in own]


def network_input(images: Tensor) -> Tensor:
    """(N, 3, S, S) normalised as ImageNet's, channels last, from (N, 1, S, S) grey in [0, 1]."""
    mean = images.new_tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1)
    std = images.new_tensor(IMAGENET_STD).reshape(1, 3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def epoch_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """A permutation of `count` studies that depends on nothing but seed and epoch."""
    generator = np.random.default_rng((seed, _ORDER, epoch))
    return [int(index) for index in generator.permutation(count)]


def training_studies(
    studies: Sequence[Study], *, variant: str, labels: Sequence[str] | None, seed: int
) -> list[Study]:
    """The studies of one pass: as they are, or with rare classes repeated.

    Args:
        studies: Of the training split.
        variant: `unbalanced` or `balanced`.
        labels: Classes to balance; None for normal against abnormal.
        seed: Of the choice.
    """
    if variant == "unbalanced":
        return list(studies)

    def classes(study: Study) -> Any:
        if labels is None:
            return study.abnormal
        return study.labels & frozenset(labels) or "none of them"

    return balanced(studies, key=classes, seed=seed)


def occupancy(
    batch: Batch, *, labels: Sequence[str], grid: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where in the canvas each label lies, for a trunk that learns to localise.

    Args:
        batch: With boxes.
        labels: In the order of `batch.box_labels`.
        grid: Cells along each side.
        device: Where the answer goes.

    Returns:
        (N, L, grid, grid) float32 in [0, 1]: part of each cell under the label's boxes, scaled so
        that even a box smaller than a cell fills one; and (N, L, 1, 1): 1 where the cells tell, 0
        where the study has the label but no box says where.
    """
    shape = (len(batch.studies), len(labels))
    cells = np.zeros((*shape, grid, grid), np.float32)
    known = np.ones((*shape, 1, 1), np.float32)
    low = np.arange(grid) / grid
    for n, (study, boxes, ids) in enumerate(
        zip(batch.studies, batch.boxes, batch.box_labels, strict=True)
    ):
        for position, label in enumerate(labels):
            if label in study.labels and position not in ids:
                known[n, position] = 0.0
        for (x_min, y_min, x_max, y_max), position in zip(boxes, ids, strict=True):
            along_x = np.clip(np.minimum(low + 1 / grid, x_max) - np.maximum(low, x_min), 0, None)
            along_y = np.clip(np.minimum(low + 1 / grid, y_max) - np.maximum(low, y_min), 0, None)
            covered = np.outer(along_y, along_x) * grid**2
            covered /= max(float(covered.max()), 1e-6)
            cells[n, position] = np.maximum(cells[n, position], covered)
    return torch.from_numpy(cells).to(device), torch.from_numpy(known).to(device)


def steps_in_run(*, epochs: int, per_epoch: int, max_steps: int) -> int:
    """Optimizer steps of a whole run."""
    total = epochs * per_epoch
    return min(total, max_steps) if max_steps else total


def epochs_in_run(*, total_steps: int, per_epoch: int) -> int:
    """Passes begun in a whole run."""
    return math.ceil(total_steps / per_epoch)
