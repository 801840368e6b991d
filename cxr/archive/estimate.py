"""What a job will take and cost: from measured figures, metered as the job will be metered.

Expected: every batch goes through at its first attempt, at the measured processor time of an image.
Worst: every batch runs into its time limit at every attempt, which is what a ceiling must carry.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cxr.archive.survey import Survey
from lambdas.batch.budget import (
    TRANSITIONS_PER_BATCH,
    compute_usd,
    metered_usd,
    planning_usd,
    requests_usd,
    worst_batch_usd,
    worst_planning_usd,
)
from lambdas.batch.job import BatchOutcome, Job
from lambdas.shared.errors import ContractError, InvalidRequestError

if TYPE_CHECKING:
    from infra.measure_batch import Figures

PLANNINGS_AT_START: Final = 3
"""The first, the one that counts its wave, and one in hand for a resumption."""

LOOK_UP_MS: Final = 25
"""Of an image that is done already: one HEAD, six at a time."""

FULL_PROCESSOR_MB: Final = 1769
"""Memory at which a function has one processor (Lambda developer guide, "Configure memory")."""

WAVE_SECONDS: Final = 15.0
"""Between two waves: the planning, and what is left of the wave's last batches."""

_UNREADABLE: Final = (
    "the measured figures of the batch function cannot be read; "
    "`.venv/bin/python -m infra.measure_batch --write` measures them"
)


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where batches run.

    Attributes:
        name: `aws` or `local`.
        at_a_time: Most batches at the same time.
        processors: That one batch has for itself, a share of the machine's where they share.
    """

    name: str
    at_a_time: int
    processors: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What to expect.

    Attributes:
        batches: Of the source.
        waves: Of batches.
        seconds: From start to end.
        parts: US dollars by part.
        worst_usd: The most it may come to.
        image_ms: Billed for one image, as assumed.
        measured: When and on what the figures were measured.
    """

    batches: int
    waves: int
    seconds: float
    parts: Mapping[str, float]
    worst_usd: float
    image_ms: float
    measured: str

    @property
    def usd(self) -> float:
        """All parts."""
        return sum(self.parts.values())


def measured_figures() -> "Figures":
    """The figures that were kept in the repository.

    Raises:
        ContractError: There are none, or those of another version.
    """
    from infra.measure_batch import read_figures

    try:
        return read_figures()
    except (OSError, ValueError, TypeError) as error:
        raise ContractError(_UNREADABLE) from error


def workplace(job: Job, *, concurrency: int) -> Workplace:
    """AWS, so many children at a time."""
    return Workplace("aws", concurrency, job.batch.memory_mb / FULL_PROCESSOR_MB)


def estimate(job: Job, survey: Survey, place: Workplace, figures: "Figures") -> Estimate:
    """Estimate a job.

    Args:
        job: Its order.
        survey: Of its source.
        place: Where it will run.
        figures: Measured.
    """
    batches = math.ceil(survey.images / job.batch_images)
    waves = math.ceil(batches / job.wave_batches)
    at_a_time = max(1, min(place.at_a_time, batches, job.wave_batches))
    image_ms = figures.image_cpu_ms / place.processors
    working_ms = survey.to_do * image_ms + survey.done * LOOK_UP_MS
    cold_ms = at_a_time * figures.cold_ms
    compute = compute_usd(working_ms + cold_ms, job.batch, job)
    nothing = BatchOutcome(0, 0)
    rest = batches * metered_usd(job, nothing, 0) + survey.images * requests_usd(job)
    prices = job.prices
    transitions = batches * TRANSITIONS_PER_BATCH * prices.transition
    invocations = batches * prices.invocation
    planning = (waves + 1) * planning_usd(
        job, round(figures.planning_ms), attempt=1, batches=min(batches, job.wave_batches)
    )
    events = survey.images * prices.event if job.events else 0.0
    seconds = (working_ms + cold_ms) / 1000 / at_a_time + waves * (
        WAVE_SECONDS if place.name == "aws" else figures.planning_ms / 1000
    )
    return Estimate(
        batches=batches,
        waves=waves,
        seconds=seconds if batches else 0.0,
        parts={
            "compute": compute,
            "requests to S3": rest - transitions - invocations - events,
            "orchestration": transitions + invocations + planning,
            **({"events": events} if job.events else {}),
        },
        worst_usd=batches * worst_batch_usd(job, job.batch_images)
        + (waves + 1) * worst_planning_usd(job, job.wave_batches),
        image_ms=image_ms,
        measured=f"{figures.date} on {figures.host}",
    )


def least_budget_usd(job: Job, *, images: int) -> float:
    """What a budget must carry for a first batch to begin: three plannings and it, at worst."""
    first = min(images, job.batch_images)
    return PLANNINGS_AT_START * worst_planning_usd(job, job.wave_batches) + worst_batch_usd(
        job, first
    )


def check_budget(job: Job, *, images: int) -> None:
    """Refuse a budget that nothing could be done with.

    Raises:
        InvalidRequestError: It does not carry the first planning and one batch.
    """
    least = least_budget_usd(job, images=images)
    if job.max_cost_usd is not None and job.max_cost_usd < least:
        raise InvalidRequestError(
            f"--max-cost {job.max_cost_usd:g}: at worst the first planning and one batch of "
            f"{min(images, job.batch_images)} images come to {least:.2f} USD, so nothing would "
            f"begin; allow {math.ceil(least * 100) / 100:.2f} or more, or smaller --batch-images"
        )
