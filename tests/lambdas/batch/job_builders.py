"""An archive job and its store in memory, with children that behave as badly as children may."""

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lambdas.batch.budget import INIT_SECONDS, attempt_usd, compute_usd, requests_usd
from lambdas.batch.job import (
    BatchOutcome,
    BatchRequest,
    Failure,
    FunctionSize,
    Job,
    Prices,
    Source,
    outcome_key,
    to_document,
    wave_key,
)
from lambdas.batch.state import Cursor
from lambdas.batch.waves import Planned, plan_next
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import image_id_of

PRICES = Prices(
    dated="2026-11-01 test",
    gb_second=1.66667e-5,
    invocation=2e-7,
    s3_put=5e-6,
    s3_get=4e-7,
    transition=2.5e-5,
    event=1e-6,
)


def archive_job(**changes: Any) -> Job:
    job = Job(
        name="night",
        created_at="2026-11-23T00:00:00+00:00",
        source=Source("prefix", "pacs", "2019/"),
        model_set="0123456789abcdef",
        batch_images=20,
        wave_batches=6,
        max_cost_usd=None,
        prices=PRICES,
        batch=FunctionSize(memory_mb=3008, timeout_seconds=300, attempts=3),
        planner=FunctionSize(memory_mb=1024, timeout_seconds=120, attempts=3),
    )
    return replace(job, **changes)


def image(number: int) -> ImageRef:
    return ImageRef("pacs", f"2019/{number:05d}.dcm", f"v{number}", None, 1000)


def listing_of(count: int) -> Any:
    """A source of so many images whose cursor is a number."""

    def listing(cursor: Cursor) -> Iterator[tuple[ImageRef, Cursor]]:
        for number in range(cursor.get("next", 0), count):
            yield image(number), {"next": number + 1}

    return listing


class MemoryStore:
    """The job's files; documents go through JSON types, as in S3."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}

    def read_json(self, key: str) -> Any | None:
        return copy.deepcopy(self.documents.get(key))

    def read_many(self, keys: Sequence[str]) -> list[Any | None]:
        return [self.read_json(key) for key in keys]

    def write_json(self, key: str, document: Any) -> None:
        self.documents[key] = copy.deepcopy(document)

    def exists(self, key: str) -> bool:
        return key in self.documents


@dataclass
class World:
    """A job that runs, with what it truly costs beside what it is metered at."""

    job: Job
    images: int
    random: random.Random
    poison: frozenset[str] = frozenset()
    dying: float = 0.0
    retried: float = 0.0
    failing: float = 0.0
    slow: float = 0.0
    store: MemoryStore = field(default_factory=MemoryStore)
    true_usd: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def plan(self, ran: int, *, attempt: int = 1) -> Planned:
        milliseconds = self.random.uniform(50, self.job.planner.timeout_seconds * 1000)
        earlier = (attempt - 1) * attempt_usd(self.job.planner, self.job)
        self.true_usd += earlier + self.job.prices.invocation
        self.true_usd += compute_usd(milliseconds, self.job.planner, self.job)
        return plan_next(
            self.job,
            ran=ran,
            store=self.store,
            jobs_bucket="results",
            listing=listing_of(self.images),
            now="2026-11-23T01:00:00+00:00",
            spent_ms=lambda: milliseconds,
            attempt=attempt,
        )

    def run(self, *, most_waves: int = 10_000) -> Planned:
        """From the last wave planned to the end, or for so many waves."""
        planned = self.plan(0)
        for _ in range(most_waves):
            if planned.status != "running":
                return planned
            self.run_wave(planned.wave)
            planned = self.plan(planned.wave, attempt=self.random.choice((1, 1, 1, 3)))
        return planned

    def run_wave(self, wave: int, *, only: int | None = None) -> None:
        """Run the wave's children, or the first so many of them."""
        for document in self.store.documents[wave_key(self.job.name, wave)][:only]:
            self.child(BatchRequest.from_document(document))

    def child(self, request: BatchRequest) -> None:
        for attempt in range(1, self.job.batch.attempts + 1):
            longest = (self.job.batch.timeout_seconds + INIT_SECONDS) * 1000
            billed = longest if self.random.random() < self.slow else longest * 0.1
            self.true_usd += compute_usd(billed, self.job.batch, self.job)
            self.true_usd += self.job.prices.invocation
            dies = self.random.random() < self.dying or any(
                entry.key in self.poison for entry in request.images
            )
            if dies or self.random.random() < self.retried:
                continue
            self.true_usd += len(request.images) * requests_usd(self.job) / 2
            self.answer(request, attempt, int(billed) + 1)
            return

    def answer(self, request: BatchRequest, attempt: int, billed_ms: int) -> None:
        begun = len(request.images) if self.random.random() > 0.1 else len(request.images) // 2
        failures, analysed = [], 0
        for entry in request.images[:begun]:
            name = image_id_of(entry.bucket, entry.key, entry.version)
            if self.random.random() < self.failing:
                failures.append(Failure(entry, name, "StorageUnavailableError", "later"))
            else:
                analysed += 1
                self.ended[entry.key] = self.ended.get(entry.key, 0) + 1
        self.failed |= {failure.image.key for failure in failures}
        outcome = BatchOutcome(
            wave=request.wave,
            number=request.number,
            attempt=attempt,
            billed_ms=billed_ms,
            analysed=analysed,
            failures=tuple(failures),
            left=request.images[begun:],
        )
        key = outcome_key(self.job.name, request.wave, request.number)
        self.store.write_json(key, to_document(outcome))
