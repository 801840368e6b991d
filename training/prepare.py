"""Prepare a data set for training: read every image once, exactly as production does.

    python -m training.prepare --data PadChest-GR --out prepared
    python -m training.prepare --data s3://bucket/padchest-gr --out prepared --long-side 640

Every image is read by `lambdas.shared.read`, checked against its annotations and kept as 16-bit
grey at training size (training/prepared.py has the layout). Beside them: dataset.json, the
exclusions one a line, and boxes.png, a sheet of images with their boxes for the eye.

A run that was stopped, by kill -9 as well, is continued by the same command: each finished image is
a line in journal.jsonl and is done again only if the source, the size or the pipeline changed.
"""

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from lambdas.shared.errors import ConfigError, CxrError, InputError
from lambdas.shared.preprocess import resize
from lambdas.shared.radiograph import PIPELINE_VERSION, WORKING_LONG_SIDE_PX, FloatImage
from lambdas.shared.read import read_radiograph
from training.annotations import Annotations
from training.data import Inspection, inspect_dataset
from training.errors import EmptyDatasetError
from training.parallel import default_workers, run_jobs
from training.prepared import IMAGES_FOLDER, encode_pixels, load_prepared, save_dataset, write_whole
from training.sheets import draw_sheet
from training.sources import read_file
from training.studies import SPLITS, Dataset, Exclusion, Study

JOURNAL_FILE: Final = "journal.jsonl"
EXCLUSIONS_FILE: Final = "exclusions.csv"
SHEET_FILE: Final = "boxes.png"

MIN_BOX_SIDE_PX: Final = 2.0
"""A box narrower than this in the prepared image is a slip of the mouse; a detector that is taught
on boxes of no area diverges."""

MIN_LONG_SIDE_PX: Final = 64
"""Below this no finding can be seen."""

_SHOWN_EXCLUSIONS: Final = 20


@dataclass(frozen=True, slots=True)
class Job:
    """One image to prepare."""

    image_id: str
    location: Path | str
    tag: str
    long_side_px: int
    target: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image: a line of the journal.

    Attributes:
        image_id: File name.
        tag: Of the source file, so that a changed file is prepared again.
        long_side_px: As asked.
        pipeline_version: That read it.
        rejection: Why it cannot be used; empty where it can.
        size_bytes: Of the prepared file.
        width_px: Of the prepared image.
        height_px: Of the prepared image.
        original_width_px: Of the image as published: the frame that boxes were drawn in.
        original_height_px: Of the image as published.
        bits_stored: Of the image as published.
        sha256: Of the file as published.
        pixels_sha256: Of the prepared samples: equal for one image in two files.
    """

    image_id: str
    tag: str
    long_side_px: int
    pipeline_version: int
    rejection: str = ""
    size_bytes: int = 0
    width_px: int = 0
    height_px: int = 0
    original_width_px: int = 0
    original_height_px: int = 0
    bits_stored: int = 0
    sha256: str = ""
    pixels_sha256: str = ""


def prepare(
    root: Path | str,
    out: Path,
    *,
    long_side_px: int = WORKING_LONG_SIDE_PX,
    workers: int = 1,
) -> Dataset:
    """Prepare a data set; what an earlier call has done is kept.

    Args:
        root: As for `load_dataset`.
        out: The prepared folder.
        long_side_px: Longer side of the prepared images at most. The default keeps the very pixels
            that production hands to a model; less loads faster but is resampled once more (640 on
            1,024 px films: 0.001 mean difference of the 380 px input, up to 0.08 at sharp edges).
        workers: Processes.

    Returns:
        The prepared data set, as `load_prepared` reads it.

    Raises:
        DatasetError: The data set as a whole cannot be used.
        ConfigError: `long_side_px` is out of range.
    """
    if not MIN_LONG_SIDE_PX <= long_side_px <= WORKING_LONG_SIDE_PX:
        raise ConfigError(
            f"--long-side is {long_side_px}, expected {MIN_LONG_SIDE_PX} to {WORKING_LONG_SIDE_PX} "
            "px: production works at no more"
        )
    inspection = inspect_dataset(root)
    if inspection.faults:
        raise inspection.faults[0]
    (out / IMAGES_FOLDER).mkdir(parents=True, exist_ok=True)
    outcomes = _prepare_images(inspection, out, long_side_px=long_side_px, workers=workers)
    dataset = _verified(inspection.dataset, outcomes)
    save_dataset(
        out,
        dataset,
        facts={
            "long_side_px": long_side_px,
            "source": {"root": str(root), "digest": inspection.annotations.digest},
            "remarks": list(inspection.remarks),
        },
        image_facts={
            image_id: {
                field: value
                for field, value in asdict(outcome).items()
                if field not in ("image_id", "tag", "long_side_px", "pipeline_version", "rejection")
            }
            for image_id, outcome in outcomes.items()
        },
    )
    _write_exclusions(out / EXCLUSIONS_FILE, dataset.exclusions)
    prepared = load_prepared(out)
    write_whole(out / SHEET_FILE, draw_sheet(prepared.studies))
    return prepared


def prepare_image(job: Job) -> Outcome:
    """Read one image as production does and write its prepared copy. Runs in a worker."""
    outcome = Outcome(job.image_id, job.tag, job.long_side_px, PIPELINE_VERSION)
    try:
        # always at working size first: percentiles are taken there, in production as here
        radiograph = read_radiograph(read_file(job.location))
    except InputError as error:
        return replace(outcome, rejection=error.message)
    pixels = _reduced(radiograph.pixels, job.long_side_px)
    data = encode_pixels(pixels)
    write_whole(job.target, data)
    return replace(
        outcome,
        size_bytes=len(data),
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
        original_width_px=radiograph.facts.width_px,
        original_height_px=radiograph.facts.height_px,
        bits_stored=radiograph.facts.bits_stored,
        sha256=radiograph.facts.sha256,
        pixels_sha256=hashlib.sha256(radiograph.pixels.tobytes()).hexdigest(),
    )


def _reduced(pixels: FloatImage, long_side_px: int) -> FloatImage:
    scale = long_side_px / max(pixels.shape)
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    return np.clip(resize(pixels, height_px=height, width_px=width), 0.0, 1.0)


def _prepare_images(
    inspection: Inspection, out: Path, *, long_side_px: int, workers: int
) -> dict[str, Outcome]:
    """Outcome of every study's image, from the journal or by preparing it now."""
    jobs = _jobs(inspection.dataset, inspection.annotations, out, long_side_px)
    journal = out / JOURNAL_FILE
    known = {outcome.image_id: outcome for outcome in _read_journal(journal)}
    outcomes = {
        job.image_id: known[job.image_id]
        for job in jobs
        if job.image_id in known and _still_valid(known[job.image_id], job)
    }
    open_jobs = [job for job in jobs if job.image_id not in outcomes]
    with journal.open("a", encoding="utf-8") as lines:
        # a torn last line of a killed run must not swallow the next one
        lines.write("\n")
        for outcome in run_jobs(prepare_image, open_jobs, workers=workers, title="preparing"):
            outcomes[outcome.image_id] = outcome
            lines.write(json.dumps(asdict(outcome)) + "\n")
            lines.flush()
    return outcomes


def _jobs(dataset: Dataset, annotations: Annotations, out: Path, long_side_px: int) -> list[Job]:
    return [
        Job(
            image_id=study.image_id,
            location=study.image,
            tag=annotations.images[study.image_id][1].tag,
            long_side_px=long_side_px,
            target=out / IMAGES_FOLDER / study.image_id,
        )
        for study in dataset.studies
    ]


def _read_journal(path: Path) -> Iterator[Outcome]:
    """Whole lines of the journal; of an older form or torn, a line counts as not there."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue


def _still_valid(outcome: Outcome, job: Job) -> bool:
    if (outcome.tag, outcome.long_side_px) != (job.tag, job.long_side_px):
        return False
    if outcome.pipeline_version != PIPELINE_VERSION:
        return False
    if outcome.rejection:
        return True
    return job.target.is_file() and job.target.stat().st_size == outcome.size_bytes


def _verified(dataset: Dataset, outcomes: Mapping[str, Outcome]) -> Dataset:
    """The data set without images that cannot be read, stand twice, or whose boxes are specks."""
    kept: list[Study] = []
    exclusions = list(dataset.exclusions)
    twins = _twins(dataset.studies, outcomes)
    for study in dataset.studies:
        outcome = outcomes[study.image_id]
        reason = outcome.rejection or twins.get(study.image_id) or _speck(study, outcome) or None
        if reason:
            exclusions.append(Exclusion(study.image_id, reason))
        else:
            kept.append(study)
    if not kept:
        raise EmptyDatasetError(
            f"{dataset.root}: no image can be used; the first reason is: {exclusions[0].reason}"
        )
    ordered = sorted(exclusions, key=lambda exclusion: (exclusion.image_id, exclusion.reason))
    return Dataset(tuple(kept), tuple(ordered), dataset.root)


def _twins(studies: Sequence[Study], outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Reason by image_id, for images whose pixels stand under another name already.

    Test keeps its copy, then validation: what is tested on must not be trained on.
    """
    order = {name: rank for rank, name in enumerate(reversed(SPLITS))}
    first: dict[str, Study] = {}
    reasons = {}
    for study in sorted(studies, key=lambda study: (order[study.split], study.image_id)):
        digest = outcomes[study.image_id].pixels_sha256
        if not digest:
            continue
        other = first.setdefault(digest, study)
        if other is not study:
            reasons[study.image_id] = (
                f"same pixels as {other.image_id} ({other.split}); one of them is kept"
            )
    return reasons


def _speck(study: Study, outcome: Outcome) -> str | None:
    """Reason, where a box is too small in the prepared image."""
    for drawn in study.boxes:
        box = drawn.box.in_pixels(width_px=outcome.width_px, height_px=outcome.height_px)
        side = min(box.x_max - box.x_min, box.y_max - box.y_min)
        if side < MIN_BOX_SIDE_PX:
            return f"box of {drawn.label} by reader {drawn.reader} is only {side:.1f} px wide"
    return None


def _write_exclusions(path: Path, exclusions: Iterable[Exclusion]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("ImageID", "reason"))
    writer.writerows((exclusion.image_id, exclusion.reason) for exclusion in exclusions)
    write_whole(path, text.getvalue().encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m training.prepare`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare", description="Prepare a data set for training."
    )
    parser.add_argument("--data", required=True, help="folder or s3://bucket/prefix of PadChest-GR")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument(
        "--long-side",
        type=int,
        default=WORKING_LONG_SIDE_PX,
        metavar="PX",
        help="longer side of the prepared images at most (default: %(default)s, as production)",
    )
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="processes (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        dataset = prepare(
            options.data, options.out, long_side_px=options.long_side, workers=options.workers
        )
    except CxrError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    _summarise(dataset, options.out)
    return 0


def _summarise(dataset: Dataset, out: Path) -> None:
    console = Console(file=sys.stdout)
    table = Table("split", "studies", "patients", "normal", "abnormal", "boxes, reader 1", "2")
    for name in SPLITS:
        studies = dataset.split(name)
        readers = Counter(drawn.reader for study in studies for drawn in study.boxes)
        counts: tuple[Any, ...] = (
            len(studies),
            len({study.patient_id for study in studies}),
            sum(not study.abnormal for study in studies),
            sum(study.abnormal for study in studies),
            readers[1],
            readers[2],
        )
        table.add_row(name, *map(str, counts))
    console.print(table)
    console.print(f"{len(dataset.exclusions)} excluded", highlight=False)
    for exclusion in dataset.exclusions[:_SHOWN_EXCLUSIONS]:
        console.print(f"  {exclusion.image_id}: {exclusion.reason}", highlight=False, markup=False)
    if len(dataset.exclusions) > _SHOWN_EXCLUSIONS:
        console.print(f"  all of them: {out / EXCLUSIONS_FILE}", highlight=False)
    console.print(f"look at {out / SHEET_FILE}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
