"""Whether a faster graph is still right: compared with float32 on validation, film by film.

Both graphs answer the same films through the production code, and every resample of the bootstrap
counts the same patients for both, so that what they have in common cancels. A graph passes if

- its figure (AUROC of a classifier, mean AP50 of a detector) falls by less than the margin, up to
  the end of the one-sided 95 % interval of the fall: too few films cannot prove that, and fail;
- its decisions are those of float32: a figure can stay while the answers are another model's.

Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13; Walker and
Nowacki, Understanding equivalence and noninferiority testing, 2011.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ConfigError
from training.data import load_prepared
from training.estimates import RESAMPLES, patient_resamples
from training.evaluate_detection import class_rankings
from training.evaluate_measure import data_name
from training.evaluated_models import EvaluatedModel
from training.metrics import ImageBoxes, auroc, match
from training.operating_points import (
    HIT_IOU,
    choose_detector_point,
    choose_triage_point,
    findings_at,
    triage_probabilities,
)
from training.predictions import FloatArray, film_of, predict
from training.studies import Study

MARGINS: Final = {"AUROC": 0.005, "mean AP50": 0.01}
"""What a figure may fall by."""

LEAST_AGREEMENT: Final = {"AUROC": 0.97, "mean AP50": 0.95}
"""Part of the decisions that must be those of float32: films with the same label of triage;
findings that the other has too, at IoU 0.5. Each at the operating point that float32 gets."""

NEAR: Final = 0.05
"""Scores that differ by less are alike, on whichever side of a threshold they come to lie."""

CONFIDENCE: Final = 0.95

BEST_LIMIT: Final = 300
"""Findings compared of one film at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        figure: `AUROC` or `mean AP50`.
        data: Its name and number of films.
        n: Films.
        float32: The figure of the float32 graph.
        candidate: The figure of the faster one.
        fall_at_most: End of the one-sided 95 % interval of the fall.
        agreement: Part of the decisions that are the same.
    """

    figure: str
    data: str
    n: int
    float32: float
    candidate: float
    fall_at_most: float
    agreement: float

    @property
    def passed(self) -> bool:
        """Whether the faster graph may ship."""
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        """Why not, a clause each."""
        found = []
        margin, least = MARGINS[self.figure], LEAST_AGREEMENT[self.figure]
        if not self.fall_at_most < margin:
            found.append(
                f"{self.figure} {self.float32:.4f} becomes {self.candidate:.4f} and may have "
                f"fallen by up to {self.fall_at_most:.4f} ({margin} is allowed) on {self.n} films"
            )
        if not self.agreement >= least:
            found.append(
                f"{self.agreement:.1%} of its decisions are those of float32 ({least:.0%} needed)"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """For model.json."""
        return {
            "figure": self.figure,
            "data": self.data,
            "n": self.n,
            "float32": round(self.float32, 4),
            "quantised": round(self.candidate, 4),
            "fall_at_most": round(self.fall_at_most, 4),
            "margin": MARGINS[self.figure],
            "agreement": round(self.agreement, 4),
            "agreement_needed": LEAST_AGREEMENT[self.figure],
        }


def judge(exact: Bundle, faster: Bundle, *, data: Path, workers: int = 1) -> Verdict:
    """Compare two graphs of one model on the validation split.

    Args:
        exact: In float32.
        faster: The candidate.
        data: Folder that `python -m training.prepare` wrote.
        workers: Processes.

    Raises:
        ConfigError: The split has no film, or of a classifier's two kinds only one.
        ContractError: The folder is none, or a graph contradicts itself.
    """
    studies = load_prepared(data).split("validation")
    films = [film_of(study, prepared=True) for study in studies]
    models = [EvaluatedModel("bundle", bundle.folder, bundle) for bundle in (exact, faster)]
    with tempfile.TemporaryDirectory() as scratch:
        answers = predict(
            films, models, folder=Path(scratch), workers=workers, title="gate, validation"
        )
    studies = tuple(study for study in studies if study.image_id not in answers.rejected)
    if not studies:
        raise ConfigError(f"{data}: no validation study can be read")
    by_model = answers.scores if exact.task == "classification" else answers.detections
    both = [[by_model[model.key][study.image_id] for study in studies] for model in models]
    name = f"{len(studies)} validation studies of {data_name(str(data), studies)}"
    compare = _triage if exact.task == "classification" else _detection
    return compare(exact, studies, both[0], both[1], name)


def _triage(
    bundle: Bundle,
    studies: Sequence[Study],
    exact: Sequence[FloatArray],
    faster: Sequence[FloatArray],
    data: str,
) -> Verdict:
    truth = np.asarray([study.abnormal for study in studies])
    if truth.all() or not truth.any():
        raise ConfigError("validation needs normal and abnormal studies, but has only one kind")
    point = choose_triage_point(bundle, exact, truth, data=data)
    # not the rounded probabilities of records: ties would hide a fall
    ranked = [_margins(bundle, scores) for scores in (exact, faster)]
    chances = [
        triage_probabilities(bundle, scores, temperature=point.temperature)
        for scores in (exact, faster)
    ]
    same = (chances[0] >= point.threshold) == (chances[1] >= point.threshold)
    same |= np.abs(chances[0] - chances[1]) < NEAR
    return _verdict(
        "AUROC",
        data,
        studies,
        lambda which, positions: auroc(truth[positions], ranked[which][positions]),
        float(same.mean()),
    )


def _detection(
    bundle: Bundle,
    studies: Sequence[Study],
    exact: Sequence[FloatArray],
    faster: Sequence[FloatArray],
    data: str,
) -> Verdict:
    labels = bundle.label_names
    rankings = [class_rankings(studies, found, labels) for found in (exact, faster)]
    point = choose_detector_point(bundle, rankings[0], data=data)
    lower = {label: value - NEAR for label, value in point.thresholds.items()}
    nearly = dataclasses.replace(point, thresholds=lower)
    shared = total = 0
    for rows in zip(exact, faster, strict=True):
        kept = [findings_at(found, labels, point, most=BEST_LIMIT) for found in rows]
        near = [findings_at(found, labels, nearly, most=BEST_LIMIT) for found in rows]
        shared += _shared(kept[0], near[1]) + _shared(kept[1], near[0])
        total += len(kept[0]) + len(kept[1])

    def mean_ap50(which: int, positions: npt.NDArray[np.intp]) -> float:
        each = np.bincount(positions, minlength=len(studies))
        values = [ranking.average_precision(each) for ranking in rankings[which].values()]
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    return _verdict("mean AP50", data, studies, mean_ap50, shared / total if total else 1.0)


def _verdict(
    figure: str,
    data: str,
    studies: Sequence[Study],
    value: Callable[[int, npt.NDArray[np.intp]], float],
    agreement: float,
) -> Verdict:
    """Figures of both on all films, and how far the second may have fallen."""
    weights = patient_resamples([study.patient_id for study in studies], resamples=RESAMPLES)
    everyone = np.arange(len(studies))
    falls = [
        value(0, positions) - value(1, positions)
        for positions in (np.repeat(everyone, row) for row in weights)
    ]
    known = [fall for fall in falls if np.isfinite(fall)]
    return Verdict(
        figure=figure,
        data=data,
        n=len(studies),
        float32=value(0, everyone),
        candidate=value(1, everyone),
        fall_at_most=float(np.quantile(known, CONFIDENCE)) if known else float("inf"),
        agreement=agreement,
    )


def _margins(bundle: Bundle, scores: Sequence[FloatArray]) -> FloatArray:
    """(N,) by how much the positive label's score is above the best other one."""
    positive = bundle.label_names.index(bundle.facts["operating_point"]["positive_label"])
    table = np.stack(scores)
    others = np.delete(table, positive, axis=1)
    return np.asarray(table[:, positive] - others.max(axis=1) if others.size else table[:, 0])


def _shared(first: FloatArray, second: FloatArray) -> int:
    """How many of the first findings the second have: same label, IoU 0.5, each used once."""
    image = ImageBoxes(
        true_boxes=first[:, 2:],
        true_labels=first[:, 0].astype(np.int64),
        boxes=second[:, 2:],
        labels=second[:, 0].astype(np.int64),
        scores=second[:, 1],
    )
    labels: Mapping[int, None] = dict.fromkeys(int(label) for label in first[:, 0])
    return sum(int(match(image, label, iou=HIT_IOU).hits.sum()) for label in labels)
