"""The plan of a job: what is there, what is done, what the rest takes and costs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from cxr.archive.estimate import Estimate, Workplace, estimate, measured_figures
from cxr.archive.files import JobFiles
from cxr.archive.source import source_text
from cxr.archive.survey import Survey, done_ids, survey
from cxr.aws import translated
from infra.bulk import (
    BATCH_IMAGES,
    BATCH_SIZE,
    FILES_PER_IMAGE,
    PLANNER_SIZE,
    WAVE_BATCHES,
    price_table,
    wave_batches,
)
from infra.setting_readers import Architecture
from lambdas.batch.job import Job, Source
from lambdas.batch.waves import Listing
from lambdas.shared.errors import InvalidRequestError

LOCAL_BATCH_IMAGES: Final = 20
LOCAL_WAVE_BATCHES: Final = 20
"""On one machine waves are short, so that a stop and the budget are looked at every few minutes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an operator chooses.

    Attributes:
        name: Of the job.
        model_set: Of the functions.
        max_cost_usd: None for no limit.
        batch_images: None for the usual.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Further formats of results.
        events: Whether each image is told on the event bus.
        architecture: Of the functions, which decides the price.
    """

    name: str
    model_set: str
    max_cost_usd: float | None
    batch_images: int | None
    detect_all: bool
    formats: frozenset[str]
    events: bool
    architecture: Architecture


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that could be started.

    Attributes:
        job: Its order.
        survey: Of its source.
        estimate: Of what is to be done.
        place: Where it would run.
    """

    job: Job
    survey: Survey
    estimate: Estimate
    place: Workplace


def order(wishes: Wishes, source: Source, *, local: bool) -> Job:
    """The order that the wishes come to; on AWS the plan sets the size of its waves.

    Raises:
        InvalidRequestError: A batch might not end within its function's time limit.
    """
    if wishes.batch_images is not None and wishes.batch_images > BATCH_IMAGES:
        raise InvalidRequestError(
            f"--batch-images {wishes.batch_images}: at most {BATCH_IMAGES}, so that a batch ends "
            "well within its function's time limit"
        )
    return Job(
        name=wishes.name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=source,
        model_set=wishes.model_set,
        batch_images=wishes.batch_images or (LOCAL_BATCH_IMAGES if local else BATCH_IMAGES),
        wave_batches=LOCAL_WAVE_BATCHES if local else WAVE_BATCHES,
        max_cost_usd=wishes.max_cost_usd,
        prices=price_table(wishes.architecture),
        batch=BATCH_SIZE,
        planner=PLANNER_SIZE,
        files_per_image=FILES_PER_IMAGE + len(wishes.formats),
        events=wishes.events,
        detect_all=wishes.detect_all,
        formats=",".join(sorted(wishes.formats)),
    )


def make_plan(
    job: Job,
    *,
    listing: Listing,
    files: JobFiles,
    place: Workplace,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Plan:
    """Look at the source and at the results, and estimate.

    Args:
        job: The order.
        listing: Of its source.
        files: Of the results bucket.
        place: Where it would run.
        tell: Told how far this is.

    Raises:
        CxrError: The source cannot be listed.
    """
    figures = measured_figures()
    tell("Looking up what is done already")
    done = done_ids(files, job.model_set)
    with translated(
        "listing the images",
        needs="s3:ListBucketVersions on their bucket, s3:GetObject on a list or inventory",
    ):
        found = survey(
            listing, done, tell=lambda images: tell(f"Listing images: {images:,} so far")
        )
    if place.name == "aws":
        # smaller batches than usual are more of them
        usual = math.ceil(found.images * BATCH_IMAGES / job.batch_images)
        job = replace(job, wave_batches=wave_batches(usual))
    return Plan(job, found, estimate(job, found, place, figures), place)


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for a program, and what stays in plan.json."""
    job, found, expected = plan.job, plan.survey, plan.estimate
    return {
        "job": job.name,
        "source": source_text(job.source),
        "model_set": job.model_set,
        "runs_on": asdict(plan.place),
        "images": found.images,
        "size_bytes": found.size_bytes if found.unsized < found.images else None,
        "images_without_size": found.unsized,
        "already_done": found.done,
        "unknown_whether_done": found.unknown,
        "to_do": found.to_do,
        "batch_images": job.batch_images,
        "wave_batches": job.wave_batches,
        "batches": expected.batches,
        "waves": expected.waves,
        "seconds": round(expected.seconds, 1),
        "image_ms": round(expected.image_ms, 1),
        "measured": expected.measured,
        "cost_usd": {name: round(usd, 6) for name, usd in expected.parts.items()},
        "expected_usd": round(expected.usd, 6),
        "worst_usd": round(expected.worst_usd, 6),
        "max_cost_usd": job.max_cost_usd,
        "prices": job.prices.dated,
    }


def planned_images(document: Mapping[str, Any] | None) -> int | None:
    """Images that plan.json counted; None where there is none."""
    return int(document["images"]) if document else None
