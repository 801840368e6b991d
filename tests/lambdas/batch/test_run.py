import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lambdas.batch.job import BatchOutcome, BatchRequest, to_document
from lambdas.batch.run import Limits, run_batch
from lambdas.report.finish import Analysis
from lambdas.shared.errors import (
    InputError,
    ResourceLimitError,
    StorageUnavailableError,
)
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import Record, Source, image_id_of

KEY = "2019/{:03d}.dcm"


def image(number: int, **changes: Any) -> ImageRef:
    return replace(ImageRef("pacs", KEY.format(number), f"v{number}", None, 1000), **changes)


def request(count: int = 12) -> BatchRequest:
    return BatchRequest("night", "results", 1, 0, tuple(map(image, range(count))), "0" * 16)


def image_id(number: int) -> str:
    return image_id_of("pacs", KEY.format(number), f"v{number}")


class FakeStore:
    """A bucket that gives each object's key as its bytes."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()
        self.done: set[str] = set()
        self.faults: dict[str, list[Exception]] = {}
        self.absent: set[str] = set()
        self.inside = self.most_inside = 0
        self._lock = threading.Lock()

    def current(self, image: ImageRef) -> ImageRef | None:
        return None if image.key in self.absent else replace(image, etag="resolved")

    def is_done(self, image_id: str) -> bool:
        return image_id in self.done

    def fetch(self, image: ImageRef) -> bytes | None:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        if faults := self.faults.get(image.key):
            self.leave()
            raise faults.pop(0)
        if image.key in self.absent:
            self.leave()
            return None
        return image.key.encode()

    def publish(self, record: Record, files: dict[str, bytes]) -> None:
        self.leave()
        self.published[record["image_id"]] += 1
        self.done.add(record["image_id"])

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1


class FakeAnalyst:
    """Probability by the number in the key; `bad` ones are rejected, `fatal` ones raise."""

    def __init__(self, bad: set[int] | None = None, fatal: set[int] | None = None) -> None:
        self.bad, self.fatal = bad or set(), fatal or set()
        self.busy = threading.Lock()

    def analyse(self, data: bytes, source: Source) -> Analysis:
        assert self.busy.acquire(blocking=False), "an analyst has one image at a time"
        try:
            number = int(data.decode()[-7:-4])
            if number in self.fatal:
                raise RuntimeError(f"secret {source.key}")
            if number in self.bad:
                return self.reject(source, ResourceLimitError("no", code="too_many_pixels"))
            triage = {"positive": number % 2 == 0, "probability": min(1.0, number / 10)}
            record = {"image_id": source.image_id, "status": "analysed", "triage": triage}
            return Analysis(record, {"report.pdf": b""})
        finally:
            self.busy.release()

    def reject(self, source: Source, error: InputError) -> Analysis:
        return Analysis(
            {
                "image_id": source.image_id,
                "status": "rejected",
                "rejection": {"code": error.code, "message": error.message},
            },
            {},
        )


def run(
    store: FakeStore,
    *,
    wanted: BatchRequest | None = None,
    bad: set[int] | None = None,
    fatal: set[int] | None = None,
    seconds_left: Callable[[], float] = lambda: 300.0,
    said: list[tuple[str, str]] | None = None,
) -> BatchOutcome:
    heard = said if said is not None else []
    outcome = run_batch(
        wanted or request(),
        attempt=1,
        store=store,
        analysts=[FakeAnalyst(bad, fatal), FakeAnalyst(bad, fatal)],
        limits=Limits(seconds_left, 75.0, lambda: 1234),
        say=lambda image_id, error: heard.append((image_id, repr(error))),
    )
    assert BatchOutcome.from_document(to_document(outcome)) == outcome
    assert outcome.images == len((wanted or request()).images)
    return outcome


def test_every_image_is_published_once() -> None:
    store = FakeStore()
    outcome = run(store)
    assert store.published == {image_id(number): 1 for number in range(12)}
    assert (outcome.analysed, outcome.positive, outcome.billed_ms) == (12, 6, 1234)
    assert outcome.probability_tenths == (1,) * 9 + (3,)
    assert len(outcome.slowest) == 5


def test_what_is_done_is_not_done_again() -> None:
    store = FakeStore()
    store.done = {image_id(3), image_id(4)}
    outcome = run(store)
    assert (outcome.analysed, outcome.already_done) == (10, 2)
    assert image_id(3) not in store.published


def test_image_without_a_version_is_looked_up_first() -> None:
    store = FakeStore()
    store.absent = {KEY.format(1)}
    images = (image(0, version_id=None), image(1, version_id=None))
    outcome = run(store, wanted=replace(request(), images=images))
    assert (outcome.analysed, outcome.gone) == (1, 1)
    assert set(store.published) == {image_id_of("pacs", KEY.format(0), "resolved")}


def test_deleted_image_is_counted_as_gone() -> None:
    store = FakeStore()
    store.absent = {KEY.format(5)}
    outcome = run(store)
    assert (outcome.analysed, outcome.gone, outcome.failures) == (11, 1, ())


def test_rejected_image_is_a_result() -> None:
    outcome = run(FakeStore(), bad={2, 7})
    assert (outcome.analysed, outcome.rejected) == (10, 2)
    assert outcome.rejections == {"too_many_pixels": 2}


def test_image_too_large_to_download_is_rejected() -> None:
    store = FakeStore()
    store.faults = {KEY.format(1): [ResourceLimitError("257 MiB", code="too_many_bytes")]}
    outcome = run(store)
    assert outcome.rejections == {"too_many_bytes": 1}
    assert store.published[image_id(1)] == 1


def test_transient_fault_is_tried_again_at_the_end() -> None:
    store = FakeStore()
    store.faults = {KEY.format(n): [StorageUnavailableError("503")] for n in range(6)}
    outcome = run(store)
    assert (outcome.analysed, outcome.failures) == (12, ())


def test_transient_fault_that_stays_is_a_failure_with_its_reason() -> None:
    store = FakeStore()
    store.faults = {KEY.format(4): [StorageUnavailableError("S3 answered 503")] * 2}
    outcome = run(store)
    (failure,) = outcome.failures
    assert (failure.image, failure.image_id) == (image(4), image_id(4))
    assert (failure.reason, failure.message) == ("StorageUnavailableError", "S3 answered 503")
    assert outcome.analysed == 11


def test_unforeseen_error_fails_its_image_alone_and_is_told_without_its_text() -> None:
    said: list[tuple[str, str]] = []
    outcome = run(FakeStore(), fatal={6}, said=said)
    (failure,) = outcome.failures
    assert failure.reason == "RuntimeError"
    assert "secret" not in failure.message
    assert [name for name, _ in said] == [image_id(6)]
    assert outcome.analysed == 11


def test_no_image_is_begun_that_cannot_be_finished() -> None:
    store = FakeStore()
    left = iter([300.0] * 9)
    outcome = run(store, seconds_left=lambda: next(left, 10.0))
    assert outcome.left
    assert outcome.analysed == len(store.published) == 12 - len(outcome.left)
    assert outcome.left == tuple(sorted(outcome.left, key=lambda entry: entry.key))


@pytest.mark.parametrize(("size", "most"), [(100 * 2**20, 3), (1000 * 2**20, 1)])
def test_bytes_in_flight_are_bounded(size: int, most: int) -> None:
    store = FakeStore()
    images = tuple(image(number, size_bytes=size) for number in range(30))
    outcome = run(store, wanted=replace(request(), images=images))
    assert outcome.analysed == 30
    assert store.most_inside <= most
