"""Results in a bucket, against moto's S3."""

from typing import Any

import pytest

from cxr import bucket_results
from cxr.bucket_results import BucketResults
from cxr.originals import Originals
from cxr.result_places import open_store
from cxr.reviews import ReviewConflictError, version_of
from lambdas.shared.errors import ContractError, InvalidRequestError, StorageUnavailableError
from tests.cxr.results_bucket import BUCKET, put
from tests.cxr.review_examples import record, review, revision


def test_lists_and_opens(s3: Any) -> None:
    folders = [put(s3, record(kind, key=f"{kind}.dcm")) for kind in ("abnormal", "rejected")]
    s3.put_object(Bucket=BUCKET, Key="results/x/y/record.json", Body=b"{")
    store = open_store(f"s3://{BUCKET}")
    listing = store.listing()
    assert {row.result.folder for row in listing.results} == set(folders)
    assert (listing.unreadable, listing.left_out) == (1, 0)
    assert store.record(folders[0])["source"]["key"] == "abnormal.dcm"
    assert store.file(folders[0], "report.pdf") == b"%PDF"
    with pytest.raises(StorageUnavailableError, match="not in the bucket any more"):
        store.file(folders[0], "thumbnail.jpg")


def test_prefix_is_kept_to(s3: Any) -> None:
    put(s3, record(key="mine.dcm"), prefix="team/")
    put(s3, record(key="other.dcm"))
    store = BucketResults(f"s3://{BUCKET}/team/")
    assert store.name == f"s3://{BUCKET}/team"
    assert [row.result.key for row in store.listing().results] == ["mine.dcm"]


def test_unchanged_records_are_not_fetched_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, record(key="1.dcm"))
    store = BucketResults(f"s3://{BUCKET}")
    store.listing()
    put(s3, record(key="2.dcm"))
    fetched: list[str] = []
    get = bucket_results.get_object

    def counting(bucket: str, key: str, **options: Any) -> Any:
        fetched.append(key)
        return get(bucket, key, **options)

    monkeypatch.setattr(bucket_results, "get_object", counting)
    assert len(store.listing().results) == 2
    assert len(fetched) == 1


def test_newest_are_listed_where_there_are_too_many(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_results, "MAX_LISTED", 2)
    for index in range(3):
        put(s3, record(key=f"{index}.dcm"))
    listing = BucketResults(f"s3://{BUCKET}").listing()
    assert (len(listing.results), listing.left_out) == (2, 1)


def test_reviews_are_saved_on_the_version_that_was_seen(s3: Any) -> None:
    folder = put(s3, record())
    store = BucketResults(f"s3://{BUCKET}")
    of = store.record(folder)
    seen = store.review(folder, record=of)
    assert seen.tag is None
    store.save_review(folder, review(of), tag=None)
    with pytest.raises(ReviewConflictError):
        store.save_review(folder, review(of), tag=None)
    first = store.review(folder, record=of)
    store.save_review(folder, review(of, revision(), revision(note="two")), tag=first.tag)
    with pytest.raises(ReviewConflictError):
        store.save_review(folder, review(of, revision(note="late")), tag=first.tag)
    assert version_of(store.review(folder, record=of).review) == 2
    assert store.record(folder) == of
    assert [row.reviewed for row in store.listing().results] == [True]


def test_errors_say_what_happened_and_no_key(s3: Any) -> None:
    store = BucketResults("s3://no-such-bucket")
    with pytest.raises(ContractError, match="listing the results: the bucket does not exist"):
        store.listing()
    with pytest.raises(ContractError) as caught:
        store.file("SMITH^JOHN", "record.json")
    assert "SMITH" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix"])
def test_url_without_a_bucket(url: str) -> None:
    with pytest.raises(InvalidRequestError, match="names no bucket"):
        open_store(url)


def test_original_is_found_in_its_bucket(s3: Any) -> None:
    of = record(data=b"the film")
    source = of["source"] | {"bucket": BUCKET, "key": "images/SMITH^JOHN/1", "version": None}
    of = of | {"source": source}
    find = Originals(None).find
    assert find(of) is None
    s3.put_object(Bucket=BUCKET, Key=source["key"], Body=b"another film")
    assert find(of) is None
    s3.put_object(Bucket=BUCKET, Key=source["key"], Body=b"the film")
    assert find(of) == b"the film"


def test_original_that_was_overwritten_is_found_by_its_version(s3: Any) -> None:
    status = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=status)
    version = s3.put_object(Bucket=BUCKET, Key="1", Body=b"the film")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="1", Body=b"another film")
    of = record(data=b"the film")
    of = of | {"source": of["source"] | {"bucket": BUCKET, "key": "1", "version": version}}
    assert Originals(None).find(of) == b"the film"
