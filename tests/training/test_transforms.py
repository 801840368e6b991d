"""training/transforms.py: boxes go where the pixels go, and left stays left."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.transforms import Draws, Ranges, augment_boxes, augment_images, draw  # noqa: E402

SIZE = 128


def _draws(**given):
    values = {
        "angle": 0.0,
        "scale": 1.0,
        "shift_x": 0.0,
        "shift_y": 0.0,
        "gamma": 1.0,
        "contrast": 1.0,
        "brightness": 0.0,
        "noise": 0.0,
    } | given
    return Draws(**{k: np.asarray([v]) for k, v in values.items()}, noise_seed=0)


def _ellipse(box):
    """(1, 1, S, S): 1 inside the ellipse that fills a box given as fractions."""
    grid = (np.arange(SIZE) + 0.5) / SIZE
    x_min, y_min, x_max, y_max = box
    x = (grid - (x_min + x_max) / 2) / ((x_max - x_min) / 2)
    y = (grid - (y_min + y_max) / 2) / ((y_max - y_min) / 2)
    inside = x[None] ** 2 + y[:, None] ** 2 <= 1
    return torch.from_numpy(inside.astype(np.float32))[None, None]


def _extent(image):
    rows, columns = np.nonzero(image[0, 0].numpy() > 0.5)
    return np.asarray([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SIZE


@pytest.mark.parametrize(
    "change",
    [
        {"shift_x": 0.1},
        {"shift_y": -0.07},
        {"scale": 1.2},
        {"scale": 0.8},
        {"angle": np.deg2rad(12)},
        {"angle": np.deg2rad(-9), "scale": 1.1, "shift_x": -0.05, "shift_y": 0.04},
    ],
    ids=str,
)
def test_a_box_still_encloses_its_finding(change):
    box = np.asarray([[0.55, 0.2, 0.75, 0.6]])  # tall and off centre, as a spine or an aorta
    draws = _draws(**change)
    moved = augment_boxes(box, draws, index=0)[0]
    assert moved == pytest.approx(_extent(augment_images(_ellipse(box[0]), draws)), abs=1.5 / SIZE)


def test_clockwise_means_clockwise():
    # a mark at the top goes to the right
    image = _ellipse((0.45, 0.1, 0.55, 0.2))
    x_min, y_min, x_max, y_max = _extent(augment_images(image, _draws(angle=np.pi / 2)))
    assert (x_min + x_max) / 2 == pytest.approx(0.85, abs=0.01)
    assert (y_min + y_max) / 2 == pytest.approx(0.5, abs=0.01)


def test_a_box_that_leaves_the_canvas_is_empty():
    moved = augment_boxes(np.asarray([[0.9, 0.4, 1.0, 0.5]]), _draws(shift_x=0.2), index=0)[0]
    assert moved[0] == moved[2] == 1.0


def test_no_draw_mirrors_the_image():
    # grey values as they are: the centre of mass is the mark's alone
    still = Ranges(gamma=0.0, contrast=0.0, brightness=0.0, noise=0.0)
    draws = draw(500, generator=np.random.default_rng(0), ranges=still)
    image = _ellipse((0.6, 0.45, 0.7, 0.55)).expand(500, -1, -1, -1)
    columns = torch.arange(SIZE, dtype=torch.float32)
    moved = augment_images(image, draws)
    centre = (moved.sum(dim=2)[:, 0] * columns).sum(dim=1) / moved.sum(dim=(1, 2, 3))
    assert bool((centre > SIZE / 2).all())


def test_draws_stay_within_their_ranges_and_follow_from_the_generator():
    ranges = Ranges(rotation_degrees=3.0, shift=0.02, scale=0.1, noise=0.01)
    draws = draw(1000, generator=np.random.default_rng(1), ranges=ranges)
    assert np.rad2deg(np.abs(draws.angle)).max() <= 3.0
    assert np.rad2deg(np.abs(draws.angle)).max() > 2.9
    assert np.abs(draws.shift_x).max() <= 0.02
    assert np.abs(np.log(draws.scale)).max() <= 0.1
    assert 0.0 <= draws.noise.min() <= draws.noise.max() <= 0.01
    again = draw(1000, generator=np.random.default_rng(1), ranges=ranges)
    assert np.array_equal(draws.angle, again.angle)
    assert draws.noise_seed == again.noise_seed


def test_exposure_changes_values_as_said_and_leaves_padding_black():
    image = torch.full((1, 1, 32, 32), 0.25)
    changed = augment_images(image, _draws(gamma=0.5, contrast=0.5, brightness=0.1))
    # 0.25 ** 0.5 = 0.5, contrast about 0.5 keeps it, plus 0.1
    assert changed[0, 0, 16, 16].item() == pytest.approx(0.6, abs=1e-6)
    shifted = augment_images(image, _draws(shift_x=0.5, brightness=0.2))
    assert shifted[0, 0, 16, 4].item() == 0.0
    assert shifted[0, 0, 16, 24].item() == pytest.approx(0.45, abs=1e-6)


def test_noise_is_the_same_on_every_call_and_as_strong_as_said():
    image = torch.full((1, 1, 256, 256), 0.5)
    first, second = (augment_images(image, _draws(noise=0.02)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.std().item() == pytest.approx(0.02, rel=0.05)
