"""A results bucket with jobs in it, in moto."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cxr.archive.files import JobFiles
from tests.cxr.cloud.conftest import clients, no_aws, place, server

__all__ = ["clients", "no_aws", "place", "server"]

BUCKET = "results"


@pytest.fixture
def s3(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def files(s3: Any) -> JobFiles:
    return JobFiles(s3, BUCKET)
