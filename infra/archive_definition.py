"""The state machine of archive jobs in Amazon States Language; sizes and retries: `infra.bulk`.

    PlanWave ─▶ Answer ─┬─ running ─▶ RunWave ─┐      RunWave: a child for each batch of the wave
        ▲               ├─ failed ──▶ Failed   │
        │               └─ otherwise ──────────┼──▶ LakeParts ─▶ CompactLake ─▶ Ended
        └──────────────────────────────────────┘

CompactLake: the lake's function for each part, for the days since the job was ordered. Should it
fail, the job has ended all the same: the nightly compaction makes up for it, or `cxr results`.

Input: `{"job": NAME, "wave": N}`, the last wave that was run, 0 for a new job. Between the states
go counts and keys of files, never images: those stand in the wave's file, which the map run reads.

Imports no aws_cdk. Sources: Step Functions developer guide, "Using Map state in Distributed mode",
"ItemReader", "ResultWriter", "Handling errors", "Invoke Lambda function".
"""

from collections.abc import Mapping
from typing import Any, Final

from infra.bulk import (
    BATCH_SIZE,
    LAKE_SIZE,
    PLANNER_SIZE,
    RETRIED_ERRORS,
    RETRY_BACKOFF,
    RETRY_INTERVAL_SECONDS,
    SERVICE_ERRORS,
    THROTTLED_ERROR,
    THROTTLED_INTERVAL_SECONDS,
    THROTTLED_MOST_SECONDS,
    TOLERATED_BATCH_FAILURES_PERCENT,
)
from lambdas.batch.budget import INIT_SECONDS, THROTTLED_RETRIES
from lambdas.batch.job import JOBS_PREFIX, FunctionSize
from lambdas.lake.bucket import PARTS

Definition = dict[str, Any]

MAP_LABEL: Final = "Wave"
"""Of map runs and their children in ARNs; without it Step Functions makes one up each time."""

WRITTEN_RESULTS: Final = f"States.Format('{JOBS_PREFIX}{{}}/map-runs/{{}}', $.job, $.wave)"
"""Where map runs write which child did what, for `DescribeMapRun` keeps it for 90 days only."""

SPARE_SECONDS: Final = 30
"""Beyond a function's own limit, for an answer that was lost on its way."""


def definition(
    *,
    batch_arn: str,
    planner_arn: str,
    lake_arn: str,
    concurrency: int,
    partition: str = "aws",
) -> Definition:
    """The state machine.

    Args:
        batch_arn: Function that analyses a batch.
        planner_arn: Function that plans waves.
        lake_arn: Function that compacts records into the lake.
        concurrency: Most children at a time.
        partition: Of the region.
    """
    return {
        "Comment": "Archive job: plan a wave, run its batches, until the planner says it has ended",
        "StartAt": "PlanWave",
        "States": {
            "PlanWave": _invoke(
                planner_arn,
                PLANNER_SIZE,
                {"job.$": "$.job", "ran.$": "$.wave"},
                partition,
            )
            | {"Next": "Answer"},
            "Answer": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.status", "StringEquals": "running", "Next": "RunWave"},
                    {"Variable": "$.status", "StringEquals": "failed", "Next": "Failed"},
                ],
                "Default": "LakeParts",
            },
            "RunWave": _map_run(batch_arn, concurrency, partition),
            "LakeParts": {
                "Type": "Pass",
                "Result": list(PARTS),
                "ResultPath": "$.parts",
                "Next": "CompactLake",
            },
            "CompactLake": _compaction(lake_arn, partition),
            "Ended": {"Type": "Succeed"},
            "Failed": {
                "Type": "Fail",
                "Error": "ArchiveJobFailed",
                "Cause": "Too many images of a wave failed. `cxr archive report` says why; "
                "`cxr archive resume` goes on once that is mended",
            },
        },
    }


def _map_run(batch_arn: str, concurrency: int, partition: str) -> Definition:
    """One child for each batch of the wave's file; whatever becomes of them, the planner counts."""
    return {
        "Type": "Map",
        "Label": MAP_LABEL,
        "MaxConcurrency": concurrency,
        "ToleratedFailurePercentage": float(TOLERATED_BATCH_FAILURES_PERCENT),
        "ItemReader": {
            "Resource": f"arn:{partition}:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSON"},
            "Parameters": {"Bucket.$": "$.items_bucket", "Key.$": "$.items_key"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "AnalyseBatch",
            "States": {
                "AnalyseBatch": _invoke(batch_arn, BATCH_SIZE, {"request.$": "$"}, partition)
                | {"End": True}
            },
        },
        "ResultWriter": {
            "Resource": f"arn:{partition}:states:::s3:putObject",
            "Parameters": {"Bucket.$": "$.items_bucket", "Prefix.$": WRITTEN_RESULTS},
        },
        "ResultPath": None,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "PlanWave"}],
        "Next": "PlanWave",
    }


def _compaction(lake_arn: str, partition: str) -> Definition:
    """The lake's parts side by side; no part's trouble is another's, or the job's."""
    return {
        "Type": "Map",
        "ItemsPath": "$.parts",
        "ItemSelector": {"part.$": "$$.Map.Item.Value", "since.$": "$.since"},
        "MaxConcurrency": len(PARTS),
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "INLINE"},
            "StartAt": "CompactPart",
            "States": {
                "CompactPart": _invoke(
                    lake_arn,
                    LAKE_SIZE,
                    {"part.$": "$.part", "since.$": "$.since"},
                    partition,
                )
                | {
                    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "LeftToTheNight"}],
                    "End": True,
                },
                "LeftToTheNight": {"Type": "Pass", "End": True},
            },
        },
        "ResultPath": None,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Ended"}],
        "Next": "Ended",
    }


def _invoke(
    function_arn: str, size: FunctionSize, payload: Mapping[str, str], partition: str
) -> Definition:
    """Call a function; its answer becomes the state's output.

    One retrier for all that is billed, so that the function runs `size.attempts` times at most; a
    function that died or ran out of time is not called again with the same.
    """
    return {
        "Type": "Task",
        "Resource": f"arn:{partition}:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": function_arn,
            "Payload": {**payload, "retry_count.$": "$$.State.RetryCount"},
        },
        "OutputPath": "$.Payload",
        "TimeoutSeconds": size.timeout_seconds + INIT_SECONDS + SPARE_SECONDS,
        "Retry": [
            {
                "ErrorEquals": [*RETRIED_ERRORS, *SERVICE_ERRORS],
                "IntervalSeconds": RETRY_INTERVAL_SECONDS,
                "BackoffRate": RETRY_BACKOFF,
                "MaxAttempts": size.attempts - 1,
                "JitterStrategy": "FULL",
            },
            {
                "ErrorEquals": [THROTTLED_ERROR],
                "IntervalSeconds": THROTTLED_INTERVAL_SECONDS,
                "BackoffRate": RETRY_BACKOFF,
                "MaxDelaySeconds": THROTTLED_MOST_SECONDS,
                "MaxAttempts": THROTTLED_RETRIES,
                "JitterStrategy": "FULL",
            },
        ],
    }
