"""What the tests of `training.submit` ask to be sent."""

from datetime import UTC, datetime

from training.config import parse
from training.submit import SubmitSettings

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/training"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/abc"

FLAGS = {
    "role_arn": ROLE,
    "region": "eu-west-1",
    "bucket": "hospital-models",
    "data": "s3://hospital-data/prepared",
    "image": "763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.9-gpu-py312",
}


def settings_of(**given):
    return parse(SubmitSettings, [], environment={}, given_by_file={**FLAGS, **given})
