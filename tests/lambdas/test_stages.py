"""classify and detect on two-node graphs whose answers are known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambdas.classify.classify import classify, triage_at
from lambdas.detect.detect import detect
from lambdas.shared.bundle import load_bundle
from lambdas.shared.errors import ModelMismatchError
from lambdas.shared.findings import Triage
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.radiograph import ImageFacts, Radiograph
from tests.builders import (
    classifier_facts,
    classifier_graph,
    detector_facts,
    detector_graph,
    write_bundle,
)


def radiograph(level: float, *, height: int = 64, width: int = 64) -> Radiograph:
    facts = ImageFacts("png", width, height, 8, "MONOCHROME2", None, None, None, None, 1, "0" * 64)
    return Radiograph(np.full((height, width), level, np.float32), facts)


def classifier(folder: Path, graph: Any = None, **changes: Any) -> OnnxModel:
    facts = classifier_facts(**changes)
    return OnnxModel(load_bundle(write_bundle(folder, graph or classifier_graph(), facts)))


def detector(folder: Path, *answer: Any, **changes: Any) -> OnnxModel:
    facts = detector_facts(**changes)
    return OnnxModel(load_bundle(write_bundle(folder, detector_graph(*answer), facts)))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_triage_is_softmax_at_the_operating_point(tmp_path: Path, level: float) -> None:
    triage = classify(radiograph(level), model=classifier(tmp_path))
    assert triage.probability == pytest.approx(sigmoid(10 * (level - 0.5)), abs=1e-4)
    assert (triage.label, triage.positive) == (
        ("Abnormal", True) if level >= 0.5 else ("Normal", False)
    )
    assert not triage.calibrated


def test_temperature_divides_the_logits(tmp_path: Path) -> None:
    calibration = {"method": "temperature", "temperature": 4.0, "fitted_on": "the test"}
    triage = classify(radiograph(0.8), model=classifier(tmp_path, calibration=calibration))
    assert triage.probability == pytest.approx(sigmoid(10 * 0.3 / 4), abs=1e-4)
    assert triage.calibrated


def test_threshold_comes_from_the_bundle(tmp_path: Path) -> None:
    point = classifier_facts()["operating_point"] | {"threshold": 0.97}
    triage = classify(radiograph(0.8), model=classifier(tmp_path, operating_point=point))
    assert (triage.label, triage.threshold) == ("Normal", 0.97)


def test_positive_label_may_stand_first(tmp_path: Path) -> None:
    point = classifier_facts()["operating_point"] | {"positive_label": "Normal"}
    triage = classify(radiograph(0.2), model=classifier(tmp_path, operating_point=point))
    assert (triage.label, triage.positive) == ("Normal", True)
    assert triage.probability == pytest.approx(1 - sigmoid(-3), abs=1e-4)


def test_three_labels_with_sigmoid(tmp_path: Path) -> None:
    labels = [{"name": name, "code": None} for name in ("Normal", "Old", "Abnormal")]
    model = classifier(
        tmp_path,
        classifier_graph(labels=3),
        labels=labels,
        output={"scores": "logits", "activation": "sigmoid"},
    )
    assert classify(radiograph(0.9), model=model).probability == pytest.approx(sigmoid(4), abs=1e-4)
    assert classify(radiograph(0.1), model=model).label == "Normal"


def test_scores_that_are_no_numbers_are_our_fault(tmp_path: Path) -> None:
    model = classifier(tmp_path, classifier_graph(gain=float("nan")))
    with pytest.raises(ModelMismatchError, match="finite"):
        classify(radiograph(0.5), model=model)


def test_findings_at_their_labels_thresholds_highest_first(tmp_path: Path) -> None:
    boxes = [[4, 8, 16, 24], [20, 10, 30, 20], [1, 1, 9, 9]]
    model = detector(tmp_path, boxes, [1, 2, 1], [0.6, 0.7, 0.49])
    findings = detect(radiograph(0.5), model=model)
    assert [(f.label, f.score, f.threshold) for f in findings] == [
        ("Pleural effusion", 0.7, 0.3),
        ("Cardiomegaly", 0.6, 0.5),
    ]
    assert findings[0].code is not None
    assert findings[0].code.value == "60046008"
    box = findings[1].box
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == (0.125, 0.25, 0.5, 0.75)


def test_other_thresholds_can_be_tried(tmp_path: Path) -> None:
    answer = ([[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 12, 12]], [1, 1, 2], [0.9, 0.2, 0.25])
    model = detector(tmp_path, *answer)
    assert [f.score for f in detect(radiograph(0.5), model=model)] == [0.9]
    tried = detect(radiograph(0.5), model=model, thresholds={"Cardiomegaly": 0.1})
    assert [(f.score, f.threshold) for f in tried] == [(0.9, 0.1), (0.2, 0.1)]
    both = {"Cardiomegaly": 0.95, "Pleural effusion": 0.25}
    tried = detect(radiograph(0.5), model=model, thresholds=both)
    assert [(f.label, f.threshold) for f in tried] == [("Pleural effusion", 0.25)]
    with pytest.raises(ValueError, match="unknown labels: Fracture"):
        detect(radiograph(0.5), model=model, thresholds={"Fracture": 0.5})


@pytest.mark.parametrize(
    ("threshold", "labels", "label"),
    [
        (0.1, ("Normal", "Abnormal"), "Abnormal"),
        (0.9, ("Normal", "Abnormal"), "Normal"),  # the only other label
        (0.9, ("Normal", "Old", "Abnormal"), "not Abnormal"),  # which other was never recorded
        (0.9, (), "not Abnormal"),
    ],
)
def test_triage_at_another_threshold(threshold: float, labels: tuple[str, ...], label: str) -> None:
    triage = Triage("Abnormal", "Abnormal", 0.5, 0.5, calibrated=True, positive=True)
    moved = triage_at(triage, threshold, labels=labels)
    assert (moved.label, moved.threshold, moved.probability) == (label, threshold, 0.5)
    assert moved.positive == (label == "Abnormal")
    back = triage_at(moved, 0.5, labels=labels)
    assert back.label == "Abnormal"


def test_box_is_taken_back_through_the_letterbox(tmp_path: Path) -> None:
    model = detector(tmp_path, [[8, 0, 24, 32]], [1], [0.9])
    (finding,) = detect(radiograph(0.5, height=128, width=64), model=model)
    assert finding.box.in_pixels(width_px=64, height_px=128).x_max == 64
    assert finding.box.y_max == 1.0


def test_unit_boxes_and_labels_from_zero(tmp_path: Path) -> None:
    output = detector_facts()["output"] | {"box_frame": "input_unit", "first_label_id": 0}
    model = detector(tmp_path, [[0.25, 0.5, 0.75, 1.0]], [0], [0.9], output=output)
    (finding,) = detect(radiograph(0.5), model=model)
    assert (finding.label, finding.box.x_min, finding.box.y_max) == ("Cardiomegaly", 0.25, 1.0)


def test_no_boxes(tmp_path: Path) -> None:
    assert detect(radiograph(0.5), model=detector(tmp_path, [], [], [])) == ()


def test_most_findings_kept(tmp_path: Path) -> None:
    point = detector_facts()["operating_point"] | {"max_findings": 2}
    model = detector(
        tmp_path, [[i, 0, i + 5, 9] for i in range(5)], [1] * 5, [0.9] * 5, operating_point=point
    )
    assert [finding.box.x_min for finding in detect(radiograph(0.5), model=model)] == [0, 1 / 32]


def test_label_id_without_a_label_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match="label ids 3 to 3"):
        detect(radiograph(0.5), model=detector(tmp_path, [[1, 2, 3, 4]], [3], [0.9]))


def test_boxes_that_are_no_numbers_are_our_fault(tmp_path: Path) -> None:
    model = detector(tmp_path, [[float("nan"), 2, 3, 4]], [1], [0.9])
    with pytest.raises(ModelMismatchError, match="no numbers"):
        detect(radiograph(0.5), model=model)
