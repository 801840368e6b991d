"""The stages for the page: models loaded once, readers shared by all who look at it.

Sessions run in threads of one process. A graph may run in several threads at once; a reader may
not, so each analysis borrows one, and their number is how many images are in hand at a time.
"""

import contextlib
import hashlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lambdas.batch.analyse import Models, analyse, load_models
from lambdas.detect.detect import detect
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.radiograph import Radiograph
from lambdas.shared.records import Record, Source, finding_entry

READERS: Final = 2
"""Images in hand at a time; each may cost 1.5 GiB while it is decoded."""

LOWEST_SCORE: Final = 0.05
"""Below this the detectors that we train keep no box (torchvision's box_score_thresh)."""


@dataclass(frozen=True)
class Analysed:
    """An image that was analysed for one person; lives in their session and nowhere else.

    Attributes:
        name: Of the file, for the screen.
        record: Final.
        files: Every other file of the result, by name.
        radiograph: What the models saw; None for a rejected image.
        found: What the detector has been asked at other thresholds.
    """

    name: str
    record: Record
    files: dict[str, bytes]
    radiograph: Radiograph | None
    found: dict[float | None, list[Record]] = field(default_factory=dict)


class _KeepingReader(IsolatedReader):
    """Keeps what it read last, which the stages use up and a viewer needs as well."""

    last: Radiograph | None = None

    def read(self, data: bytes) -> Radiograph:
        self.last = None
        self.last = super().read(data)
        return self.last


class Engine:
    """Everything that is loaded once for all sessions.

    Args:
        models: Folder of the bundles.
        readers: How many images may be in hand at a time.

    Raises:
        ContractError: The models do not load.
    """

    def __init__(self, models: Path, *, readers: int = READERS) -> None:
        self.models: Models = load_models(models)
        self._readers: queue.LifoQueue[_KeepingReader] = queue.LifoQueue()
        for _ in range(readers):
            reader = _KeepingReader()
            reader.start()  # its process imports while the first image is chosen
            self._readers.put(reader)

    def analyse(
        self, data: bytes, *, name: str, detect_all: bool, formats: frozenset[str]
    ) -> Analysed:
        """All stages on one image.

        Raises:
            ContractError: What we shipped contradicts itself; no image is to blame.
        """
        source = Source(
            bucket=None, key=name, version=None, sha256=hashlib.sha256(data).hexdigest()
        )
        with self.reader() as reader:
            reader.last = None
            analysis = analyse(
                data,
                source=source,
                models=self.models,
                reader=reader,
                detect_all=detect_all,
                formats=formats,
            )
            radiograph, reader.last = reader.last, None
        if analysis.record["status"] == "rejected":
            radiograph = None
        return Analysed(name, analysis.record, analysis.files, radiograph)

    def findings_from(self, radiograph: Radiograph, lowest: float | None) -> list[Record]:
        """Findings as records have them, best first.

        Args:
            radiograph: To look at.
            lowest: Every finding with a score from here on; None for the operating points.
        """
        detector = self.models.detector
        thresholds = None if lowest is None else dict.fromkeys(detector.bundle.label_names, lowest)
        found = detect(radiograph, model=detector, thresholds=thresholds)
        return [finding_entry(finding, radiograph.facts) for finding in found]

    @contextlib.contextmanager
    def reader(self) -> Iterator[_KeepingReader]:
        """Borrow a reader; waits while others have them all."""
        reader = self._readers.get()
        try:
            yield reader
        finally:
            self._readers.put(reader)

    def close(self) -> None:
        """End the readers' processes."""
        while True:
            try:
                self._readers.get_nowait().close()
            except queue.Empty:
                return
