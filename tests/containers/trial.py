"""Build the images, run them as Lambda would, and print what it costs in time and memory.

    python -m tests.containers.trial [--starts 5] [--films 6]

A drawn film of 2,500 px, DICOM in JPEG 2000 lossless, goes through classify, detect and report, and
through the bulk function, with the models that ship. Cold start: from the container's first process
to its first request for an event, models loaded, with the image's files in this machine's page
cache. First film: in a fresh environment. Times are the shortest of their kind, since other work on
the machine only adds to them. Peak: the most that each process has held, added up.
"""

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydicom import uid

from infra.bulk import BATCH_SIZE, bulk_environment
from infra.pipeline import INTAKE_PREFIX, STAGES
from infra.runtime_api import Outcome
from tests.containers.cloud import INTAKE, Cloud, batch_event, loopback_cloud
from tests.containers.engine import Engine, NoEngineError, find_engine
from tests.containers.function import FunctionContainer
from tests.containers.images import BuiltImage, build_function_image
from tests.containers.loopback import loopback_only
from training.demo_images import dicom_writer
from training.phantoms.draw import draw_study
from training.phantoms.plan import plan_study

FILM_PX: Final = 2500
"""Long side of a common detector."""

COLD_START_AIM_S: Final = 1.2


Handle = Callable[[FunctionContainer], Outcome]
"""Has a function handle one film."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One function.

    Attributes:
        function: Its name.
        memory_mb: Its setting.
        image: As built.
        cold_s: Shortest of the starts.
        first_s: The first film in a fresh environment.
        warm_s: Shortest of the films after it.
        peak_mb: Most memory, after all films.
    """

    function: str
    memory_mb: int
    image: BuiltImage
    cold_s: float
    first_s: float
    warm_s: float
    peak_mb: int


def real_size_film() -> bytes:
    """A DICOM file as archives hold them, with findings."""
    phantom = draw_study(plan_study(seed=11, index=7), size_px=FILM_PX)
    return dicom_writer(uid.JPEG2000Lossless)(phantom)


def measure(
    image: BuiltImage,
    start: Callable[[], FunctionContainer],
    handle: Handle,
    *,
    function: str,
    starts: int,
    films: int,
) -> Measured:
    """Start a function some times; the last environment handles films.

    Args:
        image: Of the function.
        start: Makes an environment.
        handle: Has it handle a film.
        function: Its name.
        starts: Environments to start.
        films: At least 2.
    """
    cold = []
    for _ in range(starts - 1):
        with start() as environment:
            cold.append(environment.wait_until_ready())
    with start() as environment:
        cold.append(environment.wait_until_ready())
        outcomes = [handle(environment) for _ in range(films)]
        assert all(outcome.ok for outcome in outcomes), environment.log()
        peak_mb = environment.peak_memory_mb()
        memory_mb = environment.memory_mb
    first, *later = (outcome.duration_s for outcome in outcomes)
    return Measured(
        function,
        memory_mb,
        image,
        min(cold),
        first,
        min(later),
        peak_mb,
    )


def trial(engine: Engine, *, starts: int, films: int) -> list[Measured]:
    """Every stage in order, each leaving its messages for the next; then the bulk function.

    Raises:
        AssertionError: A film did not become a record, or a function tried to reach another
            address than the loopback's.
    """
    functions = [*(stage.name for stage in STAGES), "batch"]
    images = {function: build_function_image(engine, function) for function in functions}
    film = real_size_film()
    with loopback_only() as loopback, loopback_cloud() as cloud:
        keys = [f"{INTAKE_PREFIX}film {number}.dcm" for number in range(films)]
        for key in keys:
            cloud.upload(key, film)
        measured = []
        for function in functions:
            start = functools.partial(_start, engine, cloud, function, images[function].name)
            handle = _handle(cloud, function)
            measured.append(
                measure(
                    images[function], start, handle, function=function, starts=starts, films=films
                )
            )
        records = [key for key in cloud.results() if key.endswith("/record.json")]
        assert len(records) == 2 * films, f"{len(records)} of {2 * films} films have a record"
        assert loopback.tried_to_reach() == set()
    return measured


def _start(engine: Engine, cloud: Cloud, function: str, image: str) -> FunctionContainer:
    if function == "batch":
        return FunctionContainer(
            engine,
            image,
            memory_mb=BATCH_SIZE.memory_mb,
            timeout_s=BATCH_SIZE.timeout_seconds,
            environment=cloud.reached() | bulk_environment(cloud.resources),
        )
    stage = next(stage for stage in STAGES if stage.name == function)
    return FunctionContainer(
        engine,
        image,
        memory_mb=stage.memory_mb,
        timeout_s=stage.timeout_seconds,
        environment=cloud.environment(stage, detect_all=True),
    )


def _handle(cloud: Cloud, function: str) -> Handle:
    """One film: a message of the stage's queue; for bulk, a batch of one, uploaded afresh."""
    numbers = itertools.count()

    def of_queue(environment: FunctionContainer) -> Outcome:
        stage = next(stage.name for stage in STAGES if stage.name == function)
        delivery = cloud.deliver(stage, environment, batch_size=1)
        assert not delivery.failed, environment.log()
        return delivery.outcome

    def of_batch(environment: FunctionContainer) -> Outcome:
        key = f"archive/{next(numbers)}.dcm"
        cloud.s3.put_object(Bucket=INTAKE, Key=key, Body=real_size_film())
        return environment.invoke(batch_event([key]))

    return of_batch if function == "batch" else of_queue


def table(measured: Sequence[Measured]) -> str:
    """As Markdown; legible on a terminal as well."""
    rows = [
        ("", "memory", "image", "of it ours", "cold start", "first film", "warm film", "peak"),
        ("---", *["---:"] * 7),
        *(
            (
                one.function,
                f"{one.memory_mb:,} MB",
                f"{one.image.size_bytes / 1e6:.0f} MB",
                f"{one.image.added_bytes / 1e6:.0f} MB",
                f"{one.cold_s:.2f} s",
                f"{one.first_s:.2f} s",
                f"{one.warm_s:.2f} s",
                f"{one.peak_mb} MB",
            )
            for one in measured
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command-line entry; 1 where no engine can be had or a cold start misses its aim."""
    parser = argparse.ArgumentParser(prog="python -m tests.containers.trial")
    parser.add_argument("--starts", type=int, default=5, help="environments for each function")
    parser.add_argument("--films", type=int, default=6, help="for each function; at least 2")
    options = parser.parse_args(arguments)
    try:
        measured = trial(find_engine(), starts=options.starts, films=options.films)
    except NoEngineError as error:
        sys.stderr.write(f"trial: {error}\n")
        return 1
    sys.stdout.write(f"{table(measured)}\n\n{datetime.now(UTC):%Y-%m-%d}, ")
    sys.stdout.write(f"{options.starts} starts, {options.films} films a function; stand-in base\n")
    late = [one.function for one in measured if one.cold_s > COLD_START_AIM_S]
    if late:
        sys.stderr.write(f"cold start above {COLD_START_AIM_S} s: {', '.join(late)}\n")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
