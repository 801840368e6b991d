"""Write a phantom data set in PadChest-GR's format.

python -m training.phantoms --out phantoms --studies 2000 --seed 1 --size 640 --workers 4
python -m training.phantoms --out sheet --studies 20 --contact-sheet sheet/sheet.png
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import track

from training.phantoms.contact_sheet import draw_tile, write_contact_sheet
from training.phantoms.dataset import (
    DICOM_NAME,
    IMAGES_NAME,
    StudyRecord,
    describe_study,
    write_study,
    write_tables,
)
from training.phantoms.draw import DEFAULT_SIZE_PX, draw_study
from training.phantoms.plan import plan_study

SHEET_LIMIT = 60
"""Tiles on a contact sheet: more cannot be looked at."""


def main(arguments: list[str] | None = None) -> int:
    """Draw and write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.phantoms", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder; must not hold a data set")
    parser.add_argument("--studies", type=int, required=True, help="how many, at least 1")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same data set")
    parser.add_argument("--workers", type=int, default=1, help="processes; does not change a bit")
    parser.add_argument(
        "--size", type=int, default=DEFAULT_SIZE_PX, metavar="PX", help="long side, 64 to 4096"
    )
    parser.add_argument(
        "--dicom", type=float, default=0.0, metavar="SHARE", help="share also written as DICOM"
    )
    parser.add_argument("--contact-sheet", type=Path, metavar="PNG", help="sheet to look at")
    options = parser.parse_args(arguments)
    if options.studies < 1 or options.workers < 1 or options.seed < 0:
        parser.error("--studies and --workers must be at least 1, --seed at least 0")
    if not 64 <= options.size <= 4096:
        parser.error(f"--size is {options.size}, expected 64 to 4096")
    if not 0 <= options.dicom <= 1:
        parser.error(f"--dicom is {options.dicom}, expected 0 to 1")
    images = options.out / IMAGES_NAME
    if images.exists() and any(images.iterdir()):
        parser.error(f"{images} is not empty: choose another --out, or remove it")
    images.mkdir(parents=True, exist_ok=True)
    if options.dicom:
        (options.out / DICOM_NAME).mkdir(exist_ok=True)
    records = list(
        track(
            _write_all(options),
            total=options.studies,
            description="Drawing phantoms",
            console=Console(stderr=True),
        )
    )
    write_tables(options.out, records)
    if options.contact_sheet:
        _write_sheet(options)
    normal = sum(record.rows[0]["label"] == "Normal" for record in records)
    sys.stdout.write(f"{len(records)} studies ({normal} normal) in {options.out}\n")
    return 0


def _write_all(options: argparse.Namespace) -> Iterator[StudyRecord]:
    """Records in the order of the studies, whatever draws them."""
    indices = range(options.studies)
    write = partial(
        write_study,
        out=options.out,
        seed=options.seed,
        size_px=options.size,
        dicom_share=options.dicom,
    )
    if options.workers == 1:
        yield from map(write, indices)
        return
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(write, indices, chunksize=4)


def _write_sheet(options: argparse.Namespace) -> None:
    tiles = []
    for index in range(min(options.studies, SHEET_LIMIT)):
        phantom = draw_study(
            plan_study(seed=options.seed, index=index), size_px=min(options.size, 640)
        )
        tiles.append(draw_tile(phantom, describe_study(phantom)))
    options.contact_sheet.parent.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(options.contact_sheet, tiles)


if __name__ == "__main__":
    sys.exit(main())
