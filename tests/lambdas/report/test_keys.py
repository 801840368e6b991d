"""Numbers beside boxes."""

import itertools

import pytest

from lambdas.report.keys import Rectangle, place_keys, scale_box

FRAME = (300.0, 400.0)
KEY = (12.0, 10.0)


def overlap(first: Rectangle, second: Rectangle) -> bool:
    return (
        min(first.x_max, second.x_max) - max(first.x_min, second.x_min) > 1e-9
        and min(first.y_max, second.y_max) - max(first.y_min, second.y_min) > 1e-9
    )


def test_key_stands_on_its_box_upper_left() -> None:
    (key,) = place_keys([Rectangle(50, 60, 150, 160)], frame=FRAME, key=KEY)
    assert key == Rectangle(50, 50, 62, 60)


@pytest.mark.parametrize(
    "box",
    [
        Rectangle(0, 0, 80, 80),
        Rectangle(220, 320, 300, 400),
        Rectangle(0, 100, 300, 400),
        Rectangle(100, 0, 200, 400),
    ],
)
def test_key_leaves_the_box_free_where_there_is_room(box: Rectangle) -> None:
    (key,) = place_keys([box], frame=FRAME, key=KEY)
    assert not overlap(key, box)
    assert key.x_min >= 0
    assert key.y_min >= 0
    assert key.x_max <= FRAME[0]
    assert key.y_max <= FRAME[1]


def test_key_of_a_box_over_everything_stays_inside() -> None:
    (key,) = place_keys([Rectangle(0, 0, *FRAME)], frame=FRAME, key=KEY)
    assert (key.x_min, key.y_min) == (0, 0)


def test_keys_of_equal_boxes_do_not_cover_each_other() -> None:
    keys = place_keys([Rectangle(100, 100, 200, 200)] * 8, frame=FRAME, key=KEY)
    assert not any(overlap(a, b) for a, b in itertools.combinations(keys, 2))


def test_side_letters_are_left_free() -> None:
    letter = Rectangle(50, 50, 62, 60)
    (key,) = place_keys([Rectangle(50, 60, 150, 160)], frame=FRAME, key=KEY, taken=[letter])
    assert not overlap(key, letter)


def test_box_is_scaled_to_the_drawing() -> None:
    box = {"x_min": 0.1, "y_min": 0.25, "x_max": 0.5, "y_max": 1.0}
    assert scale_box(box, width=300, height=400) == Rectangle(30, 100, 150, 400)
