"""Time and cost before anything runs."""

from dataclasses import replace
from typing import Any

import pytest

from cxr.archive.estimate import (
    Workplace,
    check_budget,
    estimate,
    least_budget_usd,
    measured_figures,
    workplace,
)
from cxr.archive.survey import Survey
from infra.measure_batch import Figures
from lambdas.batch.budget import metered_usd
from lambdas.batch.job import BatchOutcome
from lambdas.shared.errors import ContractError, InvalidRequestError
from tests.lambdas.batch.job_builders import archive_job

PLACE = Workplace("aws", 4, 2.0)


def figures(**changes: Any) -> Figures:
    return replace(measured_figures(), **{"image_cpu_ms": 600.0, "cold_ms": 0.0} | changes)


def survey(images: int = 1000, done: int = 0) -> Survey:
    return Survey(images=images, size_bytes=0, unsized=0, done=done, unknown=0)


def test_compute_is_what_batches_of_that_speed_are_metered_at() -> None:
    job = archive_job()
    expected = estimate(job, survey(), PLACE, figures())
    batch = BatchOutcome(1, 0, analysed=20, billed_ms=20 * 300)
    planning = expected.usd - 50 * metered_usd(job, batch, 20)
    assert 0 < planning < 0.2 * expected.usd
    assert expected.batches == 50
    assert expected.waves == 9
    assert expected.image_ms == 300


def test_the_worst_is_worse_than_what_is_expected() -> None:
    expected = estimate(archive_job(), survey(), PLACE, figures())
    assert expected.worst_usd > expected.usd * 10


def test_what_is_done_costs_its_look_up_alone() -> None:
    some = estimate(archive_job(), survey(done=900), PLACE, figures())
    none = estimate(archive_job(), survey(), PLACE, figures())
    assert some.parts["compute"] < 0.2 * none.parts["compute"]
    assert some.parts["requests to S3"] == none.parts["requests to S3"]


def test_more_at_a_time_is_faster_and_costs_the_same() -> None:
    job = archive_job(wave_batches=100)
    few = estimate(job, survey(), PLACE, figures())
    many = estimate(job, survey(), replace(PLACE, at_a_time=40), figures())
    assert many.seconds < few.seconds / 3
    assert many.usd == pytest.approx(few.usd)


def test_events_are_a_part_only_where_they_are_told() -> None:
    assert "events" not in estimate(archive_job(), survey(), PLACE, figures()).parts
    told = estimate(archive_job(events=True), survey(), PLACE, figures())
    assert told.parts["events"] == pytest.approx(1000 * 1e-6)


def test_an_empty_source_takes_nothing() -> None:
    expected = estimate(archive_job(), survey(images=0), PLACE, figures())
    assert (expected.batches, expected.seconds) == (0, 0.0)


def test_a_function_has_the_processors_that_its_memory_gives() -> None:
    assert workplace(archive_job(), concurrency=100).processors == pytest.approx(1.7, abs=0.01)


def test_a_budget_that_carries_no_batch_is_refused_with_one_that_does() -> None:
    job = archive_job()
    least = least_budget_usd(job, images=1000)
    check_budget(replace(job, max_cost_usd=least), images=1000)
    check_budget(job, images=1000)  # no limit
    with pytest.raises(InvalidRequestError, match=f"allow {least:.2f}"[:-1]):
        check_budget(replace(job, max_cost_usd=least / 2), images=1000)


def test_missing_figures_say_how_to_measure_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> Figures:
        raise FileNotFoundError

    monkeypatch.setattr("infra.measure_batch.read_figures", unreadable)
    with pytest.raises(ContractError, match=r"infra\.measure_batch --write"):
        measured_figures()
