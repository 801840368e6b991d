"""What every streaming stage does around its work, once for all of them.

parse → time left? → these models? → already done? → read this very version → work → send on

Order within a stage: compute, send the next message, and only then is this one deleted (by the
queue, when the handler has returned without an error). So a kill between any two steps leaves this
message to come again. Only a final record stops a duplicate.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from lambdas.shared import metric_names
from lambdas.shared.bundle import BundlePair
from lambdas.shared.config import StageSettings
from lambdas.shared.errors import ContractError, InputError, OutOfTimeError
from lambdas.shared.flow import FIRST_STAGE, next_stage
from lambdas.shared.messages import ImageMessage, ImageRef, parse_message
from lambdas.shared.records import Record, Source, image_id_of

RESTART_SECONDS: Final = 60
"""Until an image whose models have changed starts again: a deployment replaces functions within
minutes, and until then it would only go round."""


class ImageStorage(Protocol):
    """What the stages need of `storage.Storage`."""

    def fetch(self, image: ImageRef) -> bytes | None:
        """The bytes of this version, None if it is gone."""

    def record(self, model_set: str, image_id: str) -> Record | None:
        """The final record, None while there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Write or replace a result's file."""

    def put_first(self, key: str, data: bytes) -> bool:
        """Write a result's file unless there is one."""

    def uri(self, key: str) -> str:
        """Address of a result's file."""


class MessageQueues(Protocol):
    """What the stages need of `storage.Queues`."""

    def send(self, url: str, body: str, *, delay_seconds: int = 0) -> None:
        """Send a message."""


class Telemetry(Protocol):
    """What the stages need of `telemetry`."""

    def count(self, name: str, value: float = 1) -> None:
        """Add a value to a metric."""

    def about(self, image_id: str | None) -> None:
        """Name the image that log lines are about."""

    def note(self, sentence: str, **details: str | int | float) -> None:
        """Log a sentence and details, none of which say whose image it is."""


Work = Callable[[ImageMessage, bytes], ImageMessage]
"""A stage's work on an image's bytes: the message with what it has found.

Raises `InputError` where the image is to blame.
"""


@dataclass(frozen=True)
class Streaming:
    """A stage's surroundings: settings, models, and what it sends to.

    Attributes:
        settings: Of the function.
        pair: Bundles, of which this stage may run one.
        storage: Of images and results.
        queues: Of all stages.
        telemetry: Logs and metrics.
    """

    settings: StageSettings
    pair: BundlePair
    storage: ImageStorage
    queues: MessageQueues
    telemetry: Telemetry

    def begin(self, body: str, milliseconds_left: Callable[[], int]) -> "Begun | None":
        """Read a message; None if there is nothing to be done for it.

        Raises:
            OutOfTimeError: The image could not be finished.
            ContractError: The message is none of ours.
        """
        message = parse_message(body)
        image = message.image
        if image.version is None:
            raise ContractError("a message names neither version nor ETag of its object")
        image_id = image_id_of(image.bucket, image.key, image.version)
        self.telemetry.about(image_id)
        left = milliseconds_left() / 1000
        if left < self.settings.image_seconds:
            raise OutOfTimeError(
                f"{left:.0f} s are left, {self.settings.image_seconds} are set aside for an image"
            )
        if image.key.endswith("/") and image.size_bytes == 0:
            self.telemetry.note("folder marker skipped")
            return None
        if message.model_set is None:
            message = replace(message, model_set=self.pair.model_set)
        elif message.model_set != self.pair.model_set:
            self._restart(image)
            return None
        # an image that takes all memory or time leaves no other line that names it
        self.telemetry.note(f"{self.settings.stage} begun")
        return Begun(message, image_id, self.storage.record(self.pair.model_set, image_id))

    def work_and_send(self, body: str, milliseconds_left: Callable[[], int], *, work: Work) -> None:
        """The whole of a stage but the last: do its work on an image, send the next message."""
        begun = self.begin(body, milliseconds_left)
        if begun is None:
            return
        if begun.record is not None:
            self.telemetry.count(metric_names.DUPLICATES)
            self.telemetry.note("already done")
            return
        started = time.perf_counter()
        message = begun.message
        try:
            data = self.storage.fetch(message.image)
            if data is None:
                self.gone()
                return
            message = replace(message, sha256=hashlib.sha256(data).hexdigest())
            message = work(message, data)
        except InputError as error:
            message = replace(
                message, triage=None, findings=None, rejection=(error.code, error.message)
            )
        self._send_on(message)
        self.done(message, started)

    def gone(self) -> None:
        """The object was deleted or overwritten: what came in its place has an event of its own."""
        self.telemetry.count(metric_names.IMAGES_GONE)
        self.telemetry.note("image is gone")

    def done(self, message: ImageMessage, started: float) -> None:
        """Tell how long the image took and what became of it."""
        milliseconds = (time.perf_counter() - started) * 1000
        self.telemetry.count(metric_names.IMAGE_MILLISECONDS, round(milliseconds, 1))
        outcome = f"rejected ({message.rejection[0]})" if message.rejection else "done"
        self.telemetry.note(f"{self.settings.stage} {outcome}", milliseconds=round(milliseconds))

    def _send_on(self, message: ImageMessage) -> None:
        following = next_stage(
            self.settings.stage,
            rejected=message.rejection is not None,
            positive=message.triage is not None and message.triage.positive,
            detect_all=self.settings.detect_all,
        )
        if following is None:
            raise ContractError(f"stage {self.settings.stage} is the last and sends nothing on")
        self.queues.send(self.settings.queue_urls[following], message.to_body())

    def _restart(self, image: ImageRef) -> None:
        """Other models have begun this image: these begin it anew, rather than mix the two."""
        self.queues.send(
            self.settings.queue_urls[FIRST_STAGE],
            ImageMessage(image).to_body(),
            delay_seconds=RESTART_SECONDS,
        )
        self.telemetry.count(metric_names.RESTARTED)
        self.telemetry.note("models have changed; image starts again")


@dataclass(frozen=True, slots=True)
class Begun:
    """A message that asks for work.

    Attributes:
        message: With this function's model set.
        image_id: 32 hex.
        record: The final record if there is one.
    """

    message: ImageMessage
    image_id: str
    record: Record | None

    @property
    def source(self) -> Source:
        """Of the record."""
        image = self.message.image
        return Source(image.bucket, image.key, image.version, self.message.sha256)


@contextmanager
def once_readable() -> Iterator[None]:
    """Around reading an image again: what could be read before is no bad image now.

    A machine that was short of time or memory must not turn an abnormal film into a rejected one.

    Raises:
        ContractError: In the place of an `InputError`; the message stays, and is tried again.
    """
    try:
        yield
    except InputError as error:
        raise ContractError(
            f"an earlier stage has read this image, this one cannot ({error.code}): {error.message}"
        ) from error


def lap(message: ImageMessage, name: str, started: float) -> ImageMessage:
    """The message with one more duration in ms, measured until now."""
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    return replace(message, timings={**message.timings, name: milliseconds})
