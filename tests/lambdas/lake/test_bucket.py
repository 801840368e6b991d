"""A bucket of results into a lake in a bucket, part by part."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lambdas.lake import bucket as bucket_module
from lambdas.lake.bucket import PARTS, BucketLake, BucketRecords
from lambdas.lake.compact import Compacted, compact
from lambdas.lake.layout import Scope
from lambdas.shared.records import Record, to_json
from tests.cxr.fakes import MODEL_SET
from tests.lambdas.lake.cases import OTHER_MODEL_SET, ask, record

BUCKET = "results-bucket"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def put(s3: Any, *records: Record) -> None:
    for made in records:
        folder = f"results/{made['model_set']}/{made['image_id']}"
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/record.json", Body=to_json(made))
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/report.pdf", Body=b"%PDF of SMITH^JOHN")


def compact_all(s3: Any, model_set: str = MODEL_SET, **scope: Any) -> list[Compacted]:
    return [
        compact(
            BucketRecords(s3, BUCKET, "results/").rows(Scope(model_set, part, **scope)),
            lake=BucketLake(s3, BUCKET, "lake/"),
            scope=Scope(model_set, part, **scope),
        )
        for part in PARTS
    ]


def download(s3: Any, folder: Path) -> Path:
    for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="lake/").get("Contents", ()):
        target = folder / item["Key"].removeprefix("lake/")
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(BUCKET, item["Key"], str(target))
    return folder


def test_every_record_is_in_one_part_and_its_row_says_where_it_lies(s3, tmp_path):
    made = [record(number) for number in range(24)]
    put(s3, *made)
    done = compact_all(s3)
    assert sum(each.records for each in done) == 24
    found = ask(download(s3, tmp_path), "SELECT image_id, record_uri FROM records ORDER BY 1")
    assert found == sorted(
        (each["image_id"], f"s3://{BUCKET}/results/{MODEL_SET}/{each['image_id']}/record.json")
        for each in made
    )


def test_compacting_again_replaces(s3, tmp_path):
    put(s3, *(record(number) for number in range(10)))
    compact_all(s3)
    compact_all(s3)
    (counts,) = ask(
        download(s3, tmp_path), "SELECT count(*), count(DISTINCT image_id) FROM records"
    )
    assert counts == (10, 10)


def test_model_sets_stand_side_by_side(s3, tmp_path):
    put(s3, record(), record(model_set=OTHER_MODEL_SET))
    source = BucketRecords(s3, BUCKET, "results/")
    assert source.model_sets() == [MODEL_SET, OTHER_MODEL_SET]
    for model_set in source.model_sets():
        compact_all(s3, model_set)
    lake = download(s3, tmp_path)
    found = ask(lake, "SELECT model_set, count(*) FROM records GROUP BY 1 ORDER BY 1")
    assert found == [(MODEL_SET, 1), (OTHER_MODEL_SET, 1)]


def test_what_is_no_record_is_named_and_passed_over(s3):
    good = record()
    put(s3, good)
    part = good["image_id"][0]
    broken = f"results/{MODEL_SET}/{part}{'0' * 31}/record.json"
    s3.put_object(Bucket=BUCKET, Key=broken, Body=b"{")
    source = BucketRecords(s3, BUCKET, "results/")
    assert [row.record["image_id"] for row in source.rows(Scope(MODEL_SET, part))] == [
        good["image_id"]
    ]
    assert source.unreadable == [(broken, "not a record (JSONDecodeError)")]


def test_what_was_removed_after_listing_is_passed_over(s3, monkeypatch):
    put(s3, record())
    monkeypatch.setattr(
        bucket_module,
        "_objects",
        lambda *_: iter([("results/gone/record.json", datetime.now(UTC))]),
    )
    source = BucketRecords(s3, BUCKET, "results/")
    assert list(source.rows(Scope(MODEL_SET, "0"))) == []
    assert source.unreadable == []


def test_old_objects_are_not_read_and_their_days_stay(s3, monkeypatch, tmp_path):
    """Reading is what a compaction costs: with `since` only what may be that young is read."""
    old, new = (
        record(number, finished_at=f"2026-02-{day}T00:00:00Z")
        for number, day in enumerate((10, 20))
    )
    put(s3, old, new)
    compact_all(s3)
    written = {old["image_id"]: datetime(2026, 2, 10, tzinfo=UTC)}
    written[new["image_id"]] = datetime(2026, 2, 20, tzinfo=UTC)
    listed = bucket_module._objects

    def objects(*arguments: Any) -> Iterator[tuple[str, datetime]]:
        for key, modified in listed(*arguments):
            image_id = key.split("/")[2]
            yield key, written.get(image_id, modified)

    monkeypatch.setattr(bucket_module, "_objects", objects)
    read: list[str] = []
    fetch = BucketRecords._read

    def noted(self: BucketRecords, key: str) -> tuple[str, bytes | None]:
        read.append(key.split("/")[2])
        return fetch(self, key)

    monkeypatch.setattr(BucketRecords, "_read", noted)
    done = compact_all(s3, since=date(2026, 2, 20))
    assert read == [new["image_id"]]
    assert (sum(each.records for each in done), sum(each.removed for each in done)) == (1, 0)
    assert ask(download(s3, tmp_path), "SELECT count(*) FROM records") == [(2,)]


def test_answers_come_in_order_while_few_are_asked_ahead():
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    answers = bucket_module._in_order(lambda number: number * 2, items())
    assert next(answers) == 0
    assert len(asked) <= bucket_module._AHEAD
    assert list(answers) == [number * 2 for number in range(1, 1000)]


def test_an_error_of_the_bucket_ends_the_reading(s3, monkeypatch):
    put(s3, record())

    def refuse(**_: Any) -> None:
        raise RuntimeError("no connection")

    monkeypatch.setattr(s3, "get_object", refuse)
    with pytest.raises(RuntimeError, match="no connection"):
        compact_all(s3)
