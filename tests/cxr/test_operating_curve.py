"""What a threshold stands for: measured points and nothing between them."""

from typing import Any

from cxr.operating_curve import finding_figures, triage_figures, triage_steps
from tests.builders import classifier_facts, detector_facts

CURVE: dict[str, Any] = {
    "data": "30 studies",
    "n_positive": 20,
    "n_negative": 10,
    "points": [
        {"threshold": 0.2, "sensitivity": 1.0, "specificity": 0.1},
        {"threshold": 0.5, "sensitivity": 0.9, "specificity": 0.6},
    ],
}

FOUND: dict[str, Any] = {
    "data": "30 studies, IoU 0.5",
    "labels": {
        "Cardiomegaly": {
            "boxes": 12,
            "images": 30,
            "points": [
                {"threshold": 0.1, "sensitivity": 1.0, "false_boxes_per_image": 2.0},
                {"threshold": 0.6, "sensitivity": 0.5, "false_boxes_per_image": 0.1},
            ],
        }
    },
}


def test_slider_steps_are_the_measured_thresholds() -> None:
    facts = classifier_facts(operating_curve=CURVE)
    assert triage_steps(facts, shipped=0.5) == [0.2, 0.5]
    # a record of an older threshold keeps it among the steps
    assert triage_steps(facts, shipped=0.3) == [0.2, 0.3, 0.5]


def test_slider_without_a_curve_has_even_steps_and_the_operating_point() -> None:
    for facts in (classifier_facts(), None):
        steps = triage_steps(facts, shipped=0.3651)
        assert len(steps) == 102
        assert 0.3651 in steps
        assert (steps[0], steps[-1]) == (0.0, 1.0)


def test_figures_of_a_measured_threshold() -> None:
    figures = triage_figures(classifier_facts(operating_curve=CURVE), 0.2)
    assert figures is not None
    assert (figures.sensitivity, figures.specificity) == (1.0, 0.1)
    assert (figures.n_positive, figures.n_negative, figures.data) == (20, 10, "30 studies")


def test_nothing_is_said_of_a_threshold_that_was_not_measured() -> None:
    assert triage_figures(classifier_facts(operating_curve=CURVE), 0.3) is None
    assert triage_figures(classifier_facts(), 0.5) is None


def test_operating_point_has_its_own_figures_where_there_is_no_curve() -> None:
    point = {
        "positive_label": "Abnormal",
        "threshold": 0.5,
        "chosen_by": "best, on 40 studies",
        "sensitivity": 0.95,
        "specificity": 0.0,
    }
    facts = classifier_facts(operating_point=point)
    figures = triage_figures(facts, 0.5)
    assert figures is not None
    assert (figures.sensitivity, figures.specificity, figures.n_positive) == (0.95, 0.0, None)
    assert figures.data == "best, on 40 studies"
    assert triage_figures(facts, 0.51) is None


def test_findings_get_the_nearest_measured_threshold() -> None:
    facts = detector_facts(operating_curve=FOUND)
    near = finding_figures(facts, 0.5)["Cardiomegaly"]
    assert (near.threshold, near.sensitivity, near.false_boxes_per_image) == (0.6, 0.5, 0.1)
    assert finding_figures(facts, 0.2)["Cardiomegaly"].threshold == 0.1
    assert finding_figures(detector_facts(), 0.5) == {}
