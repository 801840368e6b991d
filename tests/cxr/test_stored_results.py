"""A folder of results: listed quickly, read within its bounds, reviews saved one on the other."""

import os
import threading
import time
from pathlib import Path

import pytest

from cxr.reviews import ReviewConflictError, to_json, version_of
from cxr.stored_results import FolderResults, most_urgent_first
from lambdas.shared import records
from lambdas.shared.errors import ContractError, InvalidRequestError, StorageUnavailableError
from lambdas.shared.records import Record
from tests.cxr.review_examples import record, review, revision


def save(root: Path, of: Record) -> str:
    folder = str(of["source"]["key"])
    (root / folder).mkdir(parents=True)
    (root / folder / "record.json").write_bytes(records.to_json(of))
    (root / folder / "report.pdf").write_bytes(b"%PDF of it")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> FolderResults:
    for key, kind in (("a/1.dcm", "normal"), ("a/2.dcm", "abnormal"), ("b.png", "rejected")):
        save(tmp_path, record(kind, key=key))
    return FolderResults(tmp_path)


def keys(store: FolderResults) -> list[str]:
    return [row.result.key for row in most_urgent_first(store.listing().results)]


def test_abnormal_comes_first(store: FolderResults) -> None:
    assert keys(store) == ["a/2.dcm", "b.png", "a/1.dcm"]


def test_changes_show_in_the_next_listing(store: FolderResults, tmp_path: Path) -> None:
    store.listing()
    save(tmp_path, record(key="c.dcm"))
    (tmp_path / "a/1.dcm/record.json").unlink()
    path = tmp_path / "b.png/record.json"
    path.write_bytes(records.to_json(record("normal", key="b.png")))
    os.utime(path, ns=(1, 1))
    assert keys(store) == ["a/2.dcm", "c.dcm", "b.png"]
    assert {row.result.key: row.result.kind for row in store.listing().results}["b.png"] == "normal"


def test_what_is_no_record_is_counted(store: FolderResults, tmp_path: Path) -> None:
    for name, content in (("x", b"{"), ("y", b"[]"), ("z", b'{"triage": 1}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_bytes(content)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/record.json").symlink_to(tmp_path / "b.png/record.json")
    (tmp_path / "record.json").write_bytes(b"{}")  # beside the results, not one of them
    listing = store.listing()
    assert (len(listing.results), listing.unreadable) == (3, 3)


def test_opened_record_must_be_valid(store: FolderResults, tmp_path: Path) -> None:
    assert store.record("a/2.dcm") == record(key="a/2.dcm")
    (tmp_path / "b.png/record.json").write_bytes(b'{"schema_version": "1.0"}')
    with pytest.raises(ContractError, match="breaks its schema"):
        store.record("b.png")


def test_other_files_of_a_result(store: FolderResults, tmp_path: Path) -> None:
    assert store.file("a/2.dcm", "report.pdf") == b"%PDF of it"
    (tmp_path / "a/2.dcm/dicom").mkdir()
    (tmp_path / "a/2.dcm/dicom/sr.dcm").write_bytes(b"SR")
    assert store.file("a/2.dcm", "dicom/sr.dcm") == b"SR"
    with pytest.raises(InvalidRequestError):
        store.file("a/2.dcm", "../2.dcm/report.pdf")
    with pytest.raises(StorageUnavailableError):
        store.file("a/2.dcm", "thumbnail.jpg")


@pytest.mark.parametrize("folder", ["", "..", "a/../..", "a//1.dcm", "/etc", "linked"])
def test_nothing_outside_is_read(store: FolderResults, tmp_path: Path, folder: str) -> None:
    (tmp_path / "linked").symlink_to("/etc")
    with pytest.raises((InvalidRequestError, StorageUnavailableError)):
        store.file(folder, "passwd")


def test_file_that_is_a_link_is_not_followed(store: FolderResults, tmp_path: Path) -> None:
    (tmp_path / "a/2.dcm/thumbnail.jpg").symlink_to("/etc/passwd")
    with pytest.raises(StorageUnavailableError):
        store.file("a/2.dcm", "thumbnail.jpg")


def test_errors_do_not_say_the_name(store: FolderResults) -> None:
    with pytest.raises(StorageUnavailableError) as caught:
        store.file("SMITH^JOHN/1.dcm", "record.json")
    assert "SMITH" not in str(caught.value)


def test_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="check that it is there"):
        FolderResults(tmp_path / "none").listing()


def test_review_is_saved_beside_the_record(store: FolderResults, tmp_path: Path) -> None:
    of = store.record("a/2.dcm")
    before = (tmp_path / "a/2.dcm/record.json").read_bytes()
    assert store.review("a/2.dcm", record=of).tag is None
    store.save_review("a/2.dcm", review(of), tag=None)
    found = store.review("a/2.dcm", record=of)
    assert version_of(found.review) == 1
    store.save_review("a/2.dcm", review(of, revision(), revision(note="two")), tag=found.tag)
    assert version_of(store.review("a/2.dcm", record=of).review) == 2
    assert (tmp_path / "a/2.dcm/record.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "a/2.dcm").iterdir()) == [
        "record.json",
        "report.pdf",
        "review.json",
    ]
    assert [row.reviewed for row in most_urgent_first(store.listing().results)] == [
        True,
        False,
        False,
    ]


def test_second_of_two_reviewers_is_told(store: FolderResults) -> None:
    of = store.record("a/2.dcm")
    seen = store.review("a/2.dcm", record=of)
    store.save_review("a/2.dcm", review(of), tag=seen.tag)
    with pytest.raises(ReviewConflictError, match="somebody saved another"):
        store.save_review("a/2.dcm", review(of, revision(note="mine")), tag=seen.tag)
    kept = store.review("a/2.dcm", record=of).review
    assert kept == review(of)


def test_of_many_at_once_one_wins(store: FolderResults) -> None:
    of = store.record("a/2.dcm")
    content, won = review(of), []
    start = threading.Barrier(8)

    def save_mine() -> None:
        start.wait()
        try:
            store.save_review("a/2.dcm", content, tag=None)
        except ReviewConflictError:
            return
        won.append(1)

    threads = [threading.Thread(target=save_mine) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_review_of_an_older_record_is_kept_apart(store: FolderResults, tmp_path: Path) -> None:
    """After other models made a new record, the old review is not its; saving needs its tag."""
    of = store.record("a/2.dcm")
    older = to_json(review(of)).replace(of["model_set"].encode(), b"f" * 16)
    (tmp_path / "a/2.dcm/review.json").write_bytes(older)
    found = store.review("a/2.dcm", record=of)
    assert found.review is None
    assert found.tag is not None
    with pytest.raises(ReviewConflictError):
        store.save_review("a/2.dcm", review(of), tag=None)
    store.save_review("a/2.dcm", review(of), tag=found.tag)


@pytest.mark.slow
def test_five_thousand_results_are_listed_in_two_seconds(tmp_path: Path) -> None:
    """Of processor time, which does not depend on who else uses the machine."""
    for index in range(5000):
        kind = ("abnormal", "normal", "normal", "rejected")[index % 4]
        save(tmp_path, record(kind, key=f"{index // 50:03d}/{index:05d}.dcm"))
    store = FolderResults(tmp_path)
    begun = time.process_time()
    assert len(store.listing().results) == 5000
    first = time.process_time() - begun
    begun = time.process_time()
    store.listing()
    again = time.process_time() - begun
    assert first < 2.0
    assert again < 1.0
