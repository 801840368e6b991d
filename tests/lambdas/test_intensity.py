import numpy as np
import pytest

from lambdas.shared.errors import UnsupportedImageError
from lambdas.shared.intensity import exposed_field, normalise


def ramp(height: int = 200, width: int = 300) -> np.ndarray:
    return np.tile(np.linspace(0, 1000, width, dtype=np.float32), (height, 1)) + np.linspace(
        0, 500, height, dtype=np.float32
    ).reshape(-1, 1)


def test_percentiles_become_0_and_1() -> None:
    pixels = ramp()
    result = normalise(pixels)
    inside = pixels[6:-6, 9:-9]  # 3 % of each side are left out
    low, high = np.percentile(inside, (0.5, 99.5))
    assert result == pytest.approx(np.clip((pixels - low) / (high - low), 0, 1), abs=1e-5)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.01, -3.0), (-0.0 + 64.0, 1e5)])
def test_any_linear_unit_gives_the_same(gain: float, offset: float) -> None:
    assert normalise(ramp() * gain + offset) == pytest.approx(normalise(ramp()), abs=1e-3)


@pytest.mark.parametrize("value", [-500.0, 0.0, 5000.0])
def test_border_is_found(value: float) -> None:
    framed = np.full((260, 380), value, np.float32)
    framed[40:240, 30:330] = ramp()
    assert exposed_field(framed) == (slice(40, 240), slice(30, 330))


def test_borders_within_borders_are_found() -> None:
    framed = np.full((280, 400), 4095.0, np.float32)
    framed[20:260, 20:380] = 0
    framed[40:240, 50:350] = ramp()
    assert exposed_field(framed) == (slice(40, 240), slice(50, 350))


def test_image_without_border_is_whole() -> None:
    assert exposed_field(ramp()) == (slice(0, 200), slice(0, 300))


def test_side_marker_does_not_make_a_border_exposed() -> None:
    framed = np.zeros((260, 380), np.float32)
    framed[40:240, 30:330] = ramp()
    framed[5:15, 340:343] = 1500  # a letter of lead
    rows, _ = exposed_field(framed)
    assert rows == slice(40, 240)


@pytest.mark.parametrize("value", [0.0, 1.0, 4095.0, -2000.0])
def test_blank_image_is_rejected(value: float) -> None:
    with pytest.raises(UnsupportedImageError, match="one value") as caught:
        normalise(np.full((300, 300), value, np.float32))
    assert caught.value.code == "blank_image"
