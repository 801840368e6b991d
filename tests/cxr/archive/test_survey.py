"""What is there, and what of it is done."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from cxr.archive import survey as surveying
from cxr.archive.files import JobFiles
from cxr.archive.survey import done_ids, survey
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import image_id_of, result_key

MODEL_SET = "0123456789abcdef"


def image(number: int, **changes: Any) -> ImageRef:
    values = {"version_id": f"v{number}", "etag": None, "size_bytes": 1000} | changes
    return ImageRef("pacs", f"{number}.dcm", **values)


def listing_of(images: Sequence[ImageRef]) -> Any:
    def listing(cursor: Mapping[str, Any]) -> Iterator[tuple[ImageRef, dict[str, Any]]]:
        for found in images:
            yield found, {}

    return listing


def put_result(files: JobFiles, found: ImageRef, name: str = "record.json") -> None:
    image_id = image_id_of(found.bucket, found.key, found.version)
    files.write(result_key(MODEL_SET, image_id, name), b"{}")


def test_nothing_is_done_where_there_are_no_results(files: JobFiles) -> None:
    found = survey(listing_of([image(n) for n in range(5)]), done_ids(files, MODEL_SET))
    assert (found.images, found.size_bytes, found.done, found.to_do) == (5, 5000, 0, 5)


def test_images_with_a_record_of_these_models_are_done(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image(n) for n in range(40)]
    for done in images[:15]:
        put_result(files, done)
        put_result(files, done, "report.pdf")
    put_result(files, image(999))  # not in the listing
    monkeypatch.setattr(surveying, "CHUNK", 7)
    found = survey(listing_of(images), done_ids(files, MODEL_SET))
    assert (found.images, found.done, found.unknown) == (40, 15, 0)


def test_files_without_their_record_are_not_done(files: JobFiles) -> None:
    put_result(files, image(1), "report.pdf")
    assert done_ids(files, MODEL_SET).size == 0


def test_records_of_other_models_are_not_done(files: JobFiles) -> None:
    put_result(files, image(1))
    assert survey(listing_of([image(1)]), done_ids(files, "f" * 16)).done == 0


def test_another_version_of_an_image_is_another_image(files: JobFiles) -> None:
    put_result(files, image(1))
    done = done_ids(files, MODEL_SET)
    assert survey(listing_of([image(1, version_id="v2")]), done).done == 0


def test_what_is_listed_without_version_is_unknown_not_undone(files: JobFiles) -> None:
    put_result(files, image(1))
    bare = image(2, version_id=None, size_bytes=None)
    found = survey(listing_of([image(1), bare]), done_ids(files, MODEL_SET))
    assert (found.done, found.unknown, found.unsized, found.size_bytes) == (1, 1, 1, 1000)


def test_progress_is_told_as_the_listing_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.setattr(surveying, "CHUNK", 2)
    told: list[int] = []
    survey(listing_of([image(n) for n in range(5)]), np.empty(0, np.uint64), tell=told.append)
    assert told == [2, 4, 5]
