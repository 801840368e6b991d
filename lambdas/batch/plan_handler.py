"""Plan the next wave of an archive job: the step between two map runs."""

from datetime import UTC, datetime
from typing import Any

from lambdas.batch.billing import InvocationClock
from lambdas.batch.job import Job, job_key, wave_key
from lambdas.batch.job_store import BatchSettings, S3JobStore
from lambdas.batch.sources import listing_of
from lambdas.batch.waves import plan_next
from lambdas.shared import telemetry
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.listing import ObjectLister
from lambdas.shared.storage import Storage


def _plan(event: dict[str, Any], context: Any) -> dict[str, Any]:
    clock = InvocationClock()
    settings = BatchSettings.from_env()
    store = S3JobStore(Storage(settings.results_bucket))
    document = store.read_json(job_key(event["job"]))
    if document is None:
        raise InvalidRequestError(f"there is no job {event['job']!r}; `cxr archive start` makes it")
    job = Job.from_document(document)
    planned = plan_next(
        job,
        ran=event["ran"],
        store=store,
        jobs_bucket=settings.results_bucket,
        listing=listing_of(job.source, ObjectLister()),
        now=datetime.now(UTC).isoformat(timespec="seconds"),
        spent_ms=clock.billed_ms,
        attempt=int(event.get("retry_count", 0)) + 1,
    )
    telemetry.note("planned", job=job.name, wave=planned.wave, batches=planned.batches)
    return {
        "job": job.name,
        "status": planned.status,
        "wave": planned.wave,
        "batches": planned.batches,
        "items_bucket": settings.results_bucket,
        "items_key": wave_key(job.name, planned.wave),
        "since": datetime.fromisoformat(job.created_at).astimezone(UTC).date().isoformat(),
    }


handler = telemetry.told_handler(_plan)
