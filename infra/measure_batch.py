"""Measure the batch function on this machine: what the page of costs is computed from.

    python -m infra.measure_batch                 print the figures
    python -m infra.measure_batch --write         keep them in infra/measured_figures.json

The deployed handlers run an archive job over copies of the demo's images in the embedded cloud, one
batch at a time; the first batch, in a process that has just started, is told apart.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from infra.bulk import BATCH_SIZE, FILES_PER_IMAGE, PLANNER_SIZE, price_table
from infra.local_archive import LocalArchive, LocalArchiveSettings
from infra.local_server import LocalServer
from infra.pipeline import Resources
from infra.setting_readers import REPOSITORY
from lambdas.batch.job import (
    BatchOutcome,
    Job,
    Source,
    job_key,
    outcome_key,
    state_key,
    to_document,
)
from lambdas.batch.job_store import S3JobStore
from lambdas.batch.state import State
from lambdas.shared.bundle import load_pair
from lambdas.shared.storage import Storage

FIGURES: Final = REPOSITORY / "infra" / "measured_figures.json"

BATCHES: Final = 9


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; durations in ms, sizes in bytes.

    Attributes:
        date: Of the measurement.
        host: Processor and system.
        processors: That the function could use.
        load_before: Processes that were running or waiting already, a minute's average.
        models: Description of the bundles.
        images: Measured, without the first batch's.
        image_cpu_ms: Processor time of a warm batch over its images, of all its processes, median;
            unlike the duration it is the same however busy the machine is.
        image_ms: Billed duration of a warm batch over its images, median of the batches.
        cold_ms: What the first batch took longer: start, import, models.
        step_ms: Mean of an image's steps within one process, by name.
        planning_ms: Of one wave, median.
        image_bytes: Of an image, mean.
        result_bytes: Of an image's results, mean.
        job_bytes: Of the job's files, an image's share.
        peak_memory_mb: Of the function's process.
    """

    date: str
    host: str
    processors: int
    load_before: float
    models: str
    images: int
    image_cpu_ms: float
    image_ms: float
    cold_ms: float
    step_ms: dict[str, float]
    planning_ms: float
    image_bytes: float
    result_bytes: float
    job_bytes: float
    peak_memory_mb: float


def read_figures(path: Path = FIGURES) -> Figures:
    """The figures that were kept."""
    return Figures(**json.loads(path.read_text(encoding="utf-8")))


def measure(images: Sequence[Path], models: Path, *, batches: int = BATCHES) -> Figures:
    """Run a job over copies of these images.

    Args:
        images: At least one.
        models: Folder of the bundles.
        batches: Of one copy of each image; at least 2, since the first is the cold one.
    """
    load = os.getloadavg()[0]
    pair = load_pair(models)
    with _cloud(models) as (s3, archive):
        size = 0
        for copy in range(batches):
            for number, path in enumerate(images):
                data = path.read_bytes()
                size += len(data)
                s3.put_object(Bucket="images", Key=f"{copy:03d}/{number:03d}", Body=data)
        store = S3JobStore(Storage("results", client=s3))
        job = _job(pair.model_set, len(images))
        store.write_json(job_key(job.name), to_document(job))
        watch = _run(archive, job, store)
        outcomes = [
            BatchOutcome.from_document(store.read_json(outcome_key(job.name, wave, 0)) or {})
            for wave in range(1, batches + 1)
        ]
        stored = list(_objects(s3, "results/"))
        records = [
            json.loads(s3.get_object(Bucket="results", Key=key)["Body"].read())
            for key, _ in stored
            if key.endswith("/record.json")
        ]
        job_files = sum(size for _, size in _objects(s3, "jobs/"))
    cold, *warm = outcomes
    count = batches * len(images)
    if sum(outcome.analysed + outcome.rejected for outcome in outcomes) != count:
        raise SystemExit("some images have no record; look at the images and the models")
    warm_ms = statistics.median(outcome.billed_ms for outcome in warm)
    return Figures(
        date=datetime.now(UTC).date().isoformat(),
        host=f"{_processor()}, {platform.system()} {platform.machine()}",
        processors=os.cpu_count() or 1,
        load_before=round(load, 1),
        models=f"{models.name}, model set {pair.model_set}",
        images=count - len(images),
        image_cpu_ms=round(1000 * statistics.median(watch.batch_cpu_s[1:]) / len(images), 1),
        image_ms=round(warm_ms / len(images), 1),
        cold_ms=round(max(0.0, cold.billed_ms - warm_ms)),
        step_ms=_steps(records),
        planning_ms=round(statistics.median(watch.planning_ms), 1),
        image_bytes=round(size / count),
        result_bytes=round(sum(size for _, size in stored) / count),
        job_bytes=round(job_files / count),
        peak_memory_mb=max(outcome.peak_memory_mb for outcome in outcomes),
    )


@contextmanager
def _cloud(models: Path) -> Iterator[tuple[Any, LocalArchive]]:
    """An embedded S3, and the functions of the archive beside it."""
    resources = Resources(intake_bucket="images", results_bucket="results", queue_urls={})
    with LocalServer() as server:
        s3 = server.client("s3")
        for bucket in (resources.intake_bucket, resources.results_bucket):
            s3.create_bucket(Bucket=bucket)
        settings = LocalArchiveSettings(
            endpoint=server.endpoint, resources=resources, models=models, workers=1, environment={}
        )
        with LocalArchive(settings) as archive:
            yield s3, archive


def _job(model_set: str, images: int) -> Job:
    return Job(
        name="measure",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=Source("prefix", "images", ""),
        model_set=model_set,
        batch_images=images,
        wave_batches=1,
        max_cost_usd=None,
        prices=price_table("x86_64"),
        batch=BATCH_SIZE,
        planner=PLANNER_SIZE,
        files_per_image=FILES_PER_IMAGE,
    )


class _Watch:
    """Takes note between planning and batch, one of each at a time."""

    def __init__(self, job: Job, store: S3JobStore) -> None:
        self._job, self._store = job, store
        self._planned_ms = 0
        self._cpu_s = 0.0
        self.planning_ms: list[int] = []
        self.batch_cpu_s: list[float] = []

    def told(self, answer: Mapping[str, Any]) -> None:
        """What the planner or a batch has answered."""
        cpu_s = children_cpu_s()
        if "status" in answer:
            state = State.from_document(self._store.read_json(state_key(self._job.name)) or {})
            self.planning_ms.append(state.planner_ms - self._planned_ms)
            self._planned_ms = state.planner_ms
        else:
            self.batch_cpu_s.append(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s


def _run(archive: LocalArchive, job: Job, store: S3JobStore) -> _Watch:
    watch = _Watch(job, store)
    if (status := archive.run(job.name, ran=0, store=store, told=watch.told)) != "done":
        raise SystemExit(f"the job ended as {status}, expected done")
    return watch


def children_cpu_s() -> float:
    """Processor time of all processes that come from this one, as /proc tells it (proc(5))."""
    spent, parent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(stat.parent.name)
        parent[number] = int(fields[1])
        spent[number] = sum(map(int, fields[11:15]))  # its own, and of children that have ended

    def ours(number: int) -> bool:
        while number > 1 and number != os.getpid():
            number = parent.get(number, 0)
        return number == os.getpid()

    ticks = sum(spent[number] for number in spent if number != os.getpid() and ours(number))
    return ticks / os.sysconf("SC_CLK_TCK")


def _objects(s3: Any, prefix: str) -> Iterator[tuple[str, int]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="results", Prefix=prefix):
        for entry in page.get("Contents", []):
            yield entry["Key"], entry["Size"]


def _steps(records: Sequence[Any]) -> dict[str, float]:
    """Means of an image's steps; an image that lacks one counts as 0."""
    names = sorted({name for record in records for name in record["timings"]})
    return {
        name: round(sum(record["timings"].get(name) or 0 for record in records) / len(records), 1)
        for name in names
        if all(isinstance(record["timings"].get(name, 0), int | float) for record in records)
    }


def _processor() -> str:
    """As Linux names it, elsewhere as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or keep the figures; 1 if there are no images."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.measure_batch", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--images", type=Path, default=REPOSITORY / "build" / "demo" / "images")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models" / "demo")
    parser.add_argument("--batches", type=int, default=BATCHES, help="2 or more")
    parser.add_argument("--write", action="store_true", help=f"to {FIGURES.name}")
    chosen = parser.parse_args(arguments)
    images = sorted(
        path for path in chosen.images.rglob("*") if path.is_file() and path.suffix != ".txt"
    )
    if not images or chosen.batches < 2:
        sys.stderr.write(
            f"{chosen.images}: no images; `make demo` draws some\n"
            if not images
            else "--batches must be 2 or more: the first one is cold\n"
        )
        return 1
    figures = measure(images, chosen.models, batches=chosen.batches)
    text = json.dumps(dataclasses.asdict(figures), indent=2) + "\n"
    if chosen.write:
        FIGURES.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
