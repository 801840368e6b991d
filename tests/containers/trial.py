"""Build the images, run them as Lambda would, and print what it costs in time and memory.

    python -m tests.containers.trial [--starts 3] [--films 6]

A drawn film of 2,500 px, DICOM in JPEG 2000 lossless, goes through classify, detect and report with
the models that ship. Cold start: from the container's first process to its first request for an
event, with the image's files in this machine's page cache. First: the first film of an environment,
which also loads its model. Memory: the most that each process has held, added up.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydicom import uid

from infra.pipeline import INTAKE_PREFIX, STAGES, StageSpec
from tests.containers.cloud import Cloud, loopback_cloud
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


@dataclass(frozen=True, slots=True)
class Measured:
    """One function.

    Attributes:
        stage: With its settings.
        image: As built.
        cold_s: Median of the starts.
        first_s: The first film in a fresh environment.
        warm_s: Median of the films after it.
        peak_mb: Most memory, after all films.
    """

    stage: StageSpec
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
    engine: Engine, cloud: Cloud, stage: StageSpec, image: BuiltImage, *, starts: int, films: int
) -> Measured:
    """Start a function some times; the last environment handles what waits in its queue.

    Args:
        engine: Runs it.
        cloud: Has at least `films` messages in the stage's queue.
        stage: Of the function.
        image: Of the function.
        starts: Environments to start.
        films: Messages to handle, one an invocation; at least 2.
    """
    cold = []
    for number in range(starts):
        with FunctionContainer(
            engine,
            image.name,
            memory_mb=stage.memory_mb,
            timeout_s=stage.timeout_seconds,
            environment=cloud.environment(stage, detect_all=True),
        ) as function:
            cold.append(function.wait_until_ready())
            if number < starts - 1:
                continue
            seconds = []
            for _ in range(films):
                delivery = cloud.deliver(stage.name, function, batch_size=1)
                assert not delivery.failed, function.log()
                seconds.append(delivery.outcome.duration_s)
            peak_mb = function.peak_memory_mb()
    return Measured(
        stage, image, statistics.median(cold), seconds[0], statistics.median(seconds[1:]), peak_mb
    )


def trial(engine: Engine, *, starts: int, films: int) -> list[Measured]:
    """Every stage in order; each leaves its messages for the next.

    Raises:
        AssertionError: A film did not become a record, or a function tried to reach another
            address than the loopback's.
    """
    images = {stage.name: build_function_image(engine, stage.name) for stage in STAGES}
    film = real_size_film()
    with loopback_only() as loopback, loopback_cloud() as cloud:
        for number in range(films):
            cloud.upload(f"{INTAKE_PREFIX}film {number}.dcm", film)
        measured = [
            measure(engine, cloud, stage, images[stage.name], starts=starts, films=films)
            for stage in STAGES
        ]
        records = [key for key in cloud.results() if key.endswith("/record.json")]
        assert len(records) == films, f"{len(records)} of {films} films have a record"
        assert loopback.tried_to_reach() == set()
    return measured


def table(measured: Sequence[Measured]) -> str:
    """As Markdown; legible on a terminal as well."""
    rows = [
        ("", "memory", "image", "of it ours", "cold start", "first film", "warm film", "peak"),
        ("---", *["---:"] * 7),
        *(
            (
                one.stage.name,
                f"{one.stage.memory_mb:,} MB",
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
    parser.add_argument("--starts", type=int, default=3, help="environments for each function")
    parser.add_argument("--films", type=int, default=6, help="for each function; at least 2")
    options = parser.parse_args(arguments)
    try:
        measured = trial(find_engine(), starts=options.starts, films=options.films)
    except NoEngineError as error:
        sys.stderr.write(f"trial: {error}\n")
        return 1
    sys.stdout.write(f"{table(measured)}\n\n{datetime.now(UTC):%Y-%m-%d}, ")
    sys.stdout.write(f"{options.starts} starts, {options.films} films a function; stand-in base\n")
    late = [one.stage.name for one in measured if one.cold_s > COLD_START_AIM_S]
    if late:
        sys.stderr.write(f"cold start above {COLD_START_AIM_S} s: {', '.join(late)}\n")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
