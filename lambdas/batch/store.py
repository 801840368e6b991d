"""A batch's images and results in S3, and the stages that make one of the other."""

from dataclasses import dataclass

from lambdas.batch.analyse import Models, analyse
from lambdas.report.finish import Analysis, Found, finish
from lambdas.report.stage import publish
from lambdas.shared.errors import InputError
from lambdas.shared.events import EVENT_DETAIL_TYPE, processed_event
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import RECORD_FILE, Record, Source, result_key
from lambdas.shared.storage import EventBus, Storage


@dataclass(frozen=True)
class BatchStore:
    """Images and results of a batch.

    Attributes:
        storage: S3.
        model_set: Whose records count.
        events: The bus, None where the job asks for no events.
    """

    storage: Storage
    model_set: str
    events: EventBus | None = None

    def current(self, image: ImageRef) -> ImageRef | None:
        """The image with its version or ETag; None if it is gone."""
        return self.storage.current(image)

    def is_done(self, image_id: str) -> bool:
        """Whether there is a record of these models."""
        return self.storage.has_record(self.model_set, image_id)

    def fetch(self, image: ImageRef) -> bytes | None:
        """The bytes of this version; None if it is gone."""
        return self.storage.fetch(image)

    def publish(self, record: Record, files: dict[str, bytes]) -> None:
        """Write the files, then the record unless there is one; tell the event if asked to."""
        standing = publish(Analysis(record, files), storage=self.storage)
        if self.events is not None:
            key = result_key(record["model_set"], record["image_id"], RECORD_FILE)
            detail = processed_event(standing, record_uri=self.storage.uri(key))
            self.events.put(EVENT_DETAIL_TYPE, detail)


@dataclass(frozen=True)
class StagesAnalyst:
    """All stages on one image after the other, with a reader of its own.

    Attributes:
        models: Shared by all analysts; they may run at the same time.
        reader: Decodes in a process of its own.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Optional outputs.
        passthrough: DICOM attributes that go into records.
    """

    models: Models
    reader: IsolatedReader
    detect_all: bool
    formats: frozenset[str]
    passthrough: frozenset[str]

    def analyse(self, data: bytes, source: Source) -> Analysis:
        """A bad image is a result."""
        return analyse(
            data,
            source=source,
            models=self.models,
            reader=self.reader,
            detect_all=self.detect_all,
            formats=self.formats,
            passthrough=self.passthrough,
        )

    def reject(self, source: Source, error: InputError) -> Analysis:
        """The result of an image that could not even be downloaded."""
        found = Found(rejection=error)
        return finish(found, source=source, pair=self.models.pair, data=None, timings={})
