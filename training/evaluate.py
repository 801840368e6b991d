"""Evaluate models on PadChest-GR or phantoms: one HTML page and one JSON file.

    python -m training.evaluate --data PadChest-GR --models models/cxr --out build/evaluation
    python -m training.evaluate --data build/prepared --models four eight thirteen --out report
    python -m training.evaluate --data build/prepared --models models/cxr --out report \\
        --real-films radiographs --write-operating-point

--models names pairs (a folder with classifier/ and detector/), single bundles, or checkpoints.
OUT gets evaluation.html, evaluation.json and predictions/, from which the same command goes on
after a kill and repeats in seconds. Thresholds and temperature are chosen on validation; with
--write-operating-point they and the test figures go into model.json, the graph stays as it is.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from lambdas.shared.errors import ConfigError, CxrError
from training.estimates import RESAMPLES, Estimate
from training.evaluate_measure import Evaluation, Settings, measure
from training.evaluate_page import write_page
from training.evaluate_words import title
from training.evaluated_models import EvaluatedModel, find_models
from training.operating_points import (
    TARGET_SENSITIVITY,
    with_detector_point,
    with_triage_point,
    write_operating_point,
)
from training.parallel import default_workers
from training.predictions import film_of, read_film
from training.prepared import write_whole

PAGE_FILE: Final = "evaluation.html"
FIGURES_FILE: Final = "evaluation.json"


def evaluate(settings: Settings, models: Sequence[Path], *, write: bool = False) -> Evaluation:
    """Measure, and write page and JSON.

    Args:
        settings: Of the run.
        models: As `find_models` takes them.
        write: Whether the bundles get the operating point and the figures.

    Raises:
        ContractError: Data or models are not what they should be.
    """
    found = find_models(models)
    if write and (wrong := [m.path for m in found.all if m.form != "bundle"]):
        raise ConfigError(
            f"--write-operating-point: {wrong[0]} is a checkpoint, which has no model.json; "
            "export it first"
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    evaluation = measure(settings, found)
    text = json.dumps(evaluation.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(settings.out / FIGURES_FILE, (text + "\n").encode())
    page = write_page(
        evaluation,
        pixels=lambda study: read_film(film_of(study, prepared=evaluation.prepared)).pixels,
    )
    write_whole(settings.out / PAGE_FILE, page.encode())
    if write:
        write_points(evaluation)
    return evaluation


def write_points(evaluation: Evaluation) -> None:
    """Write operating points, calibration and figures into every bundle's model.json."""
    for key, triage in evaluation.triage.items():
        bundle = with_triage_point(triage.model.bundle, triage.point)
        write_operating_point(bundle, list(_triage_metrics(evaluation, key)))
    for detector in evaluation.detection.values():
        data = _test_name(evaluation)
        metrics = [
            ("mean AP50", detector.mean_ap50),
            ("COCO mAP", detector.mean_ap),
            *((f"AP50 {entry.label}", entry.ap50) for entry in detector.classes),
            *((f"sensitivity {entry.label}", entry.sensitivity) for entry in detector.classes),
        ]
        bundle = with_detector_point(detector.model.bundle, detector.point)
        write_operating_point(
            bundle, [_metric(n, e, data) for n, e in metrics if e.value is not None and e.n]
        )


def _triage_metrics(evaluation: Evaluation, key: str) -> Iterator[dict[str, Any]]:
    figures = evaluation.triage[key]
    for name, estimate in (
        ("AUROC", figures.auroc),
        ("AUPRC", figures.auprc),
        ("sensitivity", figures.sensitivity),
        ("specificity", figures.specificity),
        ("expected calibration error", figures.ece),
    ):
        if estimate.value is not None and estimate.n:
            yield _metric(name, estimate, _test_name(evaluation))
    for real in evaluation.real_triage:
        if real.model is figures.model and real.auroc.value is not None:
            yield _metric("AUROC", real.auroc, "labelled real films from public collections")


def _test_name(evaluation: Evaluation) -> str:
    return f"{evaluation.data_name}, {len(evaluation.test)} test studies"


def _metric(name: str, estimate: Estimate, data: str) -> dict[str, Any]:
    """As model.json holds it: to four decimals, as records show scores."""
    plain = estimate.to_json()
    interval = plain["interval_95"]
    return {
        "name": name,
        "value": round(plain["value"], 4),
        "n": plain["n"],
        "interval_95": [round(end, 4) for end in interval] if interval else None,
        "data": data,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m training.evaluate`; returns the exit status."""
    options = _parser().parse_args(arguments)
    settings = Settings(
        data=options.data,
        out=options.out,
        real_films=options.real_films,
        limit=options.limit,
        workers=options.workers,
        resamples=options.resamples,
        target_sensitivity=options.target_sensitivity,
        seed=options.seed,
    )
    try:
        evaluation = evaluate(settings, options.models, write=options.write_operating_point)
    except CxrError as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 1
    for line in _summary(evaluation):
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"wrote {options.out / PAGE_FILE} and {options.out / FIGURES_FILE}\n")
    return 0


def _summary(evaluation: Evaluation) -> Iterator[str]:
    def line(model: EvaluatedModel, name: str, estimate: Estimate) -> str:
        return f"{title(model)}: {name} {estimate}, n = {estimate.n}"

    for triage in evaluation.triage.values():
        yield line(triage.model, "AUROC", triage.auroc)
        yield line(triage.model, "sensitivity", triage.sensitivity)
        yield line(triage.model, "specificity", triage.specificity)
    for detector in evaluation.detection.values():
        yield line(detector.model, "mean AP50", detector.mean_ap50)
    for cascade in evaluation.cascades:
        total = cascade.total
        yield f"cascade {cascade.pair.name}: found end to end {total.end_to_end}, n = {total.boxes}"
    for real in evaluation.real_triage:
        yield line(real.model, "AUROC on real films", real.auroc)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description="Evaluate bundles or checkpoints on PadChest-GR or phantoms.",
    )
    add = parser.add_argument
    add("--data", required=True, help="folder or S3 prefix of PadChest-GR, or a prepared folder")
    add(
        "--models",
        required=True,
        nargs="+",
        type=Path,
        metavar="DIR",
        help="pairs (classifier/ and detector/), bundles, or checkpoints",
    )
    add("--out", required=True, type=Path, help="folder of the report")
    add("--real-films", type=Path, metavar="DIR", help="labelled real films: manifest.csv, files")
    add("--limit", type=int, metavar="N", help="take N studies of each split, chosen at random")
    add("--workers", type=int, default=default_workers(), help="processes [%(default)s]")
    add("--resamples", type=int, default=RESAMPLES, help="of the bootstrap [%(default)s]")
    add("--seed", type=int, default=0, help="of the choice of studies [%(default)s]")
    add(
        "--target-sensitivity",
        type=float,
        default=TARGET_SENSITIVITY,
        help="that triage's threshold keeps on validation [%(default)s]",
    )
    add(
        "--write-operating-point",
        action="store_true",
        help="write thresholds, temperature and figures into the bundles' model.json",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
