"""Phantoms as pictures: determinism, range, and boxes that match what is drawn."""

import numpy as np
import pytest

from lambdas.shared.boxes import UnitBox
from training.phantoms import vocabulary as v
from training.phantoms.anatomy import (
    ENLARGED_CTR,
    NORMAL_COBB_DEG,
    NORMAL_CTR,
    SCOLIOSIS_COBB_DEG,
    build_anatomy,
)
from training.phantoms.draw import Phantom, draw_study
from training.phantoms.plan import VIEWS, Sign, plan_study, seat_study

SIZE_PX = 256


def draw(label: str | None, *, index: int = 4, severity: float = 0.6, side: str = "") -> Phantom:
    """A phantom with one finding, or none, and nothing lying on it."""
    signs = {label: Sign(severity, side)} if label else {}
    plan = plan_study(seed=5, index=index, view="PA", signs=signs, distractors=())
    return draw_study(plan, size_px=SIZE_PX)


def changed(label: str, *, side: str = "") -> tuple[Phantom, np.ndarray]:
    """A phantom with a finding, and |difference| to the same patient without it, in grey levels."""
    with_it, without = draw(label, side=side), draw(None)
    difference = np.abs(with_it.pixels.astype(int) - without.pixels.astype(int))
    return with_it, difference


def inside(box: UnitBox, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, the pixels in a box."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    pixels = box.in_pixels(width_px=shape[1], height_px=shape[0])
    return (x >= pixels.x_min) & (x < pixels.x_max) & (y >= pixels.y_min) & (y < pixels.y_max)


def test_the_same_plan_gives_the_same_bits() -> None:
    first, second = (draw_study(plan_study(seed=3, index=1), size_px=128) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.findings == second.findings


def test_seed_and_index_each_change_the_picture() -> None:
    base, other_seed, other_index = (
        draw_study(plan_study(seed=s, index=i), size_px=128).pixels
        for s, i in ((0, 0), (1, 0), (0, 1))
    )
    for other in (other_seed, other_index):
        assert base.shape != other.shape or np.mean(base != other) > 0.5


def test_pixels_use_the_whole_16_bit_range() -> None:
    pixels = draw(None).pixels
    assert pixels.dtype == np.uint16
    assert pixels.min() < 1000
    assert pixels.max() > 60000
    # far more levels than 8 bits stretched to 16 could hold
    assert len(np.unique(pixels)) > 5000


@pytest.mark.parametrize("size", [64, 100, 333])
def test_the_long_side_is_the_size_asked_for(size: int) -> None:
    assert max(draw_study(plan_study(seed=0, index=0), size_px=size).pixels.shape) == size


def test_lungs_are_darker_than_mediastinum_and_abdomen() -> None:
    pixels = draw(None).pixels.astype(float)
    rows, columns = pixels.shape
    lung = np.median(
        pixels[int(0.35 * rows) : int(0.5 * rows), int(0.27 * columns) : int(0.33 * columns)]
    )
    spine = np.median(
        pixels[int(0.35 * rows) : int(0.5 * rows), int(0.48 * columns) : int(0.52 * columns)]
    )
    abdomen = np.median(pixels[int(0.92 * rows) :, int(0.45 * columns) : int(0.55 * columns)])
    assert lung < 0.6 * spine
    assert lung < 0.6 * abdomen


@pytest.mark.parametrize("label", list(v.ENTRIES))
def test_every_label_can_be_drawn_with_boxes_inside_the_picture(label: str) -> None:
    for view in VIEWS:
        plan = plan_study(seed=9, index=2, view=view, signs={label: Sign(0.5, "")}, distractors=())
        phantom = draw_study(plan, size_px=192)
        (finding,) = phantom.findings
        assert finding.label == label
        assert len(finding.boxes) in (1, 2)


SMALLEST_CHANGE = 350
"""Grey levels of 65,535: well above what a finding changes elsewhere through scatter and window."""


@pytest.mark.parametrize(
    ("label", "side"),
    [
        (v.AORTIC_ATHEROMATOSIS, ""),
        (v.APICAL_THICKENING, "right"),
        (v.PLEURAL_EFFUSION, "left"),
        (v.ALVEOLAR_PATTERN, "right"),
        (v.COSTOPHRENIC_BLUNTING, "left"),
        (v.INTERSTITIAL_PATTERN, "left"),
        (v.LAMINAR_ATELECTASIS, "right"),
        (v.VERTEBRAL_DEGENERATION, ""),
        (v.HILAR_ENLARGEMENT, "right"),
        (v.NODULE, "left"),
        (v.RIB_CALLUS, "right"),
        (v.PACEMAKER, ""),
    ],
)
def test_a_box_holds_the_change_that_its_finding_makes(label: str, side: str) -> None:
    phantom, difference = changed(label, side=side)
    (finding,) = phantom.findings
    region = np.logical_or.reduce([inside(b, difference.shape) for b in finding.boxes])
    # what scatter and windowing change everywhere is no part of the finding
    signal = np.maximum(difference - np.median(difference[~region]), 0)
    assert signal[region].mean() > 4 * signal[~region].mean()
    assert signal[region].mean() > SMALLEST_CHANGE


@pytest.mark.parametrize("side", ["right", "left"])
def test_sides_are_the_patients(side: str) -> None:
    # image left is the patient's right
    (finding,) = draw(v.PLEURAL_EFFUSION, side=side).findings
    (box,) = finding.boxes
    middle = (box.x_min + box.x_max) / 2
    assert (middle < 0.5) == (side == "right")


@pytest.mark.parametrize("index", range(12))
@pytest.mark.parametrize("severity", [0.0, 1.0])
def test_an_enlarged_heart_fills_more_than_half_of_the_thorax(index: int, severity: float) -> None:
    signs = {v.CARDIOMEGALY: Sign(severity, "")}
    plan = plan_study(seed=7, index=index, view="PA", signs=signs, distractors=())
    anatomy = build_anatomy(plan)
    assert np.ptp(anatomy.heart[:, 0]) / (2 * anatomy.half_width) >= 0.5
    assert ENLARGED_CTR[0] <= anatomy.ctr <= ENLARGED_CTR[1] + 1e-9
    healthy = build_anatomy(plan_study(seed=7, index=index, view="PA", signs={}, distractors=()))
    assert np.ptp(healthy.heart[:, 0]) / (2 * healthy.half_width) < 0.5
    assert NORMAL_CTR[0] <= healthy.ctr <= NORMAL_CTR[1]


def test_the_cardiomegaly_box_is_as_wide_as_its_ratio_says() -> None:
    phantom = draw(v.CARDIOMEGALY)
    (finding,) = phantom.findings
    (box,) = finding.boxes
    anatomy = build_anatomy(phantom.plan)
    across = anatomy.field[1] - anatomy.field[0]
    measured = (box.x_max - box.x_min) * across / (2 * anatomy.half_width)
    # the box is upright on a picture that is tilted by up to a few degrees
    assert measured == pytest.approx(phantom.ctr, abs=0.02)
    assert measured >= 0.5


@pytest.mark.parametrize("index", range(8))
def test_the_cobb_angle_separates_scoliosis_from_health(index: int) -> None:
    def steepness(signs: dict[str, Sign]) -> tuple[float, float]:
        plan = plan_study(seed=2, index=index, signs=signs, distractors=())
        anatomy = build_anatomy(plan)
        y = np.arange(-60.0, 330.0)
        slope = np.gradient(anatomy.spine_at(y) / float(anatomy.beam.scale(-62.0)))
        angles = np.degrees(np.arctan(slope))
        return float(np.ptp(angles)), anatomy.cobb_deg

    measured, stated = steepness({v.SCOLIOSIS: Sign(0.3, "")})
    assert measured == pytest.approx(stated, abs=2)
    assert SCOLIOSIS_COBB_DEG[0] <= stated <= SCOLIOSIS_COBB_DEG[1]
    measured, stated = steepness({})
    assert measured < 10
    assert NORMAL_COBB_DEG[0] <= stated <= NORMAL_COBB_DEG[1]


def test_air_trapping_flattens_the_diaphragm_and_lengthens_the_lungs() -> None:
    plans = [
        plan_study(seed=1, index=3, view="PA", signs=signs)
        for signs in ({}, {v.AIR_TRAPPING: Sign(0.5, "")})
    ]
    healthy, trapped = (build_anatomy(plan) for plan in plans)
    assert trapped.base_y > healthy.base_y + 10
    assert trapped.domes[0].lateral_drop < 0.75 * healthy.domes[0].lateral_drop
    assert trapped.lung_density < healthy.lung_density


def test_the_heart_is_larger_on_a_film_from_the_front() -> None:
    def relative_scale(view: str) -> float:
        return float(build_anatomy(plan_study(seed=1, index=0, view=view)).beam.scale(40.0))

    assert relative_scale("AP_horizontal") > 1 > relative_scale("PA")


def test_severity_and_names_are_checked() -> None:
    with pytest.raises(ValueError, match=r"severity of nodule is 1\.5"):
        plan_study(seed=0, index=0, signs={v.NODULE: Sign(1.5, "left")})
    with pytest.raises(ValueError, match="label 'flu' cannot be drawn"):
        plan_study(seed=0, index=0, signs={"flu": Sign(0.5, "")})
    with pytest.raises(ValueError, match="view is 'LATERAL'"):
        plan_study(seed=0, index=0, view="LATERAL")
    with pytest.raises(ValueError, match="side of nodule is 'up'"):
        plan_study(seed=0, index=0, signs={v.NODULE: Sign(0.5, "up")})
    with pytest.raises(ValueError, match="size_px is 9000"):
        draw_study(plan_study(seed=0, index=0), size_px=9000)


def test_no_patient_sits_in_two_splits() -> None:
    seats = [seat_study(seed=11, index=i) for i in range(600)]
    splits: dict[int, set[str]] = {}
    for seat in seats:
        splits.setdefault(seat.patient, set()).add(seat.split)
    assert all(len(found) == 1 for found in splits.values())
    counts = {s: sum(seat.split == s for seat in seats) for s in ("train", "validation", "test")}
    assert counts == {"train": 420, "validation": 60, "test": 120}
    assert len(splits) < 560  # some patients have several studies
    for index, seat in enumerate(seats):
        if seat.previous is not None:
            assert seat.previous < index
            assert seats[seat.previous].patient == seat.patient
            assert seats[seat.previous].visit == seat.visit - 1


def test_prevalence_is_as_documented() -> None:
    plans = [plan_study(seed=4, index=i) for i in range(1500)]
    normal = sum(not plan.signs for plan in plans) / len(plans)
    assert 0.29 < normal < 0.39
    abnormal = [plan for plan in plans if plan.signs]
    for label in v.PRIMARY:
        assert sum(label in plan.signs for plan in abnormal) / len(abnormal) > 0.2
    for label in v.THIRTEEN:
        assert sum(label in plan.signs for plan in plans) > 40
    none_primary = sum(not set(v.PRIMARY) & set(plan.signs) for plan in abnormal)
    assert 0.15 < none_primary / len(abnormal) < 0.4
