"""Explore a data set: one self-contained HTML page of what is in it and what is wrong with it.

    python -m training.explore --data PadChest-GR --out report.html
    python -m training.explore --data s3://bucket/padchest-gr --out report.html --images 500

Every image is read once, in several processes; `--images` looks at a random part instead. A data
set that training would refuse is shown all the same, with the reason at the top.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from lambdas.shared.errors import CxrError
from training import explore_sections as sections
from training.data import Inspection, inspect_dataset
from training.explore_checks import Check, run_checks
from training.explore_images import FilmFacts, FilmJob, read_film
from training.parallel import default_workers, run_jobs
from training.prepared import write_whole
from training.report_html import Page
from training.sources import open_source


def explore(
    root: Path | str, out: Path, *, images: int | None = None, workers: int = 1, seed: int = 0
) -> list[Check]:
    """Write the page.

    Args:
        root: As for `load_dataset`.
        out: The HTML file.
        images: How many image files to read, chosen at random; None for all.
        workers: Processes.
        seed: Of every choice.

    Returns:
        The checks, as the page shows them.

    Raises:
        DatasetError: The annotation files are absent or cannot be parsed: there is nothing to show.
    """
    inspection = inspect_dataset(root)
    films = _read_films(root, inspection, images=images, workers=workers, seed=seed)
    checks = run_checks(inspection, films)
    page = Page(
        title="Data set exploration",
        lead=f"{root} · {len(inspection.annotations.reports):,} studies in the JSON · "
        f"{len(films):,} of {len(inspection.annotations.images):,} image files read · "
        f"digest of the annotations {inspection.annotations.digest[:12]}",
    )
    sections.overview(page, inspection, films, checks)
    if inspection.dataset.studies:
        sections.classes(page, inspection)
        sections.boxes(page, inspection.dataset.studies, films)
        sections.splits(page, inspection.dataset.studies, films)
    if any(not film.error for film in films.values()):
        sections.images(page, films)
    if inspection.dataset.studies:
        sections.readers(page, inspection.dataset.studies)
    sections.broken(page, inspection, films)
    sections.quality(page, checks)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, page.to_html().encode())
    return checks


def _read_films(
    root: Path | str, inspection: Inspection, *, images: int | None, workers: int, seed: int
) -> dict[str, FilmFacts]:
    source = open_source(root)
    names = sorted(inspection.annotations.images)
    if images is not None and images < len(names):
        names = sorted(random.Random(seed).sample(names, images))
    jobs = [FilmJob(n, source.locate(inspection.annotations.images[n][0])) for n in names]
    films = {f.image_id: f for f in run_jobs(read_film, jobs, workers=workers, title="reading")}
    return dict(sorted(films.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m training.explore`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.explore", description="Write a report of what a data set holds."
    )
    parser.add_argument("--data", required=True, help="folder or s3://bucket/prefix of PadChest-GR")
    parser.add_argument("--out", required=True, type=Path, help="HTML file to write")
    parser.add_argument("--images", type=int, metavar="N", help="read N random images, not all")
    parser.add_argument(
        "--workers", type=int, default=default_workers(), help="processes (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    out = options.out if options.out.suffix == ".html" else options.out / "explore.html"
    try:
        checks = explore(options.data, out, images=options.images, workers=options.workers)
    except CxrError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 2
    for check in checks:
        if check.status in ("warning", "fault"):
            sys.stdout.write(f"{check.status}: not so: {check.name} ({check.count})\n")
    sys.stdout.write(f"wrote {out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
