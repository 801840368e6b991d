"""The batch function against the three single-image stages, on the same images.

    python -m infra.batch_rate --rounds 6 --images 25 --from build/demo/images

Both run in the embedded cloud on this machine. In every round the same images go through one batch
and through the streaming pipeline, the next round in the other order, so that a slow minute slows
both. Beside the time by the clock, in which the cloud itself has its part, stands the processor
time of the functions' processes, of which AWS's bill is made.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from infra.bulk import BATCH_SIZE, FILES_PER_IMAGE, PLANNER_SIZE, price_table
from infra.local import EmbeddedCloud, LocalSettings
from infra.local_archive import LocalArchive, LocalArchiveSettings
from infra.local_results import ResultWatcher
from infra.measure_batch import children_cpu_s
from infra.setting_readers import REPOSITORY
from lambdas.batch.job import Job, Source, job_key, to_document
from lambdas.batch.job_store import S3JobStore
from lambdas.shared.errors import ConfigError, CxrError
from lambdas.shared.limits import MIB
from lambdas.shared.storage import Storage

Film = tuple[str, bytes]
"""Key and content."""

PATIENCE_S: Final = 300.0
"""Longest time without a further image."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What some images took.

    Attributes:
        seconds: By the clock.
        cpu_s: Of the functions' processes.
    """

    seconds: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured.

    Attributes:
        images: In each half of a round.
        batch: By round.
        stages: By round.
        memory: Most bytes of the batch function's process so far, by round.
    """

    images: int
    batch: Sequence[Spent]
    stages: Sequence[Spent]
    memory: Sequence[int]

    @property
    def ratio(self) -> float:
        """How many times as fast batch is by the clock, median of the rounds."""
        pairs = zip(self.batch, self.stages, strict=True)
        return statistics.median(stages.seconds / batch.seconds for batch, stages in pairs)

    @property
    def cpu_ratio(self) -> float:
        """How many times the processor time the stages take, median of the rounds."""
        pairs = zip(self.batch, self.stages, strict=True)
        return statistics.median(stages.cpu_s / batch.cpu_s for batch, stages in pairs)


def measure(
    folder: Path,
    models: Path,
    *,
    rounds: int,
    images: int,
    tell: Callable[[str], None] = lambda line: None,
) -> Rates:
    """Measure both in turns, after a round that does not count.

    Args:
        folder: Films; a .txt is none.
        models: Folder of the bundles.
        rounds: How often.
        images: In each half of a round.
        tell: Told how far this is.
    """
    films = _films(folder)
    batch: list[Spent] = []
    stages: list[Spent] = []
    memory: list[int] = []
    with EmbeddedCloud(LocalSettings(models=models)) as cloud:
        settings = LocalArchiveSettings(
            endpoint=cloud.endpoint,
            resources=cloud.resources,
            models=models,
            workers=1,
            environment={},
        )
        with LocalArchive(settings) as archive:
            (host,) = archive.hosts()
            watcher = cloud.watcher()
            for number in range(rounds + 1):
                chosen = list(islice(films, images))

                def in_batch(number: int = number, chosen: Sequence[Film] = chosen) -> None:
                    batch.append(_batch(cloud, archive, number, chosen))

                def in_stages(number: int = number, chosen: Sequence[Film] = chosen) -> None:
                    stages.append(_stages(cloud, watcher, number, chosen))

                for half in (in_batch, in_stages) if number % 2 else (in_stages, in_batch):
                    half()
                memory.append(host.peak_memory_bytes() or 0)
                tell(
                    f"round {number} of {rounds}: batch {batch[-1].seconds:.1f} s, "
                    f"stages {stages[-1].seconds:.1f} s, {memory[-1] / MIB:.0f} MiB"
                )
    return Rates(images, batch[1:], stages[1:], memory[1:])


def _films(folder: Path) -> Iterator[Film]:
    """The folder's files again and again, as they are, each time under another key.

    Raises:
        ConfigError: There is none.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".txt"]
    if not paths:
        raise ConfigError(f"{folder} has no film; `make demo` draws some into build/demo/images")
    return ((f"{n:05d} {path.name}", path.read_bytes()) for n, path in enumerate(cycle(paths)))


def _batch(
    cloud: EmbeddedCloud, archive: LocalArchive, number: int, chosen: Sequence[Film]
) -> Spent:
    """One job of one batch, from its plan to its end."""
    s3 = cloud.client("s3")
    prefix = f"archive/{number}/"
    for name, content in chosen:
        s3.put_object(Bucket=cloud.intake_bucket, Key=f"{prefix}{name}", Body=content)
    store = S3JobStore(Storage(cloud.results_bucket, client=s3))
    job = Job(
        name=f"rate-{number}",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=Source("prefix", cloud.intake_bucket, prefix),
        model_set=cloud.model_set,
        batch_images=len(chosen),
        wave_batches=1,
        max_cost_usd=None,
        prices=price_table("x86_64"),
        batch=BATCH_SIZE,
        planner=PLANNER_SIZE,
        files_per_image=FILES_PER_IMAGE,
    )
    store.write_json(job_key(job.name), to_document(job))
    marks: list[tuple[float, float]] = []
    records = 0

    def told(answer: Mapping[str, Any]) -> None:
        nonlocal records
        marks.append((time.monotonic(), children_cpu_s()))
        records += answer["analysed"] + answer["rejected"] if "billed_ms" in answer else 0

    status = archive.run(job.name, ran=0, store=store, told=told)
    if status != "done" or records != len(chosen):
        raise ConfigError(f"the job ended as {status} with {records} records")
    planned, ended = marks[0], marks[1]
    return Spent(ended[0] - planned[0], ended[1] - planned[1])


def _stages(
    cloud: EmbeddedCloud, watcher: ResultWatcher, number: int, chosen: Sequence[Film]
) -> Spent:
    """The same images through the queues, from the first upload to the last result."""
    s3 = cloud.client("s3")
    begun, cpu_s = time.monotonic(), children_cpu_s()
    for name, content in chosen:
        key = f"{cloud.intake_prefix}{number}/{name}"
        s3.put_object(Bucket=cloud.intake_bucket, Key=key, Body=content)
    _await(watcher, len(chosen))
    return Spent(time.monotonic() - begun, children_cpu_s() - cpu_s)


def _await(watcher: ResultWatcher, count: int) -> None:
    """Wait for so many different images."""
    begun, seen = time.monotonic(), set[str]()
    while len(seen) < count:
        for result in watcher.read(wait_s=1):
            seen.add(result.key)
            begun = time.monotonic()
        if time.monotonic() - begun > PATIENCE_S:
            raise ConfigError(f"{len(seen)} of {count} images came through the stages, then none")


def table(rates: Rates) -> str:
    """The result for a person."""

    def line(name: str, spent: Sequence[Spent]) -> str:
        seconds = statistics.median(entry.seconds for entry in spent)
        cpu_ms = 1000 * statistics.median(entry.cpu_s for entry in spent) / rates.images
        rate = rates.images / seconds
        return f"{name:14} {rate:6.2f} images/s   {cpu_ms:6.0f} ms of processor time an image"

    first, last = rates.memory[0] / MIB, rates.memory[-1] / MIB
    lines = [
        f"{len(rates.batch)} rounds of {rates.images} images each way, medians",
        line("batch", rates.batch),
        line("three stages", rates.stages),
        f"{'ratio':14} {rates.ratio:6.2f}            {rates.cpu_ratio:6.2f}",
        f"{'batch, memory':14} {first:6.0f} MiB after the first round, {last:.0f} after the last",
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.batch_rate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from", dest="folder", type=Path, default=REPOSITORY / "build" / "demo" / "images"
    )
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models" / "demo")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--images", type=int, default=25, help="of a round")
    options = parser.parse_args(argv)

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        rates = measure(
            options.folder,
            options.models,
            rounds=options.rounds,
            images=options.images,
            tell=tell,
        )
    except CxrError as error:
        tell(f"batch_rate: {error}")
        return 2
    sys.stdout.write(table(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
