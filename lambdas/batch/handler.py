"""Analyse one batch of an archive job: a child of the map run, or `cxr archive --local`."""

import functools
import os
import sys
from typing import Any

from lambdas.batch.analyse import Models, load_models
from lambdas.batch.billing import InvocationClock
from lambdas.batch.job import BatchRequest, outcome_key, to_document
from lambdas.batch.job_store import BatchSettings, S3JobStore
from lambdas.batch.run import Limits, run_batch
from lambdas.batch.store import BatchStore, StagesAnalyst
from lambdas.batch.tally import without_models
from lambdas.report.formats import parse_formats
from lambdas.shared import telemetry
from lambdas.shared.errors import ModelMismatchError
from lambdas.shared.events import EVENT_SOURCE
from lambdas.shared.function import warm
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.storage import EventBus, Storage


@functools.cache
def _collaborators() -> tuple[BatchSettings, Models, tuple[IsolatedReader, ...], Storage]:
    readers = tuple(IsolatedReader() for _ in range(os.cpu_count() or 1))
    for reader in readers:
        reader.start()  # imports its decoders while the models load
    settings = BatchSettings.from_env()
    # one thread a model: the analysts run side by side instead
    return (
        settings,
        load_models(settings.models, threads=1),
        readers,
        Storage(settings.results_bucket),
    )


def _analyse(event: dict[str, Any], context: Any) -> dict[str, Any]:
    clock = InvocationClock()
    request = BatchRequest.from_document(event["request"])
    attempt = int(event.get("retry_count", 0)) + 1
    settings, models, readers, storage = _collaborators()
    if request.model_set != models.model_set:
        error = ModelMismatchError(
            f"the job is for models {request.model_set}, the function has {models.model_set}; "
            "deploy those, or start a new job"
        )
        outcome = without_models(request, error, attempt=attempt, billed_ms=clock.billed_ms())
    else:
        bus = EventBus(settings.event_bus, source=EVENT_SOURCE) if request.events else None
        outcome = run_batch(
            request,
            attempt=attempt,
            store=BatchStore(storage, models.model_set, bus),
            analysts=[
                StagesAnalyst(
                    models,
                    reader,
                    request.detect_all,
                    parse_formats(request.formats),
                    settings.passthrough,
                )
                for reader in readers
            ],
            limits=Limits(
                lambda: context.get_remaining_time_in_millis() / 1000 if context else sys.maxsize,
                settings.image_seconds,
                clock.billed_ms,
            ),
            say=_unforeseen,
        )
    telemetry.count_batch(outcome.analysed, outcome.rejected, len(outcome.failures))
    key = outcome_key(request.job, request.wave, request.number)
    S3JobStore(storage).write_json(key, to_document(outcome))
    return {
        "wave": outcome.wave,
        "number": outcome.number,
        "analysed": outcome.analysed,
        "rejected": outcome.rejected,
        "failed": len(outcome.failures),
        "left": len(outcome.left),
        "billed_ms": clock.billed_ms(),
    }


def _unforeseen(image_id: str, error: BaseException) -> None:
    telemetry.about(image_id)
    telemetry.fault(error)
    telemetry.about(None)


handler = telemetry.told_handler(_analyse)
warm(_collaborators)
