"""The report stage: the last one writes the files, then the record, then tells the world.

A record is written only if there is none; whoever finds one tells the event again, since whoever
wrote it may have been killed before it did. Events are told at least once, never not at all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from lambdas.report.finish import Analysis, Found, finish
from lambdas.shared import metric_names
from lambdas.shared.errors import ContractError, InputError
from lambdas.shared.events import EVENT_DETAIL_TYPE, processed_event
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageMessage
from lambdas.shared.records import RECORD_FILE, Record, result_key, to_json
from lambdas.shared.streaming import Begun, ImageStorage, Streaming, once_readable

_COUNTED_AS: Final = {
    "analysed": metric_names.IMAGES_ANALYSED,
    "rejected": metric_names.IMAGES_REJECTED,
}


class Events(Protocol):
    """What the stage needs of `storage.EventBus`."""

    def put(self, detail_type: str, detail: dict[str, object]) -> None:
        """Put one event."""


@dataclass(frozen=True)
class ReportStage:
    """Writes results; whatever it writes, it writes in the order that kills cannot harm.

    Attributes:
        streaming: The stage's surroundings.
        reader: Decodes in a process of its own.
        events: The bus.
        formats: Optional outputs, from `lambdas.report.formats.parse_formats`.
    """

    streaming: Streaming
    reader: IsolatedReader
    events: Events
    formats: frozenset[str] = frozenset()

    def take(self, body: str, milliseconds_left: Callable[[], int]) -> None:
        """Finish one image.

        Raises:
            CxrError: The message stays in its queue.
        """
        begun = self.streaming.begin(body, milliseconds_left)
        if begun is None:
            return
        telemetry = self.streaming.telemetry
        if begun.record is not None:
            telemetry.count(metric_names.DUPLICATES)
            telemetry.note("already done; event told again")
            self._tell(begun.record)
            return
        started = time.perf_counter()
        analysis = self._analysis(begun)
        if analysis is None:
            self.streaming.gone()
            return
        record = publish(analysis, storage=self.streaming.storage)
        if record is analysis.record:
            telemetry.count(_COUNTED_AS[record["status"]])
        else:
            telemetry.count(metric_names.DUPLICATES)
        self._tell(record)
        self.streaming.done(begun.message, started)

    def _analysis(self, begun: Begun) -> Analysis | None:
        """Record and files; None if the image is gone."""
        message, settings = begun.message, self.streaming.settings
        data: bytes | None = None
        if message.rejection is None:
            data = self.streaming.storage.fetch(message.image)
            if data is None:
                return None
        elif settings.passthrough and message.sha256 is not None:
            data = self.streaming.storage.fetch(message.image)
        return finish(
            self._found(message, data),
            source=begun.source,
            pair=self.streaming.pair,
            data=data,
            timings=message.timings,
            formats=self.formats,
            source_tags=self.reader.read_tags(data or b"", settings.passthrough),
        )

    def _found(self, message: ImageMessage, data: bytes | None) -> Found:
        """What the stages before sent, with the pixels to draw on."""
        if message.rejection is not None:
            code, sentence = message.rejection
            return Found(rejection=InputError(sentence, code=code))
        if message.triage is None or data is None:
            raise ContractError("a message holds neither triage nor rejection")
        with once_readable():
            radiograph = self.reader.read(data)
        return Found(radiograph, message.triage, message.findings)

    def _tell(self, record: Record) -> None:
        uri = self.streaming.storage.uri(_record_key(record))
        self.events.put(EVENT_DETAIL_TYPE, processed_event(record, record_uri=uri))


def publish(analysis: Analysis, *, storage: ImageStorage) -> Record:
    """Write the files, and last the record; the record that stands, perhaps another's.

    Whoever handles the same message at the same time may be first: what the world is told must be
    what their record says.
    """
    record = analysis.record
    for name, content in analysis.files.items():
        storage.put(result_key(record["model_set"], record["image_id"], name), content)
    if storage.put_first(_record_key(record), to_json(record)):
        return record
    return storage.record(record["model_set"], record["image_id"]) or record


def _record_key(record: Record) -> str:
    return result_key(record["model_set"], record["image_id"], RECORD_FILE)
