"""training/batches.py: production's letterbox, one reader's boxes, an order that can be resumed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lambdas.shared.boxes import UnitBox  # noqa: E402
from lambdas.shared.preprocess import InputSpec, fit  # noqa: E402
from training import batches  # noqa: E402
from training.batches import (  # noqa: E402
    Batches,
    Canvases,
    epoch_order,
    epochs_in_run,
    occupancy,
    steps_in_run,
    training_studies,
)
from training.data import load_prepared  # noqa: E402
from training.prepared import load_pixels  # noqa: E402
from training.studies import LabelledBox, Study  # noqa: E402
from training.train_detector import thinned, with_background  # noqa: E402

CPU = torch.device("cpu")


def _study(name, *boxes, labels=None, abnormal=True):
    found = frozenset(labels or {box.label for box in boxes} or {"Normal"})
    return Study(
        study_id=name,
        image_id=name,
        patient_id=name,
        split="train",
        view="PA",
        sex=None,
        age=None,
        labels=found,
        groups=found,
        abnormal=abnormal,
        boxes=tuple(boxes),
        image=name,
    )


def _box(label, edges, reader=1):
    return LabelledBox(label=label, box=UnitBox(*edges), reader=reader)


@pytest.fixture
def tall(monkeypatch):
    """Images of 200 x 100 px: a quarter of the canvas is padding on either side."""
    pixels = np.linspace(0, 1, 200 * 100, dtype=np.float32).reshape(200, 100)
    monkeypatch.setattr(batches, "load_pixels", lambda study: pixels)
    return pixels


def _batches(studies, size=64, batch_size=2, **given):
    canvases = Canvases(studies, size_px=size, in_memory=True)
    return Batches(studies, canvases, labels=("A", "B"), batch_size=batch_size, device=CPU, **given)


@pytest.mark.parametrize("in_memory", [True, False])
def test_images_are_letterboxed_as_production_does(prepared_phantoms, in_memory):
    study = load_prepared(prepared_phantoms).split("train")[0]
    canvases = Canvases([study], size_px=96, in_memory=in_memory)
    spec = InputSpec(96, 96, 1, "letterbox", (0.0,), (1.0,))
    expected, _ = fit(load_pixels(study), spec)
    image = canvases.images([study])
    assert image.shape == (1, 1, 96, 96)
    assert image.dtype == torch.float32
    # kept as 16-bit samples
    np.testing.assert_allclose(image[0, 0].numpy(), expected, atol=0.51 / 65535)


def test_boxes_move_with_the_letterbox(tall):
    study = _study("a", _box("B", (0.0, 0.5, 1.0, 1.0)), _box("A", (0.5, 0.0, 1.0, 0.25)))
    batch = _batches([study]).in_order()[0]
    assert batch.boxes[0].tolist() == [[0.25, 0.5, 0.75, 1.0], [0.5, 0.0, 0.75, 0.25]]
    assert batch.box_labels[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("reader", "expected"),
    [(1, [("A", 1), ("B", 2)]), (2, [("A", 2), ("A", 2), ("B", 2)])],
    ids=["reader 1, else the other", "reader 2"],
)
def test_one_reader_is_the_truth_and_the_other_fills_in(tall, reader, expected):
    study = _study(
        "a",
        _box("A", (0.1, 0.1, 0.2, 0.2), reader=1),
        _box("A", (0.1, 0.1, 0.3, 0.2), reader=2),
        _box("A", (0.5, 0.1, 0.6, 0.2), reader=2),
        _box("B", (0.1, 0.1, 0.2, 0.2), reader=2),
        _box("unwanted", (0.1, 0.1, 0.2, 0.2), reader=1),
    )
    chosen = _batches([study], reader=reader).chosen_boxes(study)
    assert [(entry.label, entry.reader) for entry in chosen] == expected


def test_evaluation_sees_every_study_once_and_unchanged(tall):
    studies = [_study(str(number)) for number in range(5)]
    found = _batches(studies).in_order()
    assert [len(batch.studies) for batch in found] == [2, 2, 1]
    assert [study for batch in found for study in batch.studies] == studies


def test_a_batch_follows_from_seed_epoch_and_position_alone(tall):
    studies = [_study(str(n), _box("A", (0.2, 0.2, 0.8, 0.8))) for n in range(6)]
    order = epoch_order(6, seed=1, epoch=3)

    def batch(**given):
        place = {"position": 1, "seed": 1, "epoch": 3, "augment": True} | given
        return _batches(studies).training_batch(place.pop("position"), order=order, **place)

    first = batch()
    assert torch.equal(first.images, batch().images)
    assert np.array_equal(first.boxes[0], batch().boxes[0])
    for change in ({"seed": 2}, {"epoch": 4}, {"position": 2}):
        assert not torch.equal(first.images, batch(**change).images), change
    assert not np.array_equal(first.boxes[0], batch(augment=False).boxes[0])


def test_an_epoch_visits_all_and_the_next_in_another_order():
    first, second = (epoch_order(50, seed=0, epoch=epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first == epoch_order(50, seed=0, epoch=0)


def test_balanced_training_sees_the_rare_class_as_often():
    studies = [_study(str(n), abnormal=n < 9) for n in range(12)]
    plain = training_studies(studies, variant="unbalanced", labels=None, seed=0)
    even = training_studies(studies, variant="balanced", labels=None, seed=0)
    assert sum(study.abnormal for study in plain) == 9
    assert sum(study.abnormal for study in even) == sum(not study.abnormal for study in even) == 9


def test_balanced_detection_repeats_rare_labels():
    studies = [_study(f"a{n}", _box("A", (0, 0, 1, 1))) for n in range(8)]
    studies += [_study(f"b{n}", _box("B", (0, 0, 1, 1))) for n in range(2)]
    even = training_studies(studies, variant="balanced", labels=("A", "B"), seed=0)
    counts = [sum(label in study.labels for study in even) for label in ("A", "B")]
    assert counts == [8, 8]


def test_background_is_the_share_that_was_asked_for():
    boxed = [_study(f"a{n}", _box("A", (0, 0, 1, 1))) for n in range(30)]
    others = [_study(f"n{n}", abnormal=False) for n in range(50)]
    chosen = with_background([*boxed, *others], ("A",), fraction=0.25, seed=0)
    assert len(chosen) == 40
    assert set(boxed) <= set(chosen)
    assert with_background(boxed, ("A",), fraction=0.5, seed=0) == boxed
    assert with_background([*boxed, *others], ("A",), fraction=0.0, seed=0) == boxed


def test_thinning_keeps_order_and_is_repeatable():
    studies = [_study(f"{n:02}") for n in range(20)]
    chosen = thinned(studies, 7, seed=3)
    assert len(chosen) == 7
    assert [s.study_id for s in chosen] == sorted(s.study_id for s in chosen)
    assert chosen == thinned(studies, 7, seed=3)
    assert thinned(studies, 99, seed=3) == studies


def test_cells_hold_the_part_that_a_box_covers(tall):
    # on the canvas x from 0.25 to 0.5, y from 0 to 0.375: one column of cells, a row and a half
    study = _study("a", _box("A", (0.0, 0.0, 0.5, 0.375)), labels={"A", "B"})
    batch = _batches([study]).in_order()[0]
    cells, known = occupancy(batch, labels=("A", "B"), grid=4, device=CPU)
    assert cells[0, 0].tolist() == [[0, 1, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # B is reported without a box: its cells tell nothing
    assert known[0, :, 0, 0].tolist() == [1.0, 0.0]
    assert cells[0, 1].sum() == 0


def test_a_box_smaller_than_a_cell_still_fills_one(tall):
    study = _study("a", _box("A", (0.1, 0.1, 0.12, 0.11)))
    cells, _ = occupancy(_batches([study]).in_order()[0], labels=("A", "B"), grid=4, device=CPU)
    assert cells[0, 0].max() == 1.0
    assert cells[0, 0].sum() == 1.0


@pytest.mark.parametrize(
    ("epochs", "max_steps", "steps", "passes"), [(3, 0, 30, 3), (3, 12, 12, 2), (3, 99, 30, 3)]
)
def test_steps_and_passes(epochs, max_steps, steps, passes):
    total = steps_in_run(epochs=epochs, per_epoch=10, max_steps=max_steps)
    assert total == steps
    assert epochs_in_run(total_steps=total, per_epoch=10) == passes
