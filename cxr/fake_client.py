"""A client for the consumers' own tests: no cloud, no models, no waiting.

    from cxr.fake_client import FakeClient, abnormal, pending, rejected

    client = FakeClient({"a.png": abnormal(("Cardiomegaly", 0.9)), "b.png": rejected()})
    for result in client.submit("a.png", "b.png").results():
        ...

Its records are valid under the record's schema, its reports are PDF files, and one test holds it to
the same behaviour as the real clients.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from cxr.client import StillPendingError, Submitted, collect
from cxr.client_types import ImageResult
from cxr.event_message import read_address
from cxr.fake_records import FINISHED_AT, Answer, abnormal, fake_result, normal, pending, rejected
from cxr.submitted_files import find_images
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.events import EVENT_DETAIL_TYPE, EVENT_SOURCE, processed_event
from lambdas.shared.records import Source

__all__ = ["Answer", "FakeClient", "FakeSubmission", "abnormal", "normal", "pending", "rejected"]


class FakeClient:
    """See `cxr.client.Client`.

    Args:
        answers: By name of the file, without folders.
        otherwise: For every other image.
    """

    def __init__(
        self, answers: Mapping[str, Answer] | None = None, *, otherwise: Answer | None = None
    ) -> None:
        self._answers = dict(answers or {})
        self._otherwise = otherwise or normal()
        self._results: dict[str, ImageResult] = {}

    def submit(self, *paths: str | Path) -> "FakeSubmission":
        """Take names of files, there or not, and folders that are there; see `Client.submit`."""
        if not paths:
            raise InvalidRequestError("no images in nothing")
        images: list[Submitted] = []
        for path in map(Path, paths):
            found = [image.path for image in find_images([path])] if path.is_dir() else [path]
            images += [self._take(file) for file in found]
        return FakeSubmission(tuple(images), self._results)

    def results(
        self,
        *,
        since: date | None = None,
        until: date | None = None,
        model_set: str | None = None,
    ) -> Iterator[ImageResult]:
        """Results of all that was submitted; see `Client.results`."""
        day = FINISHED_AT.date()
        if (since is None or day >= since) and (until is None or day <= until):
            yield from (
                result for result in self._results.values() if model_set in (None, result.model_set)
            )

    def result(self, image_id: str, *, model_set: str | None = None) -> ImageResult | None:
        """One image's result; see `Client.result`."""
        found = self._results.get(image_id)
        return found if found and model_set in (None, found.model_set) else None

    def result_of(self, event: Mapping[str, Any]) -> ImageResult:
        """An event's result; see `Client.result_of`."""
        found = self._results.get(read_address(event).image_id)
        if found is None:
            raise InvalidRequestError("the event tells of a record that is not there any more")
        return found

    def event_of(self, image_id: str) -> dict[str, Any]:
        """The event that tells of a result, as EventBridge gives it to its targets."""
        result = self._results[image_id]
        return {
            "version": "0",
            "id": image_id,
            "source": EVENT_SOURCE,
            "detail-type": EVENT_DETAIL_TYPE,
            "time": FINISHED_AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "account": "111122223333",
            "region": "eu-west-1",
            "resources": [],
            "detail": processed_event(result.record, record_uri=result.address),
        }

    def _take(self, path: Path) -> Submitted:
        key = f"images/{path.name}"
        digest = hashlib.sha256(path.read_bytes() if path.is_file() else key.encode()).hexdigest()
        source = Source(bucket="fake-intake", key=key, version=digest[:32], sha256=digest)
        answer = self._answers.get(path.name, self._otherwise)
        if answer.content is not None:
            self._results[source.image_id] = fake_result(source, answer.content)
        return Submitted(path, source.image_id)


class FakeSubmission:
    """See `cxr.client.Submission`."""

    def __init__(self, images: tuple[Submitted, ...], known: Mapping[str, ImageResult]) -> None:
        self.images = images
        self._known = known
        self._pending = {image.image_id: image for image in images}

    @property
    def pending(self) -> tuple[Submitted, ...]:
        """Without a result so far."""
        return tuple(self._pending.values())

    def results(self, *, timeout_s: float | None = None) -> Iterator[ImageResult]:
        """All that there is, at once."""
        for image_id in list(self._pending):
            if image_id in self._known:
                del self._pending[image_id]
                yield self._known[image_id]
        if self._pending:
            raise StillPendingError(
                f"{len(self._pending)} of {len(self.images)} images have no result, as told",
                self.pending,
            )

    def wait(self, *, timeout_s: float | None = None) -> tuple[ImageResult, ...]:
        """All that were pending."""
        return collect(self.images, self.results(timeout_s=timeout_s))
