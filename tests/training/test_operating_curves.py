"""The curve that goes into model.json: measured points only, and the chosen one among them."""

import json
from pathlib import Path

import numpy as np
import pytest

from lambdas.shared.bundle import load_bundle
from lambdas.shared.errors import ModelMismatchError
from tests.builders import tiny_models
from training.operating_curves import detector_curve, triage_curve
from training.operating_points import (
    choose_detector_point,
    choose_triage_point,
    triage_probabilities,
    with_detector_point,
    with_triage_point,
    write_operating_point,
)
from training.ranking import Ranking


def logits(values: np.ndarray) -> list[np.ndarray]:
    return [np.asarray([0.0, value]) for value in values]


def ranking(scores: list[float], hits: list[bool], *, boxes: int, films: int) -> Ranking:
    truths = np.zeros(films, np.int64)
    truths[0] = boxes
    return Ranking(
        scores=np.asarray(scores),
        hits=np.asarray(hits, bool),
        films=np.zeros(len(scores), np.intp),
        truths=truths,
        judged=np.ones(films, bool),
    )


def test_every_point_is_what_its_threshold_gives() -> None:
    source = np.random.default_rng(3)
    probabilities = source.random(300).round(4)
    truth = source.random(300) < probabilities
    curve = triage_curve(
        probabilities, truth, candidates=np.unique(probabilities), chosen=0.3333, data="a draw"
    )
    thresholds = [point["threshold"] for point in curve["points"]]
    assert len(thresholds) == 50
    assert thresholds == sorted(thresholds)
    assert 0.3333 in thresholds
    assert (thresholds[0], thresholds[-1]) == (probabilities.min(), probabilities.max())
    assert (curve["n_positive"], curve["n_negative"]) == (truth.sum(), (~truth).sum())
    for point in curve["points"]:
        called = probabilities >= point["threshold"]
        assert point["sensitivity"] == pytest.approx(called[truth].mean(), abs=5e-5)
        assert point["specificity"] == pytest.approx((~called[~truth]).mean(), abs=5e-5)


def test_few_candidates_all_stay() -> None:
    truth = np.asarray([False, True])
    curve = triage_curve(
        np.asarray([0.2, 0.8]), truth, candidates=np.asarray([0.0, 0.5]), chosen=0.5, data="two"
    )
    assert [tuple(point.values()) for point in curve["points"]] == [
        (0.0, 1.0, 0.0),
        (0.5, 1.0, 1.0),
    ]


def test_detector_curve_counts_hits_and_false_boxes() -> None:
    rankings = {
        "Cardiomegaly": ranking([0.9, 0.8, 0.2], [True, False, True], boxes=4, films=10),
        "Pleural effusion": ranking([0.9], [False], boxes=0, films=10),
    }
    curve = detector_curve(
        rankings, chosen={"Cardiomegaly": 0.5, "Pleural effusion": 0.3}, data="ten"
    )
    assert list(curve["labels"]) == ["Cardiomegaly"]  # without a true box: no sensitivity
    found = curve["labels"]["Cardiomegaly"]
    assert (found["boxes"], found["images"]) == (4, 10)
    assert [tuple(point.values()) for point in found["points"]] == [
        (0.2, 0.5, 0.1),
        (0.5, 0.25, 0.1),
        (0.8, 0.25, 0.1),
        (0.9, 0.25, 0.0),
    ]


def test_curves_are_written_into_both_bundles(tmp_path: Path) -> None:
    models = tiny_models(tmp_path)
    classifier, detector = load_bundle(models / "classifier"), load_bundle(models / "detector")
    truth = np.asarray([False] * 15 + [True] * 20)
    scores = logits(np.linspace(-2, 2, 35))
    point = choose_triage_point(classifier, scores, truth, data="a draw")
    written = write_operating_point(with_triage_point(classifier, point), [])
    curve = written.facts["operating_curve"]
    assert curve["data"] == "35 validation studies of a draw"
    operating = written.facts["operating_point"]
    (chosen,) = (p for p in curve["points"] if p["threshold"] == operating["threshold"])
    assert chosen["sensitivity"] == pytest.approx(operating["sensitivity"], abs=5e-5)
    assert chosen["specificity"] == pytest.approx(operating["specificity"], abs=5e-5)
    # and it is the curve of the probabilities that records show
    shown = triage_probabilities(written, scores, temperature=point.temperature)
    lowest = curve["points"][0]
    assert lowest["specificity"] == (shown[~truth] < lowest["threshold"]).mean()

    rankings = {
        "Cardiomegaly": ranking([0.9] * 12, [True] * 12, boxes=12, films=20),
        "Pleural effusion": ranking([0.8] * 12, [True] * 12, boxes=12, films=20),
    }
    found = choose_detector_point(detector, rankings, data="a draw")
    written = write_operating_point(with_detector_point(detector, found), [])
    assert set(written.facts["operating_curve"]["labels"]) == set(written.label_names)


@pytest.mark.parametrize(
    ("model", "curve", "message"),
    [
        ("detector", {"data": "x", "n_positive": 1, "n_negative": 1, "points": [
            {"threshold": 0.5, "sensitivity": 1.0, "specificity": 1.0}]}, "not that of a model"),
        ("detector", {"data": "x", "labels": {"Fracture": {"boxes": 1, "images": 1, "points": [
            {"threshold": 0.5, "sensitivity": 1.0, "false_boxes_per_image": 0.0}]}}},
         "does not have"),
        ("classifier", {"data": "x", "labels": {}}, "not that of a model"),
    ],
)  # fmt: skip
def test_curve_of_another_model_does_not_load(
    tmp_path: Path, model: str, curve: dict[str, object], message: str
) -> None:
    path = tiny_models(tmp_path) / model / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"operating_curve": curve}))
    with pytest.raises(ModelMismatchError, match=message):
        load_bundle(path.parent)
