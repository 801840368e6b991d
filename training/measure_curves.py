"""Measure what other thresholds give on validation, and write that alone into bundles.

    python -m training.measure_curves --data build/prepared --models models/demo

For bundles whose operating point stays: thresholds, calibration and figures are left as they are.
`training.evaluate --write-operating-point` writes the curve of the point that it chooses.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ConfigError, CxrError
from training.data import load_prepared
from training.evaluate_detection import class_rankings
from training.evaluate_measure import data_name
from training.evaluated_models import EvaluatedModel, find_models
from training.operating_curves import detector_curve, triage_curve
from training.operating_points import (
    HIT_IOU,
    between_scores,
    triage_probabilities,
    write_operating_point,
)
from training.parallel import default_workers
from training.predictions import Predictions, film_of, predict
from training.studies import Study


def measure_curves(data: Path, models: Sequence[Path], *, note: str, workers: int) -> list[Bundle]:
    """Write the validation curve of each bundle into its model.json.

    Args:
        data: Prepared folder.
        models: As `find_models` takes them; bundles only.
        note: Added to the name of the data; may be empty.
        workers: Processes.

    Returns:
        The bundles as loaded again.

    Raises:
        ContractError: Data or models are not what they should be.
    """
    found = find_models(models).all
    if wrong := [model.path for model in found if model.form != "bundle"]:
        raise ConfigError(f"{wrong[0]} is a checkpoint, which has no model.json; export it first")
    studies = load_prepared(data).split("validation")
    with tempfile.TemporaryDirectory() as scratch:
        films = [film_of(study, prepared=True) for study in studies]
        answers = predict(films, found, folder=Path(scratch), workers=workers, title="validation")
    studies = tuple(study for study in studies if study.image_id not in answers.rejected)
    if not studies:
        raise ConfigError(f"{data}: no validation study can be read")
    name = f"{len(studies)} validation studies of {data_name(str(data), studies)}{note}"
    written = []
    for model in found:
        curve = _curve(model, studies, answers, name)
        changed = dataclasses.replace(
            model.bundle, facts=model.bundle.facts | {"operating_curve": curve}
        )
        written.append(write_operating_point(changed, model.bundle.facts["metrics"]))
    return written


def _curve(
    model: EvaluatedModel, studies: Sequence[Study], answers: Predictions, name: str
) -> dict[str, Any]:
    facts = model.bundle.facts
    point = facts["operating_point"]
    if model.task == "detection":
        found = [answers.detections[model.key][study.image_id] for study in studies]
        rankings = class_rankings(studies, found, model.labels)
        data = f"{name}, IoU {HIT_IOU:g}"
        return detector_curve(rankings, chosen=point["thresholds"], data=data)
    scores = [answers.scores[model.key][study.image_id] for study in studies]
    temperature = facts["calibration"]["temperature"] if facts["calibration"] else None
    probabilities = triage_probabilities(model.bundle, scores, temperature=temperature)
    truth = np.asarray([study.abnormal for study in studies])
    if truth.all() or not truth.any():
        raise ConfigError("validation needs normal and abnormal studies, but has only one kind")
    return triage_curve(
        probabilities,
        truth,
        candidates=between_scores(probabilities),
        chosen=point["threshold"],
        data=name,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m training.measure_curves`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.measure_curves",
        description="Write what other thresholds give on validation into bundles.",
    )
    parser.add_argument("--data", required=True, type=Path, help="prepared folder")
    parser.add_argument("--models", required=True, nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--note", default="", help="added to the name of the data")
    parser.add_argument("--workers", type=int, default=default_workers(), help="[%(default)s]")
    options = parser.parse_args(arguments)
    try:
        bundles = measure_curves(
            options.data, options.models, note=options.note, workers=options.workers
        )
    except CxrError as error:
        sys.stderr.write(f"measure_curves: {error}\n")
        return 1
    for bundle in bundles:
        sys.stdout.write(f"{bundle.folder}: {bundle.facts['operating_curve']['data']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
