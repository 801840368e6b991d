"""The phantoms' physics and projection: lengths, volumes, magnification, attenuation."""

import numpy as np
import pytest

from training.phantoms.bars import bars_along, draw_bars
from training.phantoms.exposure import Technique, detector_signal, digitise
from training.phantoms.geometry import Beam, Canvas, smooth_noise, stream

CANVAS = Canvas(width_px=120, height_px=100, pixel_mm=0.5, x_min_mm=-30, y_min_mm=-25)


def technique(scatter: float) -> Technique:
    """Plain presentation with this much scatter."""
    return Technique(
        scatter=scatter,
        noise=0.0,
        flatten=0.0,
        detail=1.0,
        gamma=1.0,
        black=0.5,
        white=1.0,
        shutter_mm=(0.0, 0.0, 0.0, 0.0),
        shutter_white=False,
    )


@pytest.mark.parametrize(
    "ends",
    [
        [(-20, 0), (20, 0)],
        [(0, -18), (0, 18)],
        [(-15, -12), (15, 12)],  # oblique: samples fall on no grid
    ],
)
def test_the_path_through_the_middle_of_a_bar_is_its_diameter(ends: list) -> None:
    bar = draw_bars(CANVAS, bars_along(np.array(ends, float), radius=4.0))
    middle = bar[48:52, 58:62]
    assert middle == pytest.approx(np.full((4, 4), 8.0), rel=0.05)


def test_a_hollow_bar_is_brightest_at_its_walls() -> None:
    ends = np.array([(-20.0, 0.0), (20.0, 0.0)])
    bar = draw_bars(CANVAS, bars_along(ends, radius=6.0, wall=1.0))
    profile = bar[:, 60]
    assert profile[49:51].mean() == pytest.approx(2.0, rel=0.05)  # two walls of 1 mm
    # where it leaves the cavity the ray runs along the wall: 2 sqrt(36 - 25) mm
    assert profile[39:41].mean() > 2 * profile[49:51].mean()


def test_volume_is_kept_wherever_a_bar_lies() -> None:
    ends = np.array([(-13.3, -9.1), (11.7, 8.2)])
    bar = draw_bars(CANVAS, bars_along(ends, radius=2.5))
    volume = bar.sum() * CANVAS.pixel_mm**2
    assert volume == pytest.approx(np.pi * 2.5**2 * np.hypot(25.0, 17.3), rel=1e-3)


def test_what_lies_outside_the_canvas_is_lost_without_a_trace() -> None:
    outside = np.array([(100.0, 0.0), (200.0, 0.0)])
    assert not draw_bars(CANVAS, bars_along(outside, radius=3.0)).any()


def test_a_patch_holds_the_pixels_whose_centres_lie_inside() -> None:
    patch = CANVAS.patch(-1.0, 1.0, 0.0, 2.0)
    np.testing.assert_allclose(patch.x[0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(patch.y[:, 0], [0.25, 0.75, 1.25, 1.75])


def test_magnification_is_that_of_a_point_source() -> None:
    beam = Beam(source_mm=1800, depth_mm=120, detector_in_front=True, yaw=0, lordosis=0)
    assert beam.magnification == pytest.approx(1800 / 1680)
    # 40 mm nearer to the detector: SID / (SID - 80), over that of the mid-plane
    assert beam.scale(40.0) == pytest.approx((1800 / 1720) / (1800 / 1680))
    assert float(beam.project_x(100.0, 0.0)) == pytest.approx(100.0)


def test_rotation_moves_front_and_back_apart() -> None:
    beam = Beam(source_mm=1e9, depth_mm=120, detector_in_front=True, yaw=0.1, lordosis=0)
    assert float(beam.project_x(0.0, 50.0)) == pytest.approx(50 * np.sin(0.1), abs=1e-3)
    assert float(beam.project_x(0.0, -50.0)) == pytest.approx(-50 * np.sin(0.1), abs=1e-3)


def test_attenuation_without_scatter_is_beer_lambert() -> None:
    thickness = np.full((80, 80), 100.0, np.float32)
    np.testing.assert_allclose(detector_signal(thickness, technique(0.0)), 1.75, rtol=1e-4)


def test_scatter_lowers_the_signal_most_behind_thick_parts() -> None:
    thickness = np.full((96, 96), 60.0, np.float32)
    thickness[32:64, 32:64] = 220.0
    loss = detector_signal(thickness, technique(0.0)) - detector_signal(thickness, technique(0.8))
    assert loss.min() > 0
    assert loss[48, 48] > 3 * loss[5, 5]


def test_grey_values_are_clipped_and_rounded() -> None:
    level = np.array([[-0.5, 0.0, 0.5, 1.0, 1.5]], np.float32)
    np.testing.assert_array_equal(digitise(level), [[0, 0, 32768, 65535, 65535]])


def test_streams_differ_by_purpose_and_repeat() -> None:
    first, again = (stream(3, 7, "heart").random() for _ in range(2))
    others = [
        stream(3, 7, "spine").random(),
        stream(3, 8, "heart").random(),
        stream(4, 7, "heart").random(),
    ]
    assert first == again
    assert first not in others


def test_noise_has_about_the_variance_of_its_grains() -> None:
    wide = Canvas(width_px=400, height_px=400, pixel_mm=0.5, x_min_mm=0, y_min_mm=0)
    assert 0.6 < smooth_noise(stream(0, "grain"), wide, 4).std() < 1.1
