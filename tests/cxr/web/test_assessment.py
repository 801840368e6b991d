"""A result at other thresholds: the record's findings keep their numbers, others come after."""

from collections.abc import Callable
from typing import Any

import pytest

from cxr.web.assessment import NOT_AT_HAND, NOT_LOOKED_FOR, Thresholds, assess
from lambdas.shared.records import Record
from tests.cxr.review_examples import record

LABELS = ("Normal", "Abnormal")
OPERATING = {"Cardiomegaly": 0.3, "Pleural effusion": 0.3}


def entry(label: str, score: float, threshold: float = 0.3, x_min: float = 0.6) -> Record:
    box = {"x_min": x_min, "y_min": 0.1, "x_max": 0.9, "y_max": 0.5}
    pixels = {edge: 100 * value for edge, value in box.items()}
    return {
        "label": label,
        "code": None,
        "score": score,
        "threshold": threshold,
        "box": pixels,
        "box_normalised": box,
    }


def detector(*found: Record) -> Callable[[float | None], list[Record]]:
    """Answers as the detector would; the record's own findings are among its answers."""

    def found_from(lowest: float | None) -> list[Record]:
        least = 0.3 if lowest is None else lowest
        own = record()["findings"]
        return [each for each in (*own, *found) if each["score"] >= least]

    return found_from


def numbers(assessment: Any) -> list[tuple[int, str, bool]]:
    return [(each.number, each.entry["label"], each.recorded) for each in assessment.findings]


def test_as_recorded() -> None:
    found = assess(record(), Thresholds())
    assert (found.triage.label, found.moved, found.detected) == ("Abnormal", False, True)
    assert numbers(found) == [(1, "Cardiomegaly", True), (2, "Pleural effusion", True)]


def test_higher_score_threshold_hides_and_keeps_the_numbers() -> None:
    found = assess(record(), Thresholds(findings=0.9), operating=OPERATING)
    assert numbers(found) == [(1, "Cardiomegaly", True)]
    assert (found.hidden, found.unknown) == (1, None)


def test_lower_score_threshold_adds_after_the_record() -> None:
    asks = detector(entry("Cardiomegaly", 0.25), entry("Pleural effusion", 0.1))
    found = assess(record(), Thresholds(findings=0.2), operating=OPERATING, findings_from=asks)
    assert numbers(found) == [
        (1, "Cardiomegaly", True),
        (2, "Pleural effusion", True),
        (3, "Cardiomegaly", False),
    ]


def test_detector_is_not_asked_where_the_record_has_all() -> None:
    def never(lowest: float | None) -> list[Record]:
        raise AssertionError("the detector was asked")

    for tried in (Thresholds(), Thresholds(findings=0.3), Thresholds(triage=0.95)):
        assess(record(), tried, operating=OPERATING, findings_from=never)
    assess(record("normal"), Thresholds(), operating=OPERATING, findings_from=never)


@pytest.mark.parametrize("operating", [OPERATING, None])
def test_stored_result_says_what_it_does_not_have(operating: dict[str, float] | None) -> None:
    found = assess(record(), Thresholds(findings=0.1), operating=operating)
    assert found.unknown == NOT_AT_HAND
    assert len(found.findings) == 2
    moved = assess(record("normal"), Thresholds(triage=0.05), operating=operating)
    assert moved.unknown == NOT_LOOKED_FOR
    assert moved.detected is False


def test_triage_that_becomes_abnormal_asks_the_detector() -> None:
    of = record("normal")
    asks = detector(entry("Scoliosis", 0.2))
    found = assess(of, Thresholds(triage=0.05), labels=LABELS, findings_from=asks)
    assert (found.triage.label, found.moved, found.detected) == ("Abnormal", True, True)
    # at the operating points, so without the one at 0.2
    assert numbers(found) == [(1, "Cardiomegaly", False), (2, "Pleural effusion", False)]


def test_triage_that_becomes_normal_says_that_the_detector_was_idle() -> None:
    found = assess(record(), Thresholds(triage=0.95), labels=LABELS)
    assert (found.triage.label, found.idle) == ("Normal", True)
    assert len(found.findings) == 2  # they are in the record all the same
    assert assess(record(), Thresholds(triage=0.6), labels=LABELS).idle is False


def test_own_score_threshold_asks_the_detector_on_a_normal_image_too() -> None:
    found = assess(record("normal"), Thresholds(findings=0.4), findings_from=detector())
    assert found.triage.label == "Normal"
    assert numbers(found) == [(1, "Cardiomegaly", False), (2, "Pleural effusion", False)]
