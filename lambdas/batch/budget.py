"""What a job costs: the worst a batch may, and what it has.

A ceiling on cost metered at the job's dated price table, not on the AWS bill: storage, key
requests, logs and data transfer are not metered. Whatever is not known is charged at its worst.
"""

from typing import Final

from lambdas.batch.job import BatchOutcome, FunctionSize, Job

INIT_SECONDS: Final = 10
"""A cold start is billed too; Lambda ends an initialisation that takes longer ("Lambda execution
environment", developer guide)."""

TRANSITIONS_PER_BATCH: Final = 3
"""Start of the child, its one task, its end."""

THROTTLED_RETRIES: Final = 8
"""Most times a batch or planning that Lambda throttled is sent again: a transition each, and no
invocation."""

TRANSITIONS_PER_WAVE: Final = 8
"""Plan, choice and map run, with room for a retry of each."""

READS_PER_IMAGE: Final = 3
"""HEAD of the record, GET of the image, once more for a retry of the client."""


def attempt_usd(size: FunctionSize, job: Job) -> float:
    """The most one invocation may cost."""
    seconds = size.timeout_seconds + INIT_SECONDS
    return compute_usd(seconds * 1000, size, job) + job.prices.invocation


def compute_usd(billed_ms: float, size: FunctionSize, job: Job) -> float:
    """Cost of a billed duration."""
    return billed_ms / 1000 * size.memory_mb / 1024 * job.prices.gb_second


def worst_batch_usd(job: Job, images: int) -> float:
    """The most a batch may cost: every attempt runs into its time limit and does all its work."""
    return job.batch.attempts * (
        attempt_usd(job.batch, job)
        + images * requests_usd(job)
        + job.prices.s3_put  # its outcome
        + TRANSITIONS_PER_BATCH * job.prices.transition
    ) + _throttled_usd(job, THROTTLED_RETRIES)


def worst_planning_usd(job: Job, batches: int) -> float:
    """The most it may cost to read `batches` outcomes and plan the next wave."""
    return job.planner.attempts * (
        attempt_usd(job.planner, job) + _planning_requests_usd(job, batches)
    ) + _throttled_usd(job, THROTTLED_RETRIES)


def planning_usd(job: Job, billed_ms: int, *, attempt: int, batches: int) -> float:
    """What a planning has cost, never less than the truth; earlier attempts at their worst."""
    ran = min(attempt, job.planner.attempts)
    one = job.prices.invocation + _planning_requests_usd(job, batches)
    earlier = (ran - 1) * (attempt_usd(job.planner, job) + _planning_requests_usd(job, batches))
    throttled = _throttled_usd(job, attempt - ran)
    return earlier + throttled + compute_usd(billed_ms, job.planner, job) + one


def _throttled_usd(job: Job, retries: int) -> float:
    """Of attempts at which no function ran."""
    return retries * job.prices.transition


def _planning_requests_usd(job: Job, batches: int) -> float:
    listing = job.wave_batches * job.batch_images / 500  # LIST, 1,000 keys each, each perhaps twice
    return (
        TRANSITIONS_PER_WAVE * job.prices.transition
        + 2 * batches * job.prices.s3_get
        + (batches + 10 + listing) * job.prices.s3_put  # outcomes of batches that died
    )


def requests_usd(job: Job) -> float:
    """The most the requests for one image may cost, in one attempt."""
    return (
        READS_PER_IMAGE * job.prices.s3_get
        + 2 * job.files_per_image * job.prices.s3_put  # each perhaps sent twice by the client
        + (job.prices.event if job.events else 0.0)
    )


def metered_usd(job: Job, outcome: BatchOutcome | None, images: int) -> float:
    """What a batch has cost, never less than the truth.

    Args:
        job: With its prices.
        outcome: None if the batch left no word: it is charged at its worst.
        images: In the batch.
    """
    if outcome is None:
        return worst_batch_usd(job, images)
    # attempts that Lambda throttled are counted by the state machine, and no function is billed
    attempt = min(outcome.attempt, job.batch.attempts)
    earlier = (attempt - 1) * (
        attempt_usd(job.batch, job) + images * requests_usd(job) + job.prices.s3_put
    )
    return (
        earlier
        + compute_usd(outcome.billed_ms, job.batch, job)
        + job.prices.invocation
        + images * requests_usd(job)
        + job.prices.s3_put
        + TRANSITIONS_PER_BATCH * job.prices.transition * attempt
        + _throttled_usd(job, outcome.attempt - attempt)
    )
