"""Logs, metrics, traces and batches: the one module of `lambdas` that imports Powertools.

Logs carry image_id, names and counts: never keys, pixels, patient tags, events, or the text of an
error that is not our own.
"""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from lambdas.shared import metric_names
from lambdas.shared.errors import CxrError, TransientError

UNITS: Final = {
    metric_names.IMAGE_MILLISECONDS: MetricUnit.Milliseconds,
    metric_names.PROBABILITY: MetricUnit.NoUnit,
}
"""All others are counts."""

NAMESPACE_VARIABLE: Final = "POWERTOOLS_METRICS_NAMESPACE"

# Powertools reads service and log level from the environment, so these three are made on import.
logger: Final = Logger(utc=True, location=None)
metrics: Final = Metrics(namespace=os.environ.get(NAMESPACE_VARIABLE, metric_names.NAMESPACE))
tracer: Final = Tracer(auto_patch=False)

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def count(name: str, value: float = 1) -> None:
    """Add a value to one of `metric_names`."""
    metrics.add_metric(name=name, unit=UNITS.get(name, MetricUnit.Count), value=value)


def count_batch(analysed: int, rejected: int, failed: int) -> None:
    """Tell what became of a batch's images."""
    count(metric_names.IMAGES_ANALYSED, analysed)
    count(metric_names.IMAGES_REJECTED, rejected)
    note("batch done", analysed=analysed, rejected=rejected, failed=failed)


def about(image_id: str | None) -> None:
    """Name the image that log lines are about from here on; None for none."""
    if image_id is None:
        with suppress(KeyError):
            logger.remove_keys(["image_id"])
    else:
        logger.append_keys(image_id=image_id)


def note(sentence: str, **details: str | int | float) -> None:
    """Log a sentence and details, none of which say whose image it is."""
    logger.info(sentence, extra=details)


def fault(error: BaseException) -> None:
    """Log why an image's message stays in its queue."""
    details: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, CxrError):
        details["reason"] = str(error)
    else:  # its text, or that of a cause, may hold a key or a tag: places alone
        frames = traceback.extract_tb(error.__traceback__)
        details["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        if code := _aws_code(error):
            details["aws_code"] = code
    level = logger.warning if isinstance(error, TransientError) else logger.error
    level("image failed; its message stays", extra=details)


def _aws_code(error: BaseException) -> str:
    """AWS's own word for a fault, such as AccessDenied; empty for what AWS did not answer."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return code if isinstance(code, str) and code.replace(".", "").isalnum() else ""


def _flush() -> None:
    """Write the metrics; images that are done must not be done again for want of a figure."""
    if metrics.metric_set:
        try:
            metrics.flush_metrics()
        except Exception as error:
            logger.error("metrics are lost", extra={"error": type(error).__name__})
            metrics.clear_metrics()


def queue_handler(one: Callable[[str, Callable[[], int]], None]) -> Handler:
    """A Lambda handler over an SQS batch, where one message's failure is never another's.

    Args:
        one: Called with a message's body and a function that gives the milliseconds left; what it
            raises keeps that message in its queue.
    """

    def batch(event: dict[str, Any], context: Any) -> dict[str, Any]:
        def milliseconds_left() -> int:
            return int(context.get_remaining_time_in_millis()) if context else sys.maxsize

        def handle(record: SQSRecord) -> None:
            try:
                one(record.body, milliseconds_left)
            except Exception as error:
                fault(error)
                raise
            finally:
                about(None)

        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        return dict(
            process_partial_response(
                event=event, record_handler=handle, processor=processor, context=context
            )
        )

    return told_handler(batch)


def told_handler(function: Handler) -> Handler:
    """A Lambda handler with logs, metrics and traces."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if context:
            logger.append_keys(request_id=context.aws_request_id)
        try:
            return function(event, context)
        finally:
            _flush()

    traced: Handler = tracer.capture_lambda_handler(
        handler, capture_response=False, capture_error=False
    )
    return traced
