"""What both functions of the archive start from: their settings, and the job's documents in S3."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdas.shared.errors import ConfigError, InvalidRequestError
from lambdas.shared.passthrough import parse_passthrough
from lambdas.shared.storage import Storage

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
