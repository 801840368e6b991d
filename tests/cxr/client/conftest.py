"""Buckets, and a folder of images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.cxr.client.world import (
    BEHAVIOURS,
    INTAKE,
    RESULTS,
    image,
)


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    """One client for all: making one takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws():
            yield boto3.client("s3")


@pytest.fixture
def s3(aws: Any) -> Iterator[Any]:
    for bucket in (INTAKE, RESULTS):
        aws.create_bucket(Bucket=bucket)
    aws.put_bucket_versioning(Bucket=INTAKE, VersioningConfiguration={"Status": "Enabled"})
    yield aws
    for bucket in aws.list_buckets()["Buckets"]:
        for item in aws.list_object_versions(Bucket=bucket["Name"]).get("Versions", ()):
            aws.delete_object(Bucket=bucket["Name"], Key=item["Key"], VersionId=item["VersionId"])
        aws.delete_bucket(Bucket=bucket["Name"])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, behaviour in BEHAVIOURS.items():
        (folder / name).write_bytes(image(behaviour))
    return folder
