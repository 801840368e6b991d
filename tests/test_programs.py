"""The programs that README.md and LAKE.md show run as they stand."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cxr.cli import main
from cxr.fake_client import FakeClient, abnormal
from lambdas.lake.queries import queries
from tests.builders import film, png, to_8_bit
from tests.conftest import REPOSITORY

BUCKET = "my-results"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)


def block(page: str, word: str) -> str:
    (found,) = [each for each in blocks(page) if word in each]
    return found


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("s3")


def test_every_program_of_the_pages_is_run_here() -> None:
    assert len(blocks("README.md")) == 3
    assert len(blocks("lambdas/lake/LAKE.md")) == 1


@pytest.mark.slow
def test_the_client_as_readme_shows_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "build" / "demo" / "images"
    images.mkdir(parents=True)
    (images / "film.png").write_bytes(png(to_8_bit(film())))
    (images / "broken.png").write_bytes(png(to_8_bit(film()))[:900])
    exec(block("README.md", "build/client"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert any("broken_file None" in line for line in lines)


def test_the_fake_as_readme_shows_it() -> None:
    exec(block("README.md", "FakeClient"), {})


def test_the_consumer_as_readme_shows_it(aws, capsys) -> None:
    client = FakeClient(otherwise=abnormal(("Cardiomegaly", 0.9)))
    (result,) = client.submit("a.png").wait()
    aws.create_bucket(Bucket=BUCKET)
    key = result.address.partition("/results/")[2]
    aws.put_object(Bucket=BUCKET, Key=f"results/{key}", Body=json.dumps(result.record))
    event = client.event_of(result.image_id)
    event["detail"]["record"] = f"s3://{BUCKET}/results/{key}"
    names: dict[str, Any] = {}
    exec(block("README.md", "def handler"), names)
    names["handler"](event, None)
    assert capsys.readouterr().out == f"{result.image_id} ['Cardiomegaly']\n"


def test_the_lake_is_asked_as_its_page_shows(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    results = FakeClient(otherwise=abnormal(("Cardiomegaly", 0.9))).submit("a.png", "b.png").wait()
    for result in results:
        result.save(tmp_path / "results")
    assert main(["results", "results", "--to", "lake/"]) == 0
    capsys.readouterr()
    exec(block("lambdas/lake/LAKE.md", "duckdb"), {})
    printed = capsys.readouterr().out
    for query in queries():
        assert query.description in printed
    assert "Cardiomegaly" in printed
