"""A bucket with results in it, in moto's S3."""

from typing import Any

from lambdas.shared import records
from lambdas.shared.records import Record

BUCKET = "results-of-tests"


def put(s3: Any, of: Record, *, prefix: str = "") -> str:
    folder = f"{of['model_set']}/{of['image_id']}"
    place = f"{prefix}results/{folder}"
    s3.put_object(Bucket=BUCKET, Key=f"{place}/report.pdf", Body=b"%PDF")
    s3.put_object(Bucket=BUCKET, Key=f"{place}/record.json", Body=records.to_json(of))
    return folder
