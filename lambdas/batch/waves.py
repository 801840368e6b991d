"""The planner of an archive job: reads what a wave did, meters it, plans the next within budget.

A wave begins only if the worst its batches can cost fits what is left of the budget. A batch that
left no word is charged at its worst and its images go round again in smaller batches, so that one
image that kills its process is in the end alone with the blame.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from lambdas.batch.batching import batches, split
from lambdas.batch.budget import metered_usd, planning_usd, worst_batch_usd, worst_planning_usd
from lambdas.batch.job import (
    BatchOutcome,
    BatchRequest,
    Failure,
    Job,
    Status,
    outcome_key,
    state_key,
    stop_key,
    to_document,
    wave_key,
)
from lambdas.batch.state import Cursor, State, add
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import image_id_of

SPLIT_INTO: Final = 8
"""Parts that a batch which died comes back in."""

DIED: Final = "BatchDied"

Listing = Callable[[Cursor], Iterator[tuple[ImageRef, Cursor]]]
"""Images after a cursor, each with the cursor that comes after it; `{}` is the beginning."""


class JobStore(Protocol):
    """The job's files in the results bucket."""

    def read_json(self, key: str) -> Any | None:
        """A document, None if there is none."""

    def read_many(self, keys: Sequence[str]) -> list[Any | None]:
        """Documents in the order of their keys, read side by side."""

    def write_json(self, key: str, document: Any) -> None:
        """Write or replace a document."""

    def exists(self, key: str) -> bool:
        """Whether there is such a document."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What the state machine is told: a wave to run, or that the job has ended."""

    status: Status
    wave: int
    batches: int


def plan_next(
    job: Job,
    *,
    ran: int,
    store: JobStore,
    jobs_bucket: str,
    listing: Listing,
    now: str,
    spent_ms: Callable[[], float],
    attempt: int = 1,
) -> Planned:
    """Count the wave that ran, plan the next; asked twice the same, it answers the same.

    Args:
        job: The order.
        ran: The last wave that was run; 0 at the start.
        store: The job's files.
        jobs_bucket: For the batches.
        listing: The source.
        now: ISO 8601 with offset.
        spent_ms: What this planning has taken so far.
        attempt: From 1; earlier ones left no word of what they were billed.
    """
    document = store.read_json(state_key(job.name))
    state = State.from_document(document) if document else State()
    if state.status != "running" or state.planned > ran:
        return Planned(state.status, state.planned, len(state.batches))
    counted = len(state.batches)
    state = fold(job, state, store=store)
    if state.status == "running" and store.exists(stop_key(job.name)):
        state = replace(state, status="stopped", problem="stopped on request")
    groups: list[tuple[ImageRef, ...]] = []
    if state.status == "running":
        state, groups = choose(job, state, listing=listing)
    if groups:
        wave = state.planned + 1
        store.write_json(
            wave_key(job.name, wave),
            [
                to_document(_request(job, jobs_bucket, wave, number, images))
                for number, images in enumerate(groups)
            ],
        )
        state = replace(state, planned=wave, batches=tuple(map(len, groups)))
    planner_ms = int(spent_ms()) + 1
    state = replace(
        state,
        updated_at=now,
        planner_ms=state.planner_ms + planner_ms,
        spent_usd=state.spent_usd
        + planning_usd(job, planner_ms, attempt=attempt, batches=max(counted, len(groups))),
    )
    store.write_json(state_key(job.name), to_document(state))
    return Planned(state.status, state.planned, len(groups))


def fold(job: Job, state: State, *, store: JobStore) -> State:
    """Count the last wave's outcomes; what died is written down as died."""
    if state.folded == state.planned:
        return state
    keys = [outcome_key(job.name, state.planned, n) for n in range(len(state.batches))]
    outcomes = [
        BatchOutcome.from_document(document) if document else None
        for document in store.read_many(keys)
    ]
    requests: list[Any] = []
    if None in outcomes:
        requests = store.read_json(wave_key(job.name, state.planned)) or []
    again: list[tuple[ImageRef, ...]] = []
    left: list[ImageRef] = []
    tally, spent, billed, failed = state.tally, state.spent_usd, state.billed_ms, 0
    for number, (images, told) in enumerate(zip(state.batches, outcomes, strict=True)):
        outcome = told or _died(job, BatchRequest.from_document(requests[number]))
        if outcome.died:
            again += split(outcome.left, max(1, images // SPLIT_INTO))
        else:
            left += outcome.left
        if told is None:
            store.write_json(keys[number], to_document(outcome))
        spent += metered_usd(job, None if outcome.died else outcome, images)
        billed += outcome.billed_ms
        failed += len(outcome.failures)
        tally = add(tally, outcome)
    state = replace(
        state,
        folded=state.planned,
        again=(*state.again, *again, *split(left, job.batch_images)),
        tally=tally,
        spent_usd=spent,
        billed_ms=billed,
    )
    total = sum(state.batches)
    if failed > job.tolerated_failure * total and total >= job.batch_images:
        return replace(
            state,
            status="failed",
            problem=f"{failed} of {total} images of wave {state.planned} failed, more than the "
            f"{job.tolerated_failure:.0%} tolerated; find the cause, then resume",
        )
    return state


def choose(job: Job, state: State, *, listing: Listing) -> tuple[State, list[tuple[ImageRef, ...]]]:
    """The batches of the next wave, as many as the budget carries at their worst."""
    budget = _Budget(job, state.spent_usd)
    groups: list[tuple[ImageRef, ...]] = []
    waiting = list(state.again)
    while waiting and len(groups) < job.wave_batches and budget.take(len(waiting[0])):
        groups.append(waiting.pop(0))
    refused = bool(waiting) and len(groups) < job.wave_batches
    cursor, exhausted, listed = state.cursor, state.exhausted, 0
    images = iter(()) if exhausted or refused else listing(cursor)
    new = batches(images, job.batch_images, image_of=lambda entry: entry[0])
    while not exhausted and not refused and len(groups) < job.wave_batches:
        # what is listed and then refused is listed again from the old cursor
        batch = next(new, None)
        if batch is None:
            exhausted = True
        elif budget.take(len(batch)):
            groups.append(tuple(image for image, _ in batch))
            cursor, listed = batch[-1][1], listed + len(batch)
        else:
            refused = True
    state = replace(
        state,
        again=tuple(waiting),
        cursor=cursor,
        exhausted=exhausted,
        tally=replace(state.tally, listed=state.tally.listed + listed),
    )
    if groups:
        return state, groups
    if refused:
        return (
            replace(
                state,
                status="budget",
                problem=f"the next batch could cost {worst_batch_usd(job, job.batch_images):.4f} "
                f"USD at worst, which does not fit what is left of {job.max_cost_usd} USD",
            ),
            [],
        )
    return replace(state, status="done"), []


class _Budget:
    """Takes batches at their worst until the rest of the money cannot carry one more.

    Two plannings are set aside: the present one, and the one that counts the wave.
    """

    def __init__(self, job: Job, spent_usd: float) -> None:
        self._job = job
        self._left = (
            None
            if job.max_cost_usd is None
            else job.max_cost_usd - spent_usd - 2 * worst_planning_usd(job, job.wave_batches)
        )

    def take(self, images: int) -> bool:
        """Set a batch's worst aside; False if it does not fit."""
        if self._left is None:
            return True
        worst = worst_batch_usd(self._job, images)
        if worst > self._left:
            return False
        self._left -= worst
        return True


def _request(
    job: Job, jobs_bucket: str, wave: int, number: int, images: tuple[ImageRef, ...]
) -> BatchRequest:
    return BatchRequest(
        job=job.name,
        jobs_bucket=jobs_bucket,
        wave=wave,
        number=number,
        images=images,
        model_set=job.model_set,
        detect_all=job.detect_all,
        formats=job.formats,
        events=job.events,
    )


def _died(job: Job, request: BatchRequest) -> BatchOutcome:
    """The outcome of a batch whose function never answered."""
    alone = len(request.images) == 1
    failures = tuple(
        Failure(
            image,
            image_id_of(image.bucket, image.key, image.version),
            DIED,
            f"the function died or ran out of time {job.batch.attempts} times on this image alone",
        )
        for image in request.images
        if alone
    )
    return BatchOutcome(
        wave=request.wave,
        number=request.number,
        attempt=job.batch.attempts,
        died=True,
        failures=failures,
        left=() if alone else request.images,
    )
