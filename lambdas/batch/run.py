"""A batch of images in one process: download, decode, inference and writing overlap.

Fetchers, analysts and writers are threads that hand images on. Bytes in flight are bounded, so
memory stays the same over any number of images. One image's failure is never another's.
"""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from lambdas.batch.job import BatchOutcome, BatchRequest, Failure
from lambdas.batch.tally import OutcomeTally
from lambdas.report.finish import Analysis
from lambdas.shared.errors import CxrError, InputError, TransientError
from lambdas.shared.limits import MAX_FILE_BYTES, MIB
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import Record, Source

FETCHERS: Final = 6
"""A GET takes 20 to 100 ms, most of it waiting; six keep two analysts busy."""

WRITERS: Final = 6
"""Three PUTs for each image, again mostly waiting."""

BYTES_AHEAD: Final = MAX_FILE_BYTES + 64 * MIB
"""Most bytes of images between download and written result: the largest one and a few films."""

USUAL_BYTES: Final = 16 * MIB
"""Set aside for an image whose size the listing did not tell."""

TRIES: Final = 2
"""For a transient fault, beyond the retries of the client: once at once, once at the end."""


class ImageStore(Protocol):
    """What a batch needs of S3 and the event bus; safe for several threads."""

    def current(self, image: ImageRef) -> ImageRef | None:
        """The image with its version or ETag; None if it is gone."""

    def is_done(self, image_id: str) -> bool:
        """Whether there is a record of these models."""

    def fetch(self, image: ImageRef) -> bytes | None:
        """The bytes of this version; None if it is gone.

        Raises:
            InputError: Too large to be read.
            TransientError: Later, perhaps.
        """

    def publish(self, record: Record, files: dict[str, bytes]) -> None:
        """Write the files, then the record unless there is one."""


class Analyst(Protocol):
    """Analyses images one after the other, in a thread of its own."""

    def analyse(self, data: bytes, source: Source) -> Analysis:
        """A bad image is a result."""

    def reject(self, source: Source, error: InputError) -> Analysis:
        """The result of an image that could not even be downloaded."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may take.

    Attributes:
        seconds_left: Until the function is killed.
        image_seconds: The longest one image may take; with less time left none is begun.
        billed_ms: What this invocation will be billed if it ends now.
    """

    seconds_left: Callable[[], float]
    image_seconds: float
    billed_ms: Callable[[], int]


def run_batch(
    request: BatchRequest,
    *,
    attempt: int,
    store: ImageStore,
    analysts: Sequence[Analyst],
    limits: Limits,
    say: Callable[[str, BaseException], None],
) -> BatchOutcome:
    """Analyse every image of the batch that has no record yet.

    Args:
        request: Pointers to the images.
        attempt: From 1.
        store: Of images and results.
        analysts: One for each thread that analyses.
        limits: On time.
        say: Called with image_id and error for what no code foresees.
    """
    tally = OutcomeTally(request, attempt)
    waiting: Sequence[ImageRef] = request.images
    for turn in range(TRIES):
        last = turn == TRIES - 1
        run = _Turn(store=store, analysts=analysts, limits=limits, tally=tally, say=say)
        waiting = run.work(waiting, last=last)
        if not waiting:
            break
    return tally.outcome(billed_ms=limits.billed_ms())


class _Turn:
    """One pass over some images; returns those worth another."""

    def __init__(
        self,
        *,
        store: ImageStore,
        analysts: Sequence[Analyst],
        limits: Limits,
        tally: OutcomeTally,
        say: Callable[[str, BaseException], None],
    ) -> None:
        self._store, self._limits, self._tally, self._say = store, limits, tally, say
        self._idle: queue.SimpleQueue[Analyst] = queue.SimpleQueue()
        for analyst in analysts:
            self._idle.put(analyst)
        self._analysts = len(analysts)
        self._ahead = _Ahead(BYTES_AHEAD)
        self._again: list[ImageRef] = []
        self._last = False
        self._pending = threading.Semaphore(0)

    def work(self, images: Sequence[ImageRef], *, last: bool) -> list[ImageRef]:
        """Take the images through all steps; returns those worth another turn."""
        self._last = last
        with (
            ThreadPoolExecutor(FETCHERS) as self._fetching,
            ThreadPoolExecutor(self._analysts) as self._analysing,
            ThreadPoolExecutor(WRITERS) as self._writing,
        ):
            for image in images:
                self._fetching.submit(self._fetch, image)
            for _ in images:
                self._pending.acquire()
        return self._again

    def _fetch(self, image: ImageRef) -> None:
        """First step: skip what is done, gone, or cannot be finished; download the rest."""
        size = min(image.size_bytes or USUAL_BYTES, BYTES_AHEAD)
        self._ahead.take(size)
        item = _Item(image, size)
        with _Settling(self, item):
            if self._limits.seconds_left() < self._limits.image_seconds:
                self._settle(item, lambda: self._tally.left_over(image))
                return
            current = image if image.version else self._store.current(image)
            if current is None:
                self._settle(item, lambda: self._tally.gone())
                return
            item.image = current
            item.source = _source(current, None)
            if self._store.is_done(item.source.image_id):
                self._settle(item, lambda: self._tally.already_done())
                return
            try:
                data = self._store.fetch(current)
            except InputError as error:
                item.refusal = error
                data = b""
            if data is None:
                self._settle(item, lambda: self._tally.gone())
                return
            if item.refusal is None:
                item.data = data
                item.source = _source(current, hashlib.sha256(data).hexdigest())
                self._tally.downloaded(len(data))
            self._analysing.submit(self._analyse, item)

    def _analyse(self, item: "_Item") -> None:
        """Second step: the stages, in whichever analyst is idle."""
        with _Settling(self, item):
            if self._limits.seconds_left() < self._limits.image_seconds:
                self._settle(item, lambda: self._tally.left_over(item.image))
                return
            begun = time.perf_counter()
            analyst = self._idle.get()
            try:
                source = item.known_source
                if item.refusal is not None:
                    item.analysis = analyst.reject(source, item.refusal)
                else:
                    item.analysis = analyst.analyse(item.data, source)
            finally:
                self._idle.put(analyst)
            item.milliseconds = (time.perf_counter() - begun) * 1000
            item.data = b""
            self._writing.submit(self._write, item)

    def _write(self, item: "_Item") -> None:
        """Last step: the files, then the record."""
        with _Settling(self, item):
            analysis = item.analysis
            if analysis is None:
                raise AssertionError("an image is written after it was analysed")
            self._store.publish(analysis.record, analysis.files)
            self._settle(item, lambda: self._tally.done(analysis.record, item.milliseconds))

    def _settle(self, item: "_Item", tell: Callable[[], None]) -> None:
        """An image has ended, in whatever way; exactly once."""
        if not item.settled:
            item.settled = True
            tell()
            self._ahead.give_back(item.size)
            self._pending.release()

    def fail(self, item: "_Item", error: BaseException) -> None:
        """An image has no record: perhaps another turn, else a failure with its reason."""
        if isinstance(error, TransientError) and not self._last:
            self._settle(item, lambda: self._again.append(item.image))
            return
        image_id = _source(item.image, None).image_id
        if isinstance(error, CxrError):
            sentence = str(error)
        else:  # its text may hold anything
            sentence = "unexpected; the function's log has the error with this image_id"
            self._say(image_id, error)
        failure = Failure(item.image, image_id, type(error).__name__, sentence)
        self._settle(item, lambda: self._tally.failed(failure))


@dataclass(slots=True)
class _Item:
    """One image on its way through the steps."""

    image: ImageRef
    size: int
    source: Source | None = None
    data: bytes = b""
    refusal: InputError | None = None
    analysis: Analysis | None = None
    milliseconds: float = 0.0
    settled: bool = False

    @property
    def known_source(self) -> Source:
        """The source, which fetching has filled in."""
        if self.source is None:
            raise AssertionError("an image is analysed after it was fetched")
        return self.source


class _Settling:
    """Whatever a step raises becomes the image's failure; nothing else stops for it."""

    def __init__(self, turn: _Turn, item: _Item) -> None:
        self._turn, self._item = turn, item

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            self._turn.fail(self._item, error)
        return isinstance(error, Exception) or error is None


class _Ahead:
    """Bytes that may be in flight; something larger than all of them goes alone."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._limit)
            self._used += size

    def give_back(self, size: int) -> None:
        """Room again."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()


def _source(image: ImageRef, sha256: str | None) -> Source:
    return Source(bucket=image.bucket, key=image.key, version=image.version, sha256=sha256)
