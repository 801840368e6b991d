"""Figures of triage: how well Normal and Abnormal are told apart, for whom, and how honestly."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.findings import Triage
from lambdas.shared.labels import NORMAL
from training import metrics
from training.estimates import Estimate, Weights, bootstrapped, patient_resamples, proportion
from training.evaluated_models import EvaluatedModel
from training.operating_points import TriagePoint, triage_at, triage_probabilities
from training.predictions import FloatArray
from training.studies import Study
from training.subgroups import subgroups

RELIABILITY_BINS: Final = 10

ESTIMATES: Final = (
    *("auroc", "auprc", "sensitivity", "specificity", "positive_predictive_value"),
    *("negative_predictive_value", "ece", "ece_uncalibrated"),
    *("shipped_sensitivity", "shipped_specificity"),
)
"""Fields of `TriageFigures` that stand in the JSON under their names."""

MIN_SUBGROUP: Final = 5
"""Fewer studies than this get no interval."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Triage in a part of the studies.

    Attributes:
        attribute: `sex`, `age` or `view`.
        value: Such as `F`, `60 to 79`, `AP_horizontal`.
        n: Studies.
        abnormal: Of them.
        auroc: As for all.
        sensitivity: At the operating point.
        specificity: Likewise.
    """

    attribute: str
    value: str
    n: int
    abnormal: int
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class TriageFigures:
    """A classifier on the test split.

    Attributes:
        model: The classifier.
        point: Chosen on validation.
        truth: (N,) abnormal or not.
        probabilities: (N,) of Abnormal, at the point's temperature.
        uncalibrated: (N,) likewise, at temperature 1.
        called: (N,) abnormal or not, says triage at the point.
        auroc: With its interval; n is the number of studies.
        auprc: Likewise.
        sensitivity: At the point; n is the number of abnormal studies.
        specificity: n is the number of normal studies.
        positive_predictive_value: At the prevalence of this split; n is the studies called.
        negative_predictive_value: Likewise.
        ece: Expected calibration error at the point's temperature.
        ece_uncalibrated: At temperature 1.
        shipped_sensitivity: At the point that model.json came with.
        shipped_specificity: Likewise.
        subgroups: By sex, age band and view.
        by_label: Sensitivity by fine label, commonest first.
    """

    model: EvaluatedModel
    point: TriagePoint
    truth: npt.NDArray[np.bool_]
    probabilities: FloatArray
    uncalibrated: FloatArray
    called: npt.NDArray[np.bool_]
    auroc: Estimate
    auprc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    positive_predictive_value: Estimate
    negative_predictive_value: Estimate
    ece: Estimate
    ece_uncalibrated: Estimate
    shipped_sensitivity: Estimate
    shipped_specificity: Estimate
    subgroups: tuple[Subgroup, ...]
    by_label: tuple[tuple[str, Estimate], ...]

    @property
    def confusion(self) -> dict[str, int]:
        """Counts of studies."""
        truth, called = self.truth, self.called
        return {
            "true_abnormal": int((truth & called).sum()),
            "missed": int((truth & ~called).sum()),
            "false_alarm": int((~truth & called).sum()),
            "true_normal": int((~truth & ~called).sum()),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.sha256,
            "operating_point": {
                "temperature": self.point.temperature,
                "threshold": self.point.threshold,
                "chosen_by": self.point.chosen_by,
                "validation_n": self.point.n,
                "validation_sensitivity": self.point.sensitivity,
                "validation_specificity": self.point.specificity,
            },
            **{name: getattr(self, name).to_json() for name in ESTIMATES},
            "confusion": self.confusion,
            "reliability": [
                {"mean_probability": p, "observed": o, "n": n}
                for p, o, n in reliability(self.truth, self.probabilities)
            ],
            "subgroups": [
                {
                    "attribute": group.attribute,
                    "value": group.value,
                    "n": group.n,
                    "abnormal": group.abnormal,
                    "auroc": group.auroc.to_json(),
                    "sensitivity": group.sensitivity.to_json(),
                    "specificity": group.specificity.to_json(),
                }
                for group in self.subgroups
            ],
            "sensitivity_by_label": {label: e.to_json() for label, e in self.by_label},
        }


def triage_figures(
    model: EvaluatedModel,
    studies: Sequence[Study],
    scores: Sequence[FloatArray],
    *,
    point: TriagePoint,
    resamples: int,
) -> TriageFigures:
    """Judge a classifier on the test split.

    Args:
        model: The classifier.
        studies: Of the split.
        scores: As the graph gave them, one array a study.
        point: Chosen on validation.
        resamples: Of the bootstrap.
    """
    truth = np.asarray([study.abnormal for study in studies])
    decisions = triage_at(model.bundle, point, scores)
    probabilities = np.asarray([triage.probability for triage in decisions])
    called = np.asarray([triage.positive for triage in decisions])
    uncalibrated = triage_probabilities(model.bundle, scores, temperature=None)
    shipped = np.asarray([t.positive for t in _as_shipped(model, scores)])
    weights = patient_resamples([study.patient_id for study in studies], resamples=resamples)
    calibrated, raw = (_figures_of(truth, p, weights) for p in (probabilities, uncalibrated))
    return TriageFigures(
        model=model,
        point=point,
        truth=truth,
        probabilities=probabilities,
        uncalibrated=uncalibrated,
        called=called,
        auroc=calibrated(metrics.auroc, len(truth)),
        auprc=calibrated(metrics.auprc, len(truth)),
        sensitivity=_share(called, of=truth),
        specificity=_share(~called, of=~truth),
        positive_predictive_value=_share(truth, of=called),
        negative_predictive_value=_share(~truth, of=~called),
        ece=calibrated(metrics.expected_calibration_error, len(truth)),
        ece_uncalibrated=raw(metrics.expected_calibration_error, len(truth)),
        shipped_sensitivity=_share(shipped, of=truth),
        shipped_specificity=_share(~shipped, of=~truth),
        subgroups=tuple(_subgroups(studies, truth, probabilities, called, resamples)),
        by_label=_by_label(studies, called),
    )


def reliability(
    truth: npt.NDArray[np.bool_], probabilities: FloatArray
) -> list[tuple[float, float, int]]:
    """Mean probability, observed frequency and number of studies of each bin that has any."""
    which = np.minimum((probabilities * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    return [
        (float(probabilities[inside].mean()), float(truth[inside].mean()), int(inside.sum()))
        for inside in (which == index for index in range(RELIABILITY_BINS))
        if inside.any()
    ]


def _as_shipped(model: EvaluatedModel, scores: Sequence[FloatArray]) -> list[Triage]:
    facts = model.bundle.facts
    point = TriagePoint(
        temperature=facts["calibration"]["temperature"] if facts["calibration"] else None,
        threshold=facts["operating_point"]["threshold"],
        chosen_by=facts["operating_point"]["chosen_by"],
        n=0,
        sensitivity=None,
        specificity=None,
    )
    return triage_at(model.bundle, point, scores)


def _figures_of(
    truth: npt.NDArray[np.bool_], probabilities: FloatArray, weights: Weights
) -> Callable[[Callable[[Any, Any], float], int], Estimate]:
    def figure_of(figure: Callable[[Any, Any], float], n: int) -> Estimate:
        return bootstrapped(
            lambda chosen: figure(truth[chosen], probabilities[chosen]), weights, n=n
        )

    return figure_of


def _share(hits: npt.NDArray[np.bool_], *, of: npt.NDArray[np.bool_]) -> Estimate:
    return proportion(int((hits & of).sum()), int(of.sum()))


def _subgroups(
    studies: Sequence[Study],
    truth: npt.NDArray[np.bool_],
    probabilities: FloatArray,
    called: npt.NDArray[np.bool_],
    resamples: int,
) -> Iterator[Subgroup]:
    for attribute, value, inside in subgroups(studies):
        count = int(inside.sum())
        patients = [s.patient_id for s, own in zip(studies, inside, strict=True) if own]
        weights = patient_resamples(patients, resamples=resamples if count >= MIN_SUBGROUP else 0)
        ranked = _figures_of(truth[inside], probabilities[inside], weights)
        yield Subgroup(
            attribute=attribute,
            value=value,
            n=count,
            abnormal=int(truth[inside].sum()),
            auroc=ranked(metrics.auroc, count),
            sensitivity=_share(called, of=truth & inside),
            specificity=_share(~called, of=~truth & inside),
        )


def _by_label(
    studies: Sequence[Study], called: npt.NDArray[np.bool_]
) -> tuple[tuple[str, Estimate], ...]:
    labels = {label for study in studies for label in study.labels} - {NORMAL}
    carries = {name: np.asarray([name in study.labels for study in studies]) for name in labels}
    order = sorted(labels, key=lambda name: (-int(carries[name].sum()), name))
    return tuple((name, _share(called, of=carries[name])) for name in order)
