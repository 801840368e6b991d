"""Counts of one batch while it runs; told by several threads, read once at the end."""

import resource
import sys
import threading
from collections import Counter
from typing import Final

from lambdas.batch.job import BatchOutcome, BatchRequest, Failure
from lambdas.shared.errors import CxrError
from lambdas.shared.limits import MIB
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import Record, image_id_of

SLOWEST: Final = 5
"""Images named in an outcome as the slowest."""

_TENTHS: Final = 10


class OutcomeTally:
    """One batch's counts."""

    def __init__(self, request: BatchRequest, attempt: int) -> None:
        self._request, self._attempt = request, attempt
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._rejections: Counter[str] = Counter()
        self._tenths = [0] * _TENTHS
        self._slowest: list[tuple[str, float]] = []
        self._failures: list[Failure] = []
        self._left: list[ImageRef] = []

    def done(self, record: Record, milliseconds: float) -> None:
        """An image has its record."""
        with self._lock:
            self._counts[record["status"]] += 1
            if record["status"] == "rejected":
                self._rejections[record["rejection"]["code"]] += 1
            else:
                triage = record["triage"]
                self._counts["positive"] += triage["positive"]
                self._tenths[min(_TENTHS - 1, int(triage["probability"] * _TENTHS))] += 1
            self._slowest.append((record["image_id"], round(milliseconds, 1)))
            self._slowest.sort(key=lambda entry: -entry[1])
            del self._slowest[SLOWEST:]

    def already_done(self) -> None:
        """There was a record."""
        with self._lock:
            self._counts["already_done"] += 1

    def gone(self) -> None:
        """The image is not there any more."""
        with self._lock:
            self._counts["gone"] += 1

    def downloaded(self, size_bytes: int) -> None:
        """Bytes have come."""
        with self._lock:
            self._counts["bytes"] += size_bytes

    def left_over(self, image: ImageRef) -> None:
        """Time ran short before this one was begun."""
        with self._lock:
            self._left.append(image)

    def failed(self, failure: Failure) -> None:
        """An image has no record."""
        with self._lock:
            self._failures.append(failure)

    def outcome(self, *, billed_ms: int) -> BatchOutcome:
        """All of it; images in the order of the request."""
        order = {image.key: place for place, image in enumerate(self._request.images)}
        return BatchOutcome(
            wave=self._request.wave,
            number=self._request.number,
            attempt=self._attempt,
            billed_ms=billed_ms,
            analysed=self._counts["analysed"],
            rejected=self._counts["rejected"],
            already_done=self._counts["already_done"],
            gone=self._counts["gone"],
            positive=self._counts["positive"],
            probability_tenths=tuple(self._tenths),
            rejections=dict(sorted(self._rejections.items())),
            slowest=tuple(self._slowest),
            failures=tuple(sorted(self._failures, key=lambda entry: order[entry.image.key])),
            left=tuple(sorted(self._left, key=lambda image: order[image.key])),
            peak_memory_mb=_peak_memory_mb(),
            downloaded_bytes=self._counts["bytes"],
        )


def without_models(
    request: BatchRequest, error: CxrError, *, attempt: int, billed_ms: int
) -> BatchOutcome:
    """The outcome of a batch whose function cannot serve the job, such as with other models."""
    return BatchOutcome(
        wave=request.wave,
        number=request.number,
        attempt=attempt,
        billed_ms=billed_ms,
        failures=tuple(
            Failure(
                image,
                image_id_of(image.bucket, image.key, image.version),
                type(error).__name__,
                str(error),
            )
            for image in request.images
        ),
    )


def _peak_memory_mb() -> float:
    """Of this process, since it started."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / MIB if sys.platform == "darwin" else peak / 1024, 1)
