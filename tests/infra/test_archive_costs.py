"""The page of costs: what it says follows from measured figures, and it is the one that is kept."""

import dataclasses
import math

import pytest

from infra import prices
from infra.archive_costs import PAGE, SIZES, page
from infra.archive_estimate import Estimate, gpu_usd, spot_usd
from infra.bulk import BATCH_IMAGES, BATCH_SIZE
from infra.measure_batch import Figures, read_figures

FIGURES = Figures(
    date="2026-11-23",
    host="a machine",
    processors=2,
    load_before=0.0,
    models="demo",
    images=100,
    image_cpu_ms=1000.0 * BATCH_SIZE.memory_mb / 1769,  # one second of the function
    image_ms=1200.0,
    cold_ms=0.0,
    step_ms={"read_ms": 25.0, "classify_ms": 25.0, "detect_ms": 25.0, "report_ms": 25.0},
    planning_ms=0.0,
    image_bytes=1e6,
    result_bytes=1e5,
    job_bytes=0.0,
    peak_memory_mb=900.0,
)


def test_page_is_what_the_script_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_figures())


def test_orchestration_is_less_than_a_twentieth_of_the_compute_at_a_million_images() -> None:
    usd = Estimate(SIZES[0], read_figures()).usd()
    assert usd["orchestration"] < 0.05 * usd["compute"]


def test_a_second_an_image_costs_what_lambda_takes_for_it() -> None:
    estimate = Estimate(1_000_000, FIGURES)
    assert estimate.image_s == pytest.approx(1)
    gb_seconds = 1_000_000 * BATCH_SIZE.memory_mb / 1024
    expected = gb_seconds * prices.LAMBDA_GB_SECOND["x86_64"].usd
    assert estimate.usd()["compute"] == pytest.approx(expected, rel=0.001)
    children = math.ceil(1_000_000 / BATCH_IMAGES)
    assert estimate.standard_usd == pytest.approx(children * 3 * 25e-6)
    assert estimate.usd()["results in S3, a month"] == pytest.approx(100 * 0.023)
    assert estimate.hours == pytest.approx(1_000_000 / 100 / 3600, rel=0.1)


def test_more_at_a_time_is_faster_and_costs_the_same() -> None:
    few, many = (Estimate(10_000_000, FIGURES, concurrency=count) for count in (100, 500))
    assert many.hours < few.hours / 4
    assert many.usd()["compute"] == pytest.approx(few.usd()["compute"])


def test_small_batches_cost_more_to_orchestrate() -> None:
    large, small = (Estimate(10**6, FIGURES, batch_images=count) for count in (300, 75))
    assert small.usd()["orchestration"] == pytest.approx(4 * large.usd()["orchestration"], rel=0.05)


def test_a_gpu_is_no_faster_than_its_processors_can_feed_it() -> None:
    """Half the time is the models': four processors read and report the other half."""
    half_s = FIGURES.image_cpu_ms / 1000 / 2
    floor = 10**6 * half_s / prices.GPU_VCPUS / 3600 * prices.GPU_HOUR.usd
    assert gpu_usd(FIGURES, 10**6, faster=1e6) == pytest.approx(floor)
    assert gpu_usd(FIGURES, 10**6, faster=1) > floor


def test_other_ways_are_computed_from_the_same_figures() -> None:
    twice = dataclasses.replace(FIGURES, image_cpu_ms=2 * FIGURES.image_cpu_ms)
    assert spot_usd(twice, 1000) == pytest.approx(2 * spot_usd(FIGURES, 1000))
    assert gpu_usd(twice, 1000) == pytest.approx(2 * gpu_usd(FIGURES, 1000))
