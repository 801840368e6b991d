import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lambdas.detect.detect import detect
from lambdas.shared.bundle import Bundle, load_bundle
from lambdas.shared.errors import ContractError
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.read import read_radiograph
from tests.builders import tiny_models
from tests.training.builders import film_png
from training.evaluated_models import find_models
from training.operating_points import (
    DetectorPoint,
    TriagePoint,
    choose_detector_point,
    choose_triage_point,
    findings_at,
    triage_at,
    with_detector_point,
    with_triage_point,
    write_operating_point,
)
from training.predictions import RecordingModel, answer_film
from training.ranking import Ranking


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tiny_models(tmp_path / "pair")


@pytest.fixture
def classifier(models: Path) -> Bundle:
    return load_bundle(models / "classifier")


def logits(values: np.ndarray) -> list[np.ndarray]:
    return [np.asarray([0.0, value]) for value in values]


def drawn(count: int, *, temperature: float, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores whose true probabilities are the sigmoid of score / temperature."""
    source = np.random.default_rng(seed)
    honest = source.normal(0, 2, count)
    truth = source.random(count) < 1 / (1 + np.exp(-honest))
    return logits(honest * temperature), truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(classifier: Bundle, temperature: float) -> None:
    scores, truth = drawn(800, temperature=temperature, seed=4)
    point = choose_triage_point(classifier, scores, truth, data="a draw")
    assert point.temperature == pytest.approx(temperature, rel=0.15)


def test_threshold_keeps_the_target_and_then_the_best_sum(classifier: Bundle) -> None:
    # probabilities at temperature 1 are .1 to .9; one abnormal study of twenty lies among normals
    truth = np.asarray([False] * 10 + [True] * 20)
    values = np.concatenate([np.linspace(-3, -1, 10), [-2.5], np.linspace(1, 3, 19)])
    point = choose_triage_point(classifier, logits(values), truth, data="a draw", target=0.95)
    called = [t.positive for t in triage_at(classifier, point, logits(values))]
    assert point.sensitivity == 0.95
    assert point.specificity == 1.0
    assert sum(called) == 19
    assert "at least 0.95" in point.chosen_by
    full = choose_triage_point(classifier, logits(values), truth, data="a draw", target=1.0)
    assert full.sensitivity == 1.0
    assert full.specificity is not None
    assert full.specificity < 0.5
    assert full.threshold < point.threshold


def test_separated_validation_gives_no_temperature(classifier: Bundle) -> None:
    """The likelihood then grows without end as the temperature falls."""
    truth = np.asarray([False] * 15 + [True] * 15)
    point = choose_triage_point(
        classifier, logits(np.where(truth, 2.0, -2.0)), truth, data="a draw"
    )
    assert point.temperature is None
    assert (point.sensitivity, point.specificity) == (1.0, 1.0)


def test_few_cases_keep_the_shipped_point(classifier: Bundle) -> None:
    truth = np.asarray([True] * 50 + [False] * 9)
    point = choose_triage_point(classifier, logits(np.zeros(59)), truth, data="a draw")
    assert point.threshold == 0.5
    assert point.temperature is None
    assert point.sensitivity is None
    assert "kept: 50 abnormal and 9 normal" in point.chosen_by
    # and again, on the bundle as written: the reason does not pile up
    again = choose_triage_point(
        with_triage_point(classifier, point), logits(np.zeros(59)), truth, data="a draw"
    )
    assert again.chosen_by == point.chosen_by


def ranking(scores: list[float], hits: list[bool], boxes: int) -> Ranking:
    return Ranking(
        scores=np.asarray(scores),
        hits=np.asarray(hits, bool),
        films=np.zeros(len(scores), np.intp),
        truths=np.asarray([boxes]),
        judged=np.ones(1, bool),
    )


def test_detector_takes_the_best_f1_halfway_down(models: Path) -> None:
    bundle = load_bundle(models / "detector")
    scores = [0.9 - 0.02 * index for index in range(10)] + [0.3, 0.2]
    point = choose_detector_point(
        bundle,
        {
            "Cardiomegaly": ranking(scores, [True] * 10 + [False] * 2, 10),
            "Pleural effusion": ranking([0.9], [True], 9),
        },
        data="a draw",
    )
    # the tenth hit scores 0.72 and the first false box 0.30
    assert point.thresholds["Cardiomegaly"] == pytest.approx(0.51)
    assert point.validation_f1 == {"Cardiomegaly": 1.0}
    # nine boxes choose nothing
    assert point.thresholds["Pleural effusion"] == 0.3
    assert point.kept == ("Pleural effusion",)


@pytest.mark.parametrize(
    ("thresholds", "most"),
    [((0.5, 0.3), 20), ((0.95, 0.3), 20), ((0.5, 0.45), 20), ((0.1, 0.1), 1)],
)
def test_kept_detections_give_what_the_stage_function_gives(
    models: Path, thresholds: tuple[float, float], most: int
) -> None:
    detector = find_models([models]).detectors[0]
    film: Radiograph = read_radiograph(film_png(seed=1))
    kept = answer_film(film, RecordingModel(detector.open(threads=1)))
    point = DetectorPoint(
        dict(zip(detector.labels, thresholds, strict=True)), "the test", 1, (), {}
    )
    shipped = with_detector_point(detector.bundle, point)
    operating = shipped.facts["operating_point"] | {"max_findings": most}
    shipped = dataclasses.replace(shipped, facts=shipped.facts | {"operating_point": operating})
    expected = detect(film, model=OnnxModel(shipped, threads=1))
    found = findings_at(kept, detector.labels, point, most=most)
    assert len(kept) == 2
    assert [detector.labels[int(row[0])] for row in found] == [f.label for f in expected]
    assert found[:, 1].tolist() == [f.score for f in expected]
    assert found[:, 2].tolist() == pytest.approx([f.box.x_min for f in expected])


def test_written_point_is_what_the_bundle_loads_with(classifier: Bundle) -> None:
    graph = classifier.graph_path.read_bytes()
    point = TriagePoint(1.7, 0.2345, "the test", 40, 0.96, 0.8)
    metric = {"name": "AUROC", "value": 0.9, "n": 40, "interval_95": [0.8, 1.0], "data": "a draw"}
    written = write_operating_point(with_triage_point(classifier, point), [metric])
    loaded = load_bundle(classifier.folder)
    assert loaded.facts == written.facts
    assert loaded.facts["calibration"]["temperature"] == 1.7
    assert loaded.facts["operating_point"]["threshold"] == 0.2345
    assert loaded.facts["operating_point"]["sensitivity"] == 0.96
    assert loaded.facts["metrics"] == [metric]
    assert loaded.facts["sha256"] == classifier.facts["sha256"]
    assert loaded.graph_path.read_bytes() == graph
    assert loaded.digest != classifier.digest


def test_bundle_that_would_not_load_is_left_alone(classifier: Bundle) -> None:
    before = (classifier.folder / "model.json").read_bytes()
    point = TriagePoint(None, 1.5, "the test", 40, None, None)
    with pytest.raises(ContractError, match="threshold"):
        write_operating_point(with_triage_point(classifier, point), [])
    assert (classifier.folder / "model.json").read_bytes() == before
    assert json.loads(before)["operating_point"]["threshold"] == 0.5
