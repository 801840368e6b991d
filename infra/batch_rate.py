"""Rate of the batch function against the three single-image stages, on the same images.

    python -m infra.batch_rate --images 200 --from build/demo/images

Both run in the embedded cloud on this machine, one process a function: first an archive job of one
batch at a time, then the streaming pipeline. A few images go before each, so that neither's start
is measured. The memory of the batch process is told along the way: it must not grow.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from infra.bulk import BATCH_SIZE, FILES_PER_IMAGE, PLANNER_SIZE, price_table
from infra.local import EmbeddedCloud, LocalSettings
from infra.local_archive import LocalArchive, LocalArchiveSettings
from infra.local_results import ResultWatcher
from infra.setting_readers import REPOSITORY
from infra.trial_images import trial_images
from lambdas.batch.job import Job, Source, job_key, to_document
from lambdas.batch.job_store import S3JobStore
from lambdas.shared.errors import ConfigError, CxrError
from lambdas.shared.limits import MIB
from lambdas.shared.storage import Storage

JOB: Final = "rate"
WARM_UP: Final = 8
"""Images before those that are measured."""

BATCH: Final = 25
PATIENCE_S: Final = 300.0
"""Longest time without a further image."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured.

    Attributes:
        batch_images: Through the batch function.
        batch_s: Seconds that they took.
        stage_images: Through the three stages.
        stage_s: Seconds that they took.
        memory: (images so far, most bytes of the batch process so far).
    """

    batch_images: int
    batch_s: float
    stage_images: int
    stage_s: float
    memory: Sequence[tuple[int, int]]

    @property
    def ratio(self) -> float:
        """How many times as fast batch is."""
        return (self.batch_images / self.batch_s) / (self.stage_images / self.stage_s)


def measure(
    folder: Path,
    models: Path,
    *,
    images: int,
    stage_images: int,
    tell: Callable[[str], None] = lambda line: None,
) -> Rates:
    """Measure both.

    Args:
        folder: Films to make images from.
        models: Folder of the bundles.
        images: For batch.
        stage_images: For the stages: the first so many of the same.
        tell: Told how far this is.
    """
    with EmbeddedCloud(LocalSettings(models=models)) as cloud:
        s3 = cloud.client("s3")
        made = list(trial_images(folder, images + WARM_UP, seed=1, poison=0))
        for image in made:
            s3.put_object(
                Bucket=cloud.intake_bucket, Key=f"archive/{image.key}", Body=image.content
            )
        tell(f"{len(made)} images")
        seconds, memory = _batch(cloud, models, images, tell)
        watcher = cloud.watcher()

        def stream(chosen: Sequence[Any]) -> float:
            begun = time.monotonic()
            for image in chosen:
                s3.put_object(
                    Bucket=cloud.intake_bucket,
                    Key=f"{cloud.intake_prefix}{image.key}",
                    Body=image.content,
                )
            _await(watcher, len(chosen))
            return time.monotonic() - begun

        stream(made[:WARM_UP])
        stage_s = stream(made[WARM_UP : WARM_UP + stage_images])
    return Rates(images, seconds, stage_images, stage_s, memory)


def _batch(
    cloud: EmbeddedCloud, models: Path, images: int, tell: Callable[[str], None]
) -> tuple[float, list[tuple[int, int]]]:
    """Seconds of all batches but the first, and the memory after each."""
    store = S3JobStore(Storage(cloud.results_bucket, client=cloud.client("s3")))
    job = Job(
        name=JOB,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=Source("prefix", cloud.intake_bucket, "archive/"),
        model_set=cloud.model_set,
        batch_images=BATCH,
        wave_batches=1_000,
        max_cost_usd=None,
        prices=price_table("x86_64"),
        batch=BATCH_SIZE,
        planner=PLANNER_SIZE,
        files_per_image=FILES_PER_IMAGE,
    )
    store.write_json(job_key(JOB), to_document(job))
    memory: list[tuple[int, int]] = []
    ends: list[tuple[float, int]] = []
    settings = LocalArchiveSettings(
        endpoint=cloud.endpoint,
        resources=cloud.resources,
        models=models,
        workers=1,
        environment={},
    )
    with LocalArchive(settings) as archive:
        (host,) = archive.hosts()

        def told(answer: Mapping[str, Any]) -> None:
            if "billed_ms" not in answer:
                return
            done = answer["analysed"] + answer["rejected"]
            total = (ends[-1][1] if ends else 0) + done
            ends.append((time.monotonic(), total))
            memory.append((total, host.peak_memory_bytes() or 0))
            tell(f"batch: {total} images, {memory[-1][1] / MIB:.0f} MiB at most so far")

        status = archive.run(JOB, ran=0, store=store, told=told)
    if status != "done" or ends[-1][1] != images + WARM_UP:
        raise ConfigError(f"the job ended as {status} with {ends[-1][1]} records")
    seconds = ends[-1][0] - ends[0][0]
    measured = ends[-1][1] - ends[0][1]
    return seconds * images / measured, memory


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
    batch = rates.batch_images / rates.batch_s
    stages = rates.stage_images / rates.stage_s
    lines = [
        f"batch          {batch:8.2f} images/s  {rates.batch_images} in {rates.batch_s:.0f} s",
        f"three stages   {stages:8.2f} images/s  {rates.stage_images} in {rates.stage_s:.0f} s",
        f"ratio          {rates.ratio:8.2f}",
    ]
    marks = sorted({rates.memory[0], *(_after(rates, s) for s in (0.25, 0.5, 1))})
    lines += [f"memory         {peak / MIB:8.0f} MiB after {n} images" for n, peak in marks]
    late = statistics.mean(peak for n, peak in rates.memory[-3:]) - _after(rates, 0.25)[1]
    lines.append(f"growth         {late / MIB:8.0f} MiB over the last three quarters")
    return "\n".join(lines) + "\n"


def _after(rates: Rates, share: float) -> tuple[int, int]:
    """The first mark at or after a share of all images."""
    wanted = share * rates.memory[-1][0]
    return next(mark for mark in rates.memory if mark[0] >= wanted)


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
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--stage-images", type=int, help="default: as many")
    options = parser.parse_args(argv)

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        rates = measure(
            options.folder,
            options.models,
            images=options.images,
            stage_images=min(options.images, options.stage_images or options.images),
            tell=tell,
        )
    except CxrError as error:
        tell(f"batch_rate: {error}")
        return 2
    sys.stdout.write(table(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
