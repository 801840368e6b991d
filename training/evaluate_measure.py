"""All figures of an evaluation: what is chosen on validation, then what test says, once."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lambdas.shared.errors import ConfigError
from training.data import Dataset, load_dataset, load_prepared
from training.evaluate_cascade import CascadeFigures, cascade_figures
from training.evaluate_detection import DetectorFigures, class_rankings, detector_figures
from training.evaluate_films import (
    RealBoxResult,
    RealFilms,
    RealTriage,
    read_real_films,
    real_boxes,
    real_triage,
)
from training.evaluate_triage import TriageFigures, triage_figures
from training.evaluated_models import Models, describe
from training.operating_points import (
    DetectorPoint,
    TriagePoint,
    choose_detector_point,
    choose_triage_point,
)
from training.predictions import PREDICTIONS_FOLDER, Predictions, film_of, predict
from training.prepared import DATASET_FILE
from training.studies import Study

PHANTOM_ID: Final = "99"
PHANTOM_PATIENT_DIGITS: Final = 15
"""Ids of `training.phantoms` begin so, and its patients' are as long; PadChest's have over 30."""


@dataclass(frozen=True)
class Settings:
    """What an evaluation is run with.

    Attributes:
        data: Folder or S3 prefix of PadChest-GR, or a prepared folder.
        out: Folder of the report.
        real_films: Folder of labelled real films; None for none.
        limit: Most studies of a split, chosen at random; None for all.
        workers: Processes.
        resamples: Of the bootstrap.
        target_sensitivity: Of triage, on validation.
        seed: Of the choice of studies.
    """

    data: str
    out: Path
    real_films: Path | None
    limit: int | None
    workers: int
    resamples: int
    target_sensitivity: float
    seed: int = 0


@dataclass(frozen=True)
class Evaluation:
    """The figures, and what they are of.

    Attributes:
        settings: Of the run.
        models: What was evaluated.
        dataset: What with.
        prepared: Whether from a prepared folder.
        validation: Studies that thresholds were chosen on.
        test: Studies that the figures are of.
        rejected: Reason by image_id of films that production would reject.
        triage: By model key.
        detection: By model key.
        cascades: Of the pairs.
        real: The real films, if any.
        real_triage: Of each classifier.
        real_boxes: Of each detector.
        real_rejected: Reason by file.
    """

    settings: Settings
    models: Models
    dataset: Dataset
    prepared: bool
    validation: tuple[Study, ...]
    test: tuple[Study, ...]
    rejected: Mapping[str, str]
    triage: Mapping[str, TriageFigures]
    detection: Mapping[str, DetectorFigures]
    cascades: tuple[CascadeFigures, ...]
    real: RealFilms | None
    real_triage: tuple[RealTriage, ...]
    real_boxes: tuple[RealBoxResult, ...]
    real_rejected: Mapping[str, str]

    @property
    def kind(self) -> str:
        """`phantoms` or `patients`: whose films the figures are of."""
        return "phantoms" if made_up(self.dataset.studies) else "patients"

    @property
    def data_name(self) -> str:
        """Of the data set, without the folders above it."""
        return data_name(self.settings.data, self.dataset.studies)

    def to_json(self) -> dict[str, Any]:
        """Plain values; no figure is missing that the page shows."""
        return {
            "data": {
                "name": self.data_name,
                "kind": self.kind,
                "prepared": self.prepared,
                "validation_n": len(self.validation),
                "test_n": len(self.test),
                "limit": self.settings.limit,
                "excluded": [[e.image_id, e.reason] for e in self.dataset.exclusions],
                "rejected": dict(self.rejected),
            },
            "resamples": self.settings.resamples,
            "models": [describe(model) for model in self.models.all],
            "triage": [figures.to_json() for figures in self.triage.values()],
            "detection": [figures.to_json() for figures in self.detection.values()],
            "cascades": [figures.to_json() for figures in self.cascades],
            "real_films": None
            if self.real is None
            else {
                "n": len(self.real.films),
                "rejected": dict(self.real_rejected),
                "triage": [figures.to_json() for figures in self.real_triage],
                "boxes": [result.to_json() for result in self.real_boxes],
            },
        }


def measure(settings: Settings, models: Models) -> Evaluation:
    """Choose on validation, judge on test.

    Raises:
        ContractError: The data set or a model is not what it should be.
        ConfigError: A split that is needed is empty.
    """
    dataset, prepared = _load(settings.data)
    real = read_real_films(settings.real_films) if settings.real_films else None
    name = data_name(settings.data, dataset.studies)
    folder = settings.out / PREDICTIONS_FOLDER
    validation, answers = _predict(dataset, "validation", settings, models, prepared)
    triage_points, detector_points = _choose(validation, answers, models, settings, name)
    # nothing below this line is chosen: test is only read
    test, test_answers = _predict(dataset, "test", settings, models, prepared)
    triage = {
        model.key: triage_figures(
            model,
            test,
            [test_answers.scores[model.key][study.image_id] for study in test],
            point=triage_points[model.key],
            resamples=settings.resamples,
        )
        for model in models.classifiers
    }
    detection = {
        model.key: detector_figures(
            model,
            test,
            [test_answers.detections[model.key][study.image_id] for study in test],
            point=detector_points[model.key],
            resamples=settings.resamples,
        )
        for model in models.detectors
    }
    real_answers = Predictions({}, {}, {})
    if real:
        real_answers = predict(
            real.films,
            models.all,
            folder=folder,
            workers=settings.workers,
            title="real films",
        )
    return Evaluation(
        settings=settings,
        models=models,
        dataset=dataset,
        prepared=prepared,
        validation=validation,
        test=test,
        rejected={**answers.rejected, **test_answers.rejected},
        triage=triage,
        detection=detection,
        cascades=tuple(
            cascade_figures(
                pair,
                test,
                triage=triage[pair.classifier.key],
                detector=detection[pair.detector.key],
            )
            for pair in models.pairs
        ),
        real=real,
        real_triage=tuple(
            real_triage(
                real,
                real_answers,
                model,
                point=triage_points[model.key],
                resamples=settings.resamples,
            )
            for model in models.classifiers
            if real
        ),
        real_boxes=tuple(
            result
            for model in models.detectors
            if real
            for result in real_boxes(real, real_answers, model, point=detector_points[model.key])
        ),
        real_rejected=real_answers.rejected,
    )


def made_up(studies: Sequence[Study]) -> bool:
    """Whether every study bears the ids of a phantom."""
    return all(
        study.study_id.startswith(PHANTOM_ID)
        and study.patient_id.startswith(PHANTOM_ID)
        and len(study.patient_id) == PHANTOM_PATIENT_DIGITS
        for study in studies
    )


def data_name(location: str, studies: Sequence[Study]) -> str:
    """Such as `phantoms (folder prepared)`."""
    folder = location.rstrip("/").rpartition("/")[2] or location
    return f"{'phantoms' if made_up(studies) else 'PadChest-GR'} (folder {folder})"


def _load(location: str) -> tuple[Dataset, bool]:
    if not location.startswith("s3://") and (Path(location) / DATASET_FILE).is_file():
        return load_prepared(Path(location)), True
    return load_dataset(location, check_images=False), False


def _predict(
    dataset: Dataset, split: str, settings: Settings, models: Models, prepared: bool
) -> tuple[tuple[Study, ...], Predictions]:
    """The split's studies that can be read, and all answers on them."""
    studies = dataset.split(split)
    if settings.limit is not None and settings.limit < len(studies):
        chosen = random.Random(settings.seed).sample(range(len(studies)), settings.limit)
        studies = tuple(studies[index] for index in sorted(chosen))
    answers = predict(
        [film_of(study, prepared=prepared) for study in studies],
        models.all,
        folder=settings.out / PREDICTIONS_FOLDER,
        workers=settings.workers,
        title=split,
    )
    readable = tuple(study for study in studies if study.image_id not in answers.rejected)
    if not readable:
        raise ConfigError(
            f"{settings.data}: no {split} study can be read ({len(studies)} listed); thresholds "
            "are chosen on validation and judged on test, so both are needed"
        )
    return readable, answers


def _choose(
    studies: Sequence[Study],
    answers: Predictions,
    models: Models,
    settings: Settings,
    name: str,
) -> tuple[dict[str, TriagePoint], dict[str, DetectorPoint]]:
    truth = np.asarray([study.abnormal for study in studies])
    triage = {
        model.key: choose_triage_point(
            model.bundle,
            [answers.scores[model.key][study.image_id] for study in studies],
            truth,
            data=name,
            target=settings.target_sensitivity,
        )
        for model in models.classifiers
    }
    detection = {}
    for model in models.detectors:
        found = [answers.detections[model.key][study.image_id] for study in studies]
        rankings = class_rankings(studies, found, model.labels)
        detection[model.key] = choose_detector_point(model.bundle, rankings, data=name)
    return triage, detection
