"""Bulk processing as data: what the CDK stack deploys and what `cxr archive --local` runs.

plan ─▶ map run over the wave's batches ─▶ plan ─▶ … until the planner says that the job has ended

Imports no aws_cdk.
"""

import math
from typing import Final

from infra import prices
from infra.pipeline import MODELS_FOLDER, Resources
from infra.setting_readers import Architecture
from lambdas.batch.job import FunctionSize, Prices
from lambdas.shared.errors import RETRYABLE

BATCH_HANDLER: Final = "lambdas.batch.handler.handler"
PLAN_HANDLER: Final = "lambdas.batch.plan_handler.handler"

IMAGE_SECONDS: Final = 75
"""The longest one image may take, from download to record; with less time left none is begun."""

BATCH_IMAGES: Final = 300
"""Most images in a batch: less than a minute of work (ARCHIVE_COSTS.md), so that a child ends well
inside its limit, and its three state transitions cost less than a twentieth of its compute."""

WAVE_BATCHES: Final = 500
"""Most batches in a wave; between two waves the money is counted. The planner holds a wave's
150,000 pointers in memory."""

MOST_WAVES: Final = 1_000
"""Of one execution: each takes about 12 events of its history, which holds 25,000."""

FILES_PER_IMAGE: Final = 3
"""record.json, report.pdf, thumbnail.jpg; every further format is one more."""

MAP_CONCURRENCY: Final = 100
"""Most children at a time unless cdk.json says otherwise; a tenth of an account's usual limit, so
that streaming is not starved."""

TOLERATED_BATCH_FAILURES_PERCENT: Final = 50
"""Of a wave's batches that may die before the map run gives up; the planner counts images."""

BATCH_SIZE: Final = FunctionSize(memory_mb=3008, timeout_seconds=300, attempts=3)
PLANNER_SIZE: Final = FunctionSize(memory_mb=1024, timeout_seconds=300, attempts=3)
LAKE_SIZE: Final = FunctionSize(memory_mb=3008, timeout_seconds=900, attempts=3)
"""Two processors, and Lambda's longest: records are read by the hundred a second, not by the
thousand. The rows in memory take a tenth of it (lambdas/lake/LAKE.md)."""


def price_table(architecture: Architecture) -> Prices:
    """The dated prices that a job is metered at."""
    return Prices(
        dated=f"{prices.AS_OF.isoformat()} {prices.REGION}",
        gb_second=prices.LAMBDA_GB_SECOND[architecture].usd,
        invocation=prices.LAMBDA_REQUEST.usd,
        s3_put=prices.S3_WRITE.usd,
        s3_get=prices.S3_READ.usd,
        transition=prices.STATE_TRANSITION.usd,
        event=prices.EVENT.usd,
    )


def bulk_environment(
    resources: Resources, *, models: str = MODELS_FOLDER, passthrough: str = ""
) -> dict[str, str]:
    """Environment variables of both functions; read by `lambdas.batch.job_store`."""
    return {
        "CXR_MODELS": models,
        "CXR_RESULTS_BUCKET": resources.results_bucket,
        "CXR_EVENT_BUS": resources.event_bus,
        "CXR_IMAGE_SECONDS": str(IMAGE_SECONDS),
        "CXR_PASSTHROUGH": passthrough,
        # read by Powertools itself
        "POWERTOOLS_METRICS_NAMESPACE": resources.metrics_namespace,
        "POWERTOOLS_SERVICE_NAME": "batch",
    }


def bulk_output_names() -> tuple[str, ...]:
    """Names of the stack's outputs that `cxr archive` reads; the embedded cloud has them too.

    `ArchiveStateMachine` is an ARN, `ArchiveArchitecture` and `ArchiveConcurrency` what estimates
    are made from; the others are names of functions and their log groups.
    """
    return (
        "ArchiveStateMachine",
        "ArchiveArchitecture",
        "ArchiveConcurrency",
        "BatchFunction",
        "BatchLogGroup",
        "PlannerFunction",
        "PlannerLogGroup",
    )


def wave_batches(images: int) -> int:
    """Batches in a wave of a job this large, so that its waves fit one execution's history."""
    return max(WAVE_BATCHES, math.ceil(images / BATCH_IMAGES / MOST_WAVES))


RETRIED_ERRORS: Final = tuple(error.__name__ for error in RETRYABLE)
"""What a function says may work later; Step Functions matches the class's name."""

SERVICE_ERRORS: Final = (
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
)
"""Faults of Lambda itself (Step Functions developer guide, "Handling errors")."""

THROTTLED_ERROR: Final = "Lambda.TooManyRequestsException"
"""No function ran, so nothing is billed: waited for longer than the others."""

RETRY_INTERVAL_SECONDS: Final = 2
RETRY_BACKOFF: Final = 2.0
THROTTLED_INTERVAL_SECONDS: Final = 5
THROTTLED_MOST_SECONDS: Final = 120
