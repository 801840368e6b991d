"""A job with outcomes in a results bucket, as planner and batches would have left it."""

from collections.abc import Sequence
from typing import Any

from cxr.archive.files import JobFiles
from lambdas.batch.job import (
    BatchOutcome,
    BatchRequest,
    Failure,
    Job,
    job_key,
    outcome_key,
    state_key,
    to_document,
    wave_key,
)
from lambdas.batch.state import State
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import image_id_of, result_key
from tests.lambdas.batch.job_builders import archive_job, image

JOB = "night"


def write_job(files: JobFiles, **changes: Any) -> Job:
    job = archive_job(**changes)
    files.write_json(job_key(job.name), to_document(job))
    return job


def write_state(files: JobFiles, **values: Any) -> State:
    state = State(**{"updated_at": "2026-11-23T01:00:00+00:00"} | values)
    files.write_json(state_key(JOB), to_document(state))
    return state


def write_wave(files: JobFiles, wave: int, groups: Sequence[Sequence[int]]) -> None:
    """Batches of images by their numbers."""
    requests = [
        BatchRequest(JOB, files.bucket, wave, number, tuple(map(image, group)), "m")
        for number, group in enumerate(groups)
    ]
    files.write_json(wave_key(JOB, wave), [to_document(request) for request in requests])


def write_outcome(files: JobFiles, wave: int, number: int, **values: Any) -> BatchOutcome:
    outcome = BatchOutcome(wave, number, **values)
    files.write_json(outcome_key(JOB, wave, number), to_document(outcome))
    return outcome


def image_id(found: ImageRef) -> str:
    return image_id_of(found.bucket, found.key, found.version)


def failure(number: int, reason: str = "StorageUnavailableError") -> Failure:
    return Failure(image(number), image_id(image(number)), reason, "later, perhaps")


def write_record(files: JobFiles, job: Job, number: int) -> None:
    files.write(result_key(job.model_set, image_id(image(number)), "record.json"), b"{}")
