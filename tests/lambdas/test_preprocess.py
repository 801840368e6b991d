import numpy as np
import pytest

from lambdas.shared.boxes import PixelBox, UnitBox, intersection_over_union
from lambdas.shared.errors import ContractError
from lambdas.shared.preprocess import InputSpec, fit, place, resize, to_input


def spec(resize_rule: str = "letterbox", **changes: object) -> InputSpec:
    values = {
        "height_px": 80,
        "width_px": 100,
        "channels": 1,
        "resize": resize_rule,
        "mean": (0.0,),
        "std": (1.0,),
    } | changes
    return InputSpec(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (160, 200, (0, 0, 100, 80)),  # same aspect
        (160, 100, (25, 0, 50, 80)),  # tall
        (100, 400, (0, 27, 100, 25)),  # wide; odd remainders go below
        (40, 50, (0, 0, 100, 80)),  # small images are enlarged
        (8000, 2, (49, 0, 1, 80)),  # never thinner than a pixel
    ],
)
def test_letterbox_keeps_the_aspect(height: int, width: int, expected: tuple[int, ...]) -> None:
    placement = place(height_px=height, width_px=width, spec=spec())
    assert (placement.left, placement.top, placement.width, placement.height) == expected


def test_letterbox_pads_with_black() -> None:
    canvas, _ = fit(np.ones((160, 100), np.float32), spec())
    assert (canvas[:, :25] == 0).all()
    assert (canvas[:, 25:75] == 1).all()
    assert (canvas[:, 75:] == 0).all()


@pytest.mark.parametrize("rule", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(160, 100), (90, 700), (80, 100)])
def test_boxes_go_to_the_input_and_back(rule: str, size: tuple[int, int]) -> None:
    placement = place(height_px=size[0], width_px=size[1], spec=spec(rule))
    box = UnitBox(0.1, 0.2, 0.55, 0.9)
    back = placement.unit_box(np.asarray(placement.input_edges(box)))
    assert back is not None
    assert intersection_over_union(back, box) == pytest.approx(1.0)


def test_box_is_cut_at_the_image_and_dropped_beside_it() -> None:
    placement = place(height_px=160, width_px=100, spec=spec())
    cut = placement.unit_box(np.asarray([0.0, 0.0, 50.0, 40.0]))
    assert cut == UnitBox(0.0, 0.0, 0.5, 0.5)
    assert placement.unit_box(np.asarray([0.0, 0.0, 20.0, 40.0])) is None


def test_channels_mean_and_deviation() -> None:
    canvas = np.full((80, 100), 0.5, np.float32)
    batch = to_input(canvas, spec(channels=3, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4)))
    assert batch.shape == (1, 3, 80, 100)
    assert batch.dtype == np.float32
    assert batch[0, :, 0, 0] == pytest.approx([2.0, 1.0, 0.5])


def test_reduction_averages_instead_of_skipping() -> None:
    stripes = np.tile(np.asarray([0.0, 1.0], np.float32), (64, 32))
    assert resize(stripes, height_px=16, width_px=16)[:, 2:-2] == pytest.approx(0.5, abs=0.02)


def test_unknown_rule_is_our_fault() -> None:
    with pytest.raises(ContractError, match="crop"):
        place(height_px=10, width_px=10, spec=spec("crop"))


@pytest.mark.parametrize(
    "edges", [(0.5, 0.1, 0.4, 0.2), (0.1, 0.1, 0.1, 0.2), (float("nan"), 0.1, 0.2, 0.2)]
)
def test_empty_or_inside_out_box_is_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="empty"):
        UnitBox(*edges)
    with pytest.raises(ValueError, match="empty"):
        PixelBox(*edges)


def test_box_outside_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="unit square"):
        UnitBox(0.1, 0.1, 1.2, 0.5)


def test_overlap_of_boxes() -> None:
    left = PixelBox(0, 0, 2, 2)
    assert intersection_over_union(left, PixelBox(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert intersection_over_union(left, PixelBox(2, 0, 4, 2)) == 0.0
