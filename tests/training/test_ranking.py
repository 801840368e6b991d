from pathlib import Path

import numpy as np
import pytest

from lambdas.shared.boxes import UnitBox
from training.metrics import ImageBoxes, average_precision, match
from training.ranking import image_boxes, judged_films, rank, true_boxes
from training.studies import LabelledBox, Study

BOX = (0.1, 0.1, 0.5, 0.5)
OTHER = (0.6, 0.6, 0.9, 0.9)


def study(number: int, *boxes: tuple[str, tuple[float, ...], int], named: str = "") -> Study:
    labels = {label for label, _, _ in boxes} | ({named} if named else set())
    return Study(
        study_id=str(number),
        image_id=f"{number}.png",
        patient_id=str(number),
        split="test",
        view="PA",
        sex="F",
        age=50,
        labels=frozenset(labels or {"Normal"}),
        groups=frozenset(),
        abnormal=bool(labels),
        boxes=tuple(LabelledBox(label, UnitBox(*edges), reader) for label, edges, reader in boxes),
        image=Path(f"{number}.png"),
    )


def detections(*rows: tuple[float, ...]) -> np.ndarray:
    return np.asarray(rows, np.float64).reshape(-1, 6)


def films(count: int, *, seed: int) -> list[ImageBoxes]:
    """Random truths, each found or not, and false boxes."""
    source = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        truth = source.uniform(0, 0.5, (source.integers(0, 3), 2))
        truth = np.hstack([truth, truth + 0.3])
        found = truth[source.random(len(truth)) < 0.7] + 0.02
        false = source.uniform(0, 0.4, (source.integers(0, 3), 2))
        boxes = np.vstack([found, np.hstack([false, false + 0.1])])
        images.append(
            ImageBoxes(
                true_boxes=truth,
                true_labels=np.zeros(len(truth), np.int64),
                boxes=boxes,
                labels=np.zeros(len(boxes), np.int64),
                scores=source.random(len(boxes)),
            )
        )
    return images


def test_average_precision_is_that_of_the_metrics() -> None:
    images = films(30, seed=1)
    ranking = rank(images, 0, iou=0.5, judged=np.ones(30, bool))
    expected = average_precision([match(image, 0, iou=0.5) for image in images])
    assert 0.2 < expected < 0.95
    assert ranking.average_precision() == pytest.approx(expected, abs=1e-12)


def test_weights_stand_for_repeated_films() -> None:
    """A bootstrap resample gives what matching the repeated films anew would give."""
    images = films(20, seed=2)
    ranking = rank(images, 0, iou=0.5, judged=np.ones(20, bool))
    weights = np.random.default_rng(3).integers(0, 3, 20)
    repeated = [image for image, times in zip(images, weights, strict=True) for _ in range(times)]
    expected = average_precision([match(image, 0, iou=0.5) for image in repeated])
    # equal scores of repeats enter one by one there and together here
    assert ranking.average_precision(weights) == pytest.approx(expected, abs=0.02)


def test_no_true_box_gives_no_figure() -> None:
    ranking = rank(
        image_boxes([study(1)], [detections((0, 0.9, *BOX))], ["A"]),
        0,
        iou=0.5,
        judged=np.ones(1, bool),
    )
    assert np.isnan(ranking.average_precision())
    assert np.isnan(ranking.sensitivity_at(1.0))
    assert ranking.above(0.5) == (0, 1)


def test_froc_counts_false_boxes_an_image() -> None:
    studies = [study(1, ("A", BOX, 1)), study(2, ("A", BOX, 1)), study(3), study(4)]
    found = [
        detections((0, 0.9, *BOX)),
        detections((0, 0.7, *OTHER), (0, 0.5, *BOX)),
        detections((0, 0.8, *OTHER)),
        detections(),
    ]
    ranking = rank(image_boxes(studies, found, ["A"]), 0, iou=0.5, judged=np.ones(4, bool))
    # by score: hit .9, false .8, false .7, hit .5
    assert ranking.sensitivity_at(0.0) == 0.5
    assert ranking.sensitivity_at(0.25) == 0.5
    assert ranking.sensitivity_at(0.5) == 1.0
    assert ranking.above(0.75) == (1, 1)
    assert ranking.above(0.9) == (1, 0)


def test_reader_2_is_true_where_reader_1_drew_none() -> None:
    one = study(1, ("A", BOX, 1), ("A", OTHER, 2), ("B", OTHER, 2))
    boxes, labels = true_boxes(one, ["A", "B"])
    assert boxes.tolist() == [list(BOX), list(OTHER)]
    assert labels.tolist() == [0, 1]
    assert true_boxes(one, ["A", "B"], reader=2)[0].tolist() == [list(OTHER), list(OTHER)]
    assert true_boxes(one, ["A", "B"], reader=1)[1].tolist() == [0]


@pytest.mark.parametrize(
    ("one", "anyone", "first", "second"),
    [
        (study(1, ("A", BOX, 1), ("A", BOX, 2)), True, True, True),
        (study(1, ("A", BOX, 1)), True, True, False),  # reader 2 may never have seen it
        (study(1, named="A"), False, False, False),  # named, boxed by nobody: no truth to judge by
        (study(1, ("B", BOX, 1)), True, True, True),  # an absent class can be judged
        (study(1), True, True, True),
    ],
)
def test_a_class_is_judged_where_there_is_truth(
    one: Study, anyone: bool, first: bool, second: bool
) -> None:
    answers = [bool(judged_films([one], "A", reader=reader)[0]) for reader in (None, 1, 2)]
    assert answers == [anyone, first, second]


def test_a_film_that_cannot_be_judged_gives_no_false_box() -> None:
    studies = [study(1, named="A"), study(2, ("A", BOX, 1))]
    found = [detections((0, 0.9, *OTHER)), detections((0, 0.8, *BOX))]
    images = image_boxes(studies, found, ["A"])
    ranking = rank(images, 0, iou=0.5, judged=judged_films(studies, "A"))
    assert ranking.above(0.0) == (1, 0)
    assert ranking.average_precision() == pytest.approx(1.0)
