"""The command with fake models."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cxr.cli import main
from tests.conftest import REPOSITORY
from tests.cxr.fakes import make_fake
from tests.cxr.results_bucket import BUCKET

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`cxr analyze ARGUMENTS --json` in an empty folder: exit code and what it printed."""
    monkeypatch.syspath_prepend(str(REPOSITORY))  # workers import the fake by its module's name
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str, workers: int = 1) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(
            ["analyze", *arguments, "--json", "--workers", str(workers)], make_analyser=make_fake
        )
        return code, json.loads(capsys.readouterr().out)

    return run_command


@pytest.fixture
def write() -> Callable[[Mapping[str, bytes]], None]:
    """Write files below the working folder."""

    def write_files(files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    return write_files


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 within this process, with an empty bucket for results."""
    import boto3
    from moto import mock_aws

    from cxr import bucket_results

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        bucket_results.s3_client.cache_clear()
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
    bucket_results.s3_client.cache_clear()
