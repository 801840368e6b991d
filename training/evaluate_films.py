"""Real, labelled films beside the phantoms: a few, from elsewhere, and not for choosing anything.

DIR/manifest.csv    columns `file` and `triage_label` (normal or abnormal), others ignored
DIR/boxes.csv       optional: file, finding, x1, y1, x2, y2, frame (such as `1024x1024 px`)
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.boxes import PixelBox, UnitBox, intersection_over_union
from training import metrics
from training.errors import MissingColumnError, MissingPartError
from training.estimates import Estimate, bootstrapped, patient_resamples, proportion
from training.evaluated_models import EvaluatedModel
from training.operating_points import DetectorPoint, TriagePoint, triage_at
from training.predictions import Film, FloatArray, Predictions

MANIFEST_FILE: Final = "manifest.csv"
BOXES_FILE: Final = "boxes.csv"
TRIAGE_WORDS: Final = {"normal": False, "abnormal": True}

_FRAME: Final = re.compile(r"(\d+)x(\d+) px")


@dataclass(frozen=True, slots=True)
class RealBox:
    """A box that somebody drew on a real film."""

    file: str
    finding: str
    box: UnitBox


@dataclass(frozen=True)
class RealFilms:
    """The folder's content.

    Attributes:
        films: In the manifest's order.
        abnormal: By file name.
        boxes: In the table's order.
    """

    films: tuple[Film, ...]
    abnormal: Mapping[str, bool]
    boxes: tuple[RealBox, ...]


@dataclass(frozen=True)
class RealTriage:
    """A classifier on the real films.

    Attributes:
        model: The classifier.
        auroc: n is the films.
        sensitivity: At the operating point; n is the abnormal films.
        specificity: n is the normal films.
        probabilities: By file.
        truth: By file.
    """

    model: EvaluatedModel
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    probabilities: Mapping[str, float]
    truth: Mapping[str, bool]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.sha256,
            "auroc": self.auroc.to_json(),
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "films": {
                name: {"abnormal": self.truth[name], "probability": value}
                for name, value in self.probabilities.items()
            },
        }


@dataclass(frozen=True, slots=True)
class RealBoxResult:
    """A detector against one real box.

    Attributes:
        model: The detector.
        real: The box.
        iou: Of the best-scoring detection of its class; None where there is none at any score.
        score: Of that detection.
        threshold: Of the operating point.
    """

    model: EvaluatedModel
    real: RealBox
    iou: float | None
    score: float | None
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.sha256,
            "file": self.real.file,
            "finding": self.real.finding,
            "iou": self.iou,
            "score": self.score,
            "threshold": self.threshold,
        }


def read_real_films(folder: Path) -> RealFilms:
    """Read the folder's tables.

    Raises:
        DatasetError: The manifest, a column or an image is missing, or a value is not as expected.
    """
    rows = _table(folder / MANIFEST_FILE, ("file", "triage_label"))
    labels = {row["file"]: row["triage_label"].strip().lower() for row in rows}
    wrong = sorted(name for name, label in labels.items() if label not in TRIAGE_WORDS)
    absent = sorted(name for name in labels if not (folder / name).is_file())
    if wrong or absent or not labels:
        raise MissingPartError(
            f"{folder / MANIFEST_FILE}: {len(absent)} of {len(labels)} files are absent "
            f"{absent[:3]}; {len(wrong)} have a triage_label other than normal or abnormal "
            f"{wrong[:3]}"
        )
    boxes = []
    if (folder / BOXES_FILE).is_file():
        columns = ("file", "finding", "x1", "y1", "x2", "y2", "frame")
        for row in _table(folder / BOXES_FILE, columns):
            frame = _FRAME.fullmatch(row["frame"].strip())
            if frame is None:
                raise MissingColumnError(
                    f"{folder / BOXES_FILE}: frame is {row['frame']!r}, expected such as "
                    "'1024x1024 px'"
                )
            if row["file"] in labels:
                edges = PixelBox(*(float(row[edge]) for edge in ("x1", "y1", "x2", "y2")))
                box = edges.normalised(width_px=int(frame[1]), height_px=int(frame[2]))
                boxes.append(RealBox(row["file"], row["finding"], box))
    return RealFilms(
        films=tuple(Film(name, folder / name) for name in labels),
        abnormal={name: TRIAGE_WORDS[label] for name, label in labels.items()},
        boxes=tuple(boxes),
    )


def real_triage(
    real: RealFilms,
    predictions: Predictions,
    model: EvaluatedModel,
    *,
    point: TriagePoint,
    resamples: int,
) -> RealTriage:
    """Judge a classifier on the real films; each counts as a patient of its own."""
    scores = predictions.scores[model.key]
    names = [film.image_id for film in real.films if film.image_id in scores]
    decisions = triage_at(model.bundle, point, [scores[name] for name in names])
    truth = np.asarray([real.abnormal[name] for name in names], bool)
    chance = np.asarray([triage.probability for triage in decisions])
    called = np.asarray([triage.positive for triage in decisions], bool)
    return RealTriage(
        model=model,
        auroc=bootstrapped(
            lambda chosen: metrics.auroc(truth[chosen], chance[chosen]),
            patient_resamples(names, resamples=resamples),
            n=len(names),
        ),
        sensitivity=_share(called, of=truth),
        specificity=_share(~called, of=~truth),
        probabilities=dict(zip(names, chance.tolist(), strict=True)),
        truth=dict(zip(names, truth.tolist(), strict=True)),
    )


def real_boxes(
    real: RealFilms, predictions: Predictions, model: EvaluatedModel, *, point: DetectorPoint
) -> list[RealBoxResult]:
    """The best-scoring detection of each real box's class, where the detector knows the class."""
    results = []
    for drawn in real.boxes:
        found = predictions.detections[model.key].get(drawn.file)
        if found is None or drawn.finding not in model.labels:
            continue
        own = found[found[:, 0] == model.labels.index(drawn.finding)]
        results.append(
            RealBoxResult(
                model=model,
                real=drawn,
                iou=_overlap(own[0], drawn.box) if len(own) else None,
                score=float(own[0, 1]) if len(own) else None,
                threshold=point.thresholds[drawn.finding],
            )
        )
    return results


def _overlap(detection: FloatArray, box: UnitBox) -> float:
    return intersection_over_union(UnitBox(*map(float, detection[2:])), box)


def _share(hits: npt.NDArray[np.bool_], *, of: npt.NDArray[np.bool_]) -> Estimate:
    return proportion(int((hits & of).sum()), int(of.sum()))


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            missing = sorted(set(columns) - set(reader.fieldnames or ()))
    except OSError as error:
        raise MissingPartError(f"{path} cannot be read: {error.strerror}") from error
    if missing:
        raise MissingColumnError(f"{path} lacks the columns {', '.join(missing)}")
    return rows
