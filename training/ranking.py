"""Detections of one class over many films, ranked by score and matched once to what is true.

From the ranking follow average precision, FROC and the counts at a threshold, for the films as they
are and for every bootstrap resample of them, without matching again.

Source: Lin et al., Microsoft COCO, 2014 (matching, interpolation; in `training.metrics`);
Chakraborty, Observer performance methods, 2017 (FROC).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.metrics import ImageBoxes, interpolated_precision, match
from training.predictions import FloatArray
from training.studies import Study

FROC_RATES: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""False boxes an image at which sensitivity is read off; LUNA16's, without 8."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Detections of one class, best score first.

    Attributes:
        scores: (D,) descending.
        hits: (D,) bool.
        films: (D,) position of the film.
        truths: (N,) true boxes in each film.
        judged: (N,) bool: films in which the class can be judged.
    """

    scores: FloatArray
    hits: npt.NDArray[np.bool_]
    films: npt.NDArray[np.intp]
    truths: npt.NDArray[np.int64]
    judged: npt.NDArray[np.bool_]

    def average_precision(self, weights: npt.NDArray[np.int64] | None = None) -> float:
        """COCO's average precision; NaN without a true box.

        Args:
            weights: (N,) how often each film counts; None for once.
        """
        each = np.ones(len(self.truths), np.int64) if weights is None else weights
        total = int((each * self.truths).sum())
        if not total:
            return float("nan")
        count = each[self.films]
        found = np.cumsum(count * self.hits)
        return interpolated_precision(found / total, found / np.maximum(np.cumsum(count), 1))

    def froc(self) -> tuple[FloatArray, FloatArray]:
        """(D + 1,) false boxes an image and (D + 1,) sensitivity, from no detection on."""
        false = np.concatenate([[0], np.cumsum(~self.hits)]) / max(1, int(self.judged.sum()))
        found = np.concatenate([[0], np.cumsum(self.hits)])
        return false, found / max(1, int(self.truths.sum()))

    def sensitivity_at(self, rate: float) -> float:
        """Best sensitivity with at most so many false boxes an image; NaN without a true box."""
        if not self.truths.sum():
            return float("nan")
        false, found = self.froc()
        return float(found[false <= rate].max())

    def above(self, threshold: float) -> tuple[int, int]:
        """Hits and false boxes at or above a score."""
        count = int((self.scores >= threshold).sum())
        hits = int(self.hits[:count].sum())
        return hits, count - hits


def rank(
    images: Sequence[ImageBoxes], label: int, *, iou: float, judged: npt.NDArray[np.bool_]
) -> Ranking:
    """Match and rank the detections of one class.

    Args:
        images: Truth and detections of each film.
        label: The class.
        iou: A hit overlaps its true box by at least this much.
        judged: (N,) films in which the class can be judged; others give neither hits nor errors.
    """
    scores, hits, films = [], [], []
    truths = np.zeros(len(images), np.int64)
    for position, image in enumerate(images):
        if not judged[position]:
            continue
        truths[position] = int((image.true_labels == label).sum())
        if not (image.labels == label).any():
            continue
        found = match(image, label, iou=iou)
        scores.append(found.scores)
        hits.append(found.hits)
        films.append(np.full(len(found.scores), position))
    flat: FloatArray = np.concatenate(scores).astype(np.float64) if scores else np.zeros(0)
    order = np.argsort(-flat, kind="stable")
    return Ranking(
        scores=flat[order],
        hits=(np.concatenate(hits) if hits else np.zeros(0, bool))[order],
        films=(np.concatenate(films) if films else np.zeros(0, np.intp))[order],
        truths=truths,
        judged=judged,
    )


def true_boxes(
    study: Study, labels: Sequence[str], *, reader: int | None = None
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """A study's boxes of some labels.

    Args:
        study: With both readers' boxes.
        labels: In the order of their indices.
        reader: One reader's; None for reader 1's, and reader 2's where reader 1 drew none of the
            label, which is what the detector is trained on.

    Returns:
        (T, 4) fractions of the image and (T,) index of the label.
    """
    first = {drawn.label for drawn in study.boxes if drawn.reader == 1}
    chosen = [
        drawn
        for drawn in study.boxes
        if drawn.label in labels
        and (drawn.reader == reader if reader else drawn.reader == 1 or drawn.label not in first)
    ]
    edges = [(d.box.x_min, d.box.y_min, d.box.x_max, d.box.y_max) for d in chosen]
    return (
        np.asarray(edges, np.float64).reshape(-1, 4),
        np.asarray([labels.index(d.label) for d in chosen], np.int64),
    )


def judged_films(
    studies: Sequence[Study], label: str, *, reader: int | None = None
) -> npt.NDArray[np.bool_]:
    """(N,) whether a class can be judged in a film.

    It cannot where the report names it and nobody boxed it. Nor, for one reader, where only the
    other boxed it: nothing tells a disagreement from a film that this reader never saw.
    """
    answers = []
    for study in studies:
        readers = {drawn.reader for drawn in study.boxes if drawn.label == label}
        if readers:
            answers.append(reader is None or reader in readers)
        else:
            answers.append(label not in study.labels)
    return np.asarray(answers, bool)


def image_boxes(
    studies: Sequence[Study],
    detections: Sequence[FloatArray],
    labels: Sequence[str],
    *,
    reader: int | None = None,
) -> list[ImageBoxes]:
    """Truth and detections of each film, in fractions of the image; label ids from 0."""
    images = []
    for study, found in zip(studies, detections, strict=True):
        boxes, ids = true_boxes(study, labels, reader=reader)
        images.append(
            ImageBoxes(
                true_boxes=boxes,
                true_labels=ids,
                boxes=found[:, 2:],
                labels=found[:, 0].astype(np.int64),
                scores=found[:, 1],
            )
        )
    return images
