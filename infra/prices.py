"""List prices of what the pipeline uses, in one place and dated.

Without free tiers, discounts and tax, so that a figure made from them errs upwards. They differ
between regions and change: compare with the source before relying on one.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from infra.setting_readers import Architecture

AS_OF: Final = date(2026, 11, 23)
"""When the table was last gone through; a price that was read earlier says so itself."""

REGION: Final = "us-east-1"

HOURS_A_MONTH: Final = 730
"""As AWS's own calculator counts."""

SECONDS_A_MONTH: Final = HOURS_A_MONTH * 3600


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit costs.

    Attributes:
        usd: For one unit, not for the thousand or million of them that the source quotes.
        unit: What is counted.
        source: Page that states it.
        read: When the source said so.
    """

    usd: float
    unit: str
    source: str
    read: date = AS_OF


_CLOUDWATCH: Final = "https://aws.amazon.com/cloudwatch/pricing/"
_EC2: Final = "https://aws.amazon.com/ec2/pricing/on-demand/"
"""Shows its table to browsers alone; the same prices are in
https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonEC2/, AWS's list as files, from which
a public extract was compared."""

_FARGATE: Final = "https://aws.amazon.com/fargate/pricing/"
"""Shows its table to browsers alone. Compared were the worked example of
https://aws.amazon.com/ecs/pricing/ (0.000011244 USD a vCPU and second, read 2026-09-20) and
https://www.vantage.sh/blog/fargate-pricing, which has both prices for us-east-1."""

_KMS: Final = "https://aws.amazon.com/kms/pricing/"
_LAMBDA: Final = "https://aws.amazon.com/lambda/pricing/"
_S3: Final = "https://aws.amazon.com/s3/pricing/"
_STEP_FUNCTIONS: Final = "https://aws.amazon.com/step-functions/pricing/"

LAMBDA_GB_SECOND: Final[dict[Architecture, Price]] = {
    "x86_64": Price(0.0000166667, "GB-second", _LAMBDA),
    "arm64": Price(0.0000133334, "GB-second", _LAMBDA),
}
LAMBDA_REQUEST: Final = Price(0.20 / 1e6, "request", _LAMBDA)

SQS_REQUEST: Final = Price(0.40 / 1e6, "request", "https://aws.amazon.com/sqs/pricing/")

EVENT: Final = Price(1.00 / 1e6, "event", "https://aws.amazon.com/eventbridge/pricing/")

S3_WRITE: Final = Price(0.005 / 1e3, "PUT or LIST request", _S3)
S3_READ: Final = Price(0.0004 / 1e3, "GET request", _S3)
S3_GB_MONTH: Final = Price(0.023, "GB and month", _S3)

STATE_TRANSITION: Final = Price(25.00 / 1e6, "transition", _STEP_FUNCTIONS)
EXPRESS_REQUEST: Final = Price(1.00 / 1e6, "request", _STEP_FUNCTIONS)
EXPRESS_GB_SECOND: Final = Price(0.00001667, "GB-second", _STEP_FUNCTIONS)

FARGATE_VCPU_HOUR: Final = Price(0.04048, "vCPU and hour, Linux on x86", _FARGATE)
FARGATE_GB_HOUR: Final = Price(0.004445, "GB and hour, Linux on x86", _FARGATE)
FARGATE_SPOT_SHARE: Final = 0.3
"""Spot's price over the usual one, at its lowest: "up to a 70% discount off the regular Fargate
price" on the same page). AWS states no more; it moves with demand."""

GPU_HOUR: Final = Price(
    0.526,
    "hour of a g4dn.xlarge on demand, Linux: one T4, 4 vCPU",
    _EC2,
    read=date(2026, 9, 14),
)
GPU_VCPUS: Final = 4

KMS_KEY_MONTH: Final = Price(1.00, "key and month", _KMS)
KMS_REQUEST: Final = Price(0.03 / 1e4, "request", _KMS)

ALARM_MONTH: Final = Price(0.10, "alarm and month", _CLOUDWATCH)
DASHBOARD_MONTH: Final = Price(3.00, "dashboard and month", _CLOUDWATCH)
METRIC_MONTH: Final = Price(0.30, "metric and month", _CLOUDWATCH)
LOG_GB: Final = Price(0.50, "GB ingested", _CLOUDWATCH)

IMAGE_GB_MONTH: Final = Price(0.10, "GB and month", "https://aws.amazon.com/ecr/pricing/")

ENDPOINT_HOUR: Final = Price(
    0.01, "endpoint, zone and hour", "https://aws.amazon.com/privatelink/pricing/"
)
