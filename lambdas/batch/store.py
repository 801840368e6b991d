"""S3 as an archive job sees it: the job's documents, its images, its results."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdas.batch.analyse import Models, analyse
from lambdas.report.finish import Analysis, Found, finish
from lambdas.report.stage import publish
from lambdas.shared.errors import ConfigError, InputError, InvalidRequestError
from lambdas.shared.events import EVENT_DETAIL_TYPE, processed_event
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageRef
from lambdas.shared.passthrough import parse_passthrough
from lambdas.shared.records import RECORD_FILE, Record, Source, result_key
from lambdas.shared.storage import EventBus, Storage

_READERS: Final = 24
"""Threads that read a wave's outcomes."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What the functions of the archive must know.

    Attributes:
        models: Folder of the bundles.
        results_bucket: Where records and jobs lie.
        event_bus: For jobs that ask for events.
        image_seconds: The longest one image may take; with less time left none is begun.
        passthrough: DICOM attributes that go into records.
    """

    models: Path
    results_bucket: str
    event_bus: str
    image_seconds: int
    passthrough: frozenset[str]

    @classmethod
    def from_env(cls) -> "BatchSettings":
        """Read the environment.

        Raises:
            ConfigError: Lists every variable that is missing or has a wrong value.
        """
        names = ("CXR_MODELS", "CXR_RESULTS_BUCKET", "CXR_EVENT_BUS", "CXR_IMAGE_SECONDS")
        values = {name: os.environ.get(name, "") for name in names}
        problems = [f"{name} is missing" for name, value in values.items() if not value]
        seconds = values["CXR_IMAGE_SECONDS"]
        if seconds and not (seconds.isdecimal() and int(seconds) > 0):
            problems.append(f"CXR_IMAGE_SECONDS is {seconds!r}, expected whole seconds from 1")
        passthrough: frozenset[str] = frozenset()
        try:
            passthrough = parse_passthrough(os.environ.get("CXR_PASSTHROUGH", ""))
        except InvalidRequestError as error:
            problems.append(f"CXR_PASSTHROUGH: {error.message}")
        if problems:
            raise ConfigError("environment of the function: " + "; ".join(problems))
        return cls(
            models=Path(values["CXR_MODELS"]),
            results_bucket=values["CXR_RESULTS_BUCKET"],
            event_bus=values["CXR_EVENT_BUS"],
            image_seconds=int(seconds),
            passthrough=passthrough,
        )


@dataclass(frozen=True)
class S3JobStore:
    """The job's documents in the results bucket."""

    storage: Storage

    def read_json(self, key: str) -> Any | None:
        """A document, None if there is none."""
        data = self.storage.read(key)
        return None if data is None else json.loads(data)

    def read_many(self, keys: Sequence[str]) -> list[Any | None]:
        """Documents in the order of their keys, read side by side."""
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(self.read_json, keys))

    def write_json(self, key: str, document: Any) -> None:
        """Write or replace a document."""
        self.storage.put(key, json.dumps(document).encode())

    def exists(self, key: str) -> bool:
        """Whether there is such a document."""
        return self.storage.exists(key)


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
        publish(Analysis(record, files), storage=self.storage)
        if self.events is not None:
            key = result_key(record["model_set"], record["image_id"], RECORD_FILE)
            detail = processed_event(record, record_uri=self.storage.uri(key))
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
