import json
import random
from dataclasses import replace

import pytest

from lambdas.batch.budget import worst_batch_usd, worst_planning_usd
from lambdas.batch.job import BatchOutcome, state_key, stop_key, to_document
from lambdas.batch.state import State, reopen
from lambdas.batch.waves import SPLIT_INTO
from tests.lambdas.batch.job_builders import World, archive_job, image


def world(**changes: object) -> World:
    values = {"job": archive_job(), "images": 500, "random": random.Random(1)} | changes
    return World(**values)  # type: ignore[arg-type]


def state_of(run: World) -> State:
    return State.from_document(run.store.documents[state_key(run.job.name)])


def test_every_image_is_analysed_once_where_nothing_goes_wrong() -> None:
    run = world()
    assert run.run().status == "done"
    assert run.ended == {image(number).key: 1 for number in range(500)}
    tally = state_of(run).tally
    assert (tally.listed, tally.analysed, tally.failed) == (500, 500, 0)


def test_images_that_time_did_not_allow_go_round_again() -> None:
    run = world(random=random.Random(4))
    planned = run.run()
    assert planned.wave > 500 // (20 * 6) + 1, "some batches must have left images over"
    assert len(run.ended) == 500


def test_image_that_kills_its_process_is_alone_with_the_blame() -> None:
    poison = frozenset({image(7).key, image(333).key})
    run = world(poison=poison)
    assert run.run().status == "done"
    assert set(run.ended) == {image(number).key for number in range(500)} - poison
    outcomes = [
        BatchOutcome.from_document(document)
        for key, document in run.store.documents.items()
        if "/outcomes/" in key
    ]
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    assert {failure.image.key for failure in failures} == poison
    assert {failure.reason for failure in failures} == {"BatchDied"}
    assert state_of(run).tally.failed == 2


@pytest.mark.parametrize("seed", range(60))
def test_metered_spend_never_exceeds_the_budget_nor_hides_true_spend(seed: int) -> None:
    chance = random.Random(seed)
    job = archive_job()
    least = 3 * worst_planning_usd(job, job.wave_batches) + worst_batch_usd(job, job.batch_images)
    job = replace(job, max_cost_usd=least * chance.uniform(1, 12), events=chance.random() < 0.5)
    run = World(
        job,
        images=chance.choice((0, 15, 400, 2000)),
        random=chance,
        dying=chance.choice((0, 0.02, 0.5)),
        retried=chance.choice((0, 0.3)),
        failing=chance.choice((0, 0.05)),
        slow=chance.choice((0, 0.5, 1)),
    )
    status = run.run().status
    state = state_of(run)
    assert status in ("done", "budget", "failed")
    assert state.spent_usd <= job.max_cost_usd
    assert run.true_usd <= state.spent_usd + 1e-9
    if status == "done":
        assert set(run.ended) | run.failed >= {image(n).key for n in range(run.images)} - {
            failure.image.key
            for document in run.store.documents.values()
            if isinstance(document, dict) and document.get("died")
            for failure in BatchOutcome.from_document(document).failures
        }


def test_job_stops_at_its_budget_and_goes_on_with_a_larger_one() -> None:
    job = archive_job()
    enough = 3 * worst_planning_usd(job, 6) + 4 * worst_batch_usd(job, 20)
    run = world(job=replace(job, max_cost_usd=enough), slow=1.0)
    ended = run.run()
    assert ended.status == "budget"
    state = state_of(run)
    assert "does not fit" in (state.problem or "")
    assert 0 < len(run.ended) < 500

    run.job = replace(job, max_cost_usd=None)
    run.store.write_json(state_key(job.name), to_document(reopen(run.job, state, [])))
    planned = run.plan(state.planned)
    while planned.status == "running":
        run.run_wave(planned.wave)
        planned = run.plan(planned.wave)
    assert planned.status == "done"
    assert run.ended == {image(number).key: 1 for number in range(500)}


def test_planner_asked_twice_answers_the_same_and_charges_once() -> None:
    run = world()
    first = run.plan(0)
    spent = state_of(run).spent_usd
    assert run.plan(0) == first
    assert state_of(run).spent_usd == spent


def test_planner_killed_between_outcomes_and_state_counts_dead_batches_once() -> None:
    run, again = world(), world()
    for each in (run, again):
        each.plan(0)
        each.run_wave(1, only=3)
    before = json.dumps(again.store.documents[state_key("night")])
    run.plan(1)
    again.plan(1)
    again.store.documents[state_key("night")] = json.loads(before)  # as if never written
    again.random = run.random = random.Random(9)
    again.plan(1)
    mine, theirs = state_of(again), state_of(run)
    assert (mine.again, mine.tally) == (theirs.again, theirs.tally)
    assert {len(group) for group in mine.again} <= {20 // SPLIT_INTO, 20}


def test_stop_is_heeded_before_the_next_wave() -> None:
    run = world()
    planned = run.plan(0)
    run.run_wave(planned.wave)
    run.store.write_json(stop_key("night"), {})
    assert run.plan(planned.wave).status == "stopped"
    assert state_of(run).tally.analysed > 0


def test_job_ends_when_too_many_images_fail() -> None:
    run = world(failing=0.9)
    assert run.run().status == "failed"
    assert "tolerated" in (state_of(run).problem or "")


def test_failed_images_run_again_on_resume() -> None:
    run = world(failing=0.2)
    run.run()
    state = state_of(run)
    failed = [image(number) for number in range(500) if image(number).key not in run.ended]
    assert len(failed) == state.tally.failed > 0
    run.failing = 0.0
    run.store.write_json(state_key("night"), to_document(reopen(run.job, state, failed)))
    planned = run.plan(state.planned)
    while planned.status == "running":
        run.run_wave(planned.wave)
        planned = run.plan(planned.wave)
    assert run.ended == {image(number).key: 1 for number in range(500)}
    assert state_of(run).tally.failed == 0
