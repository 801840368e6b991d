"""A million records through the lake on one machine: time, size, memory, and the named queries.

    python -m infra.lake_trial --records 1000000

Draws records, writes each as a record.json in a folder of its own, as a bucket of results has them;
compacts them part by part, as the archive job's step does; compacts them once more, to show that
nothing doubles; asks each named query through DuckDB. Every phase runs in a process of its own, so
that its peak memory is its own. All lies in a temporary folder, removed at the end; a million
records take about 9 GB of disk until then, most of it the file system's blocks.
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lambdas.lake.bucket import PARTS
from lambdas.lake.queries import duckdb_view, queries
from lambdas.shared.records import RECORD_FILE, SCHEMA_VERSION, Record, record_validator, to_json

FIRST_MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 30
SEED: Final = 2026
MODEL_SETS: Final = ("9e6087060875d962", "0b5d7c1e2f3a4958")
SECOND_MODEL_SET_EVERY: Final = 10
"""Each tenth record is an image seen before, by another model set."""

REJECTED_SHARE: Final = 0.03
POSITIVE_FROM: Final = 0.6
FINDINGS: Final = (
    ("Aortic elongation", None),
    ("Cardiomegaly", ("SCT", "287272002", "Cardiomegaly")),
    ("Pleural effusion", ("SCT", "60046008", "Pleural effusion")),
    ("Scoliosis", ("UMLS", "C0036439", "Scoliosis, unspecified")),
)
REJECTIONS: Final = {
    "not_frontal": "ViewPosition is 'LL', expected a frontal view (PA or AP)",
    "broken_file": "the file starts as DICOM but its data set cannot be read",
    "not_a_radiograph": "Modality is 'CT', expected a chest radiograph (CR or DX)",
}
WIDTH_PX, HEIGHT_PX = 2500, 3000
CHECKED: Final = 1000
"""Records held against their schema; all are drawn alike."""


def draw_records(count: int) -> Iterator[Record]:
    """Records as the pipeline writes them, the same for the same count."""
    chance = random.Random(SEED)
    image_id = ""
    for number in range(count):
        again = number % SECOND_MODEL_SET_EVERY == SECOND_MODEL_SET_EVERY - 1
        if not again:
            image_id = f"{chance.getrandbits(128):032x}"
        moment = FIRST_MOMENT + timedelta(seconds=chance.randrange(DAYS * 86_400))
        yield _record(chance, image_id, MODEL_SETS[again], moment, key=f"images/{number:08d}.dcm")


def _record(
    chance: random.Random, image_id: str, model_set: str, moment: datetime, *, key: str
) -> Record:
    sha256 = f"{int(image_id, 16) ** 2 % 2**256:064x}"
    rejected = chance.random() < REJECTED_SHARE
    probability = round(chance.random(), 4)
    positive = not rejected and probability >= POSITIVE_FROM
    return {
        "schema_version": SCHEMA_VERSION,
        "image_id": image_id,
        "model_set": model_set,
        "source": {"bucket": "intake", "key": key, "version": image_id[:8], "sha256": sha256},
        "source_tags": {},
        "image": None if rejected else _image(chance, sha256),
        "status": "rejected" if rejected else "analysed",
        "rejection": _rejection(chance) if rejected else None,
        "triage": None if rejected else _triage(probability, positive),
        "detection": None
        if rejected
        else {"performed": positive, "detectable": [name for name, _ in FINDINGS]},
        "findings": _findings(chance) if positive else [],
        "models": [_model("classification", model_set), _model("detection", model_set)],
        "warnings": ["Thresholds not valid on patients: the triage model was trained on phantoms."],
        "outputs": {"report": "report.pdf", "thumbnail": "thumbnail.jpg"},
        "left_out": [],
        "timings": {
            "finished_at": moment.isoformat(timespec="seconds"),
            "read_ms": round(chance.uniform(50, 400), 1),
            "classify_ms": round(chance.uniform(30, 90), 1),
        },
    }


def _rejection(chance: random.Random) -> Record:
    code = chance.choice(tuple(REJECTIONS))
    return {"code": code, "message": REJECTIONS[code]}


def _image(chance: random.Random, sha256: str) -> Record:
    return {
        "format": "dicom",
        "width_px": WIDTH_PX,
        "height_px": HEIGHT_PX,
        "bits_stored": chance.choice((10, 12, 14)),
        "photometric_interpretation": chance.choice(("MONOCHROME1", "MONOCHROME2")),
        "view": chance.choice(("PA", "AP", None)),
        "pixel_spacing_mm": [0.143, 0.143],
        "patient_orientation": ["L", "F"],
        "transfer_syntax": "1.2.840.10008.1.2.4.90",
        "size_bytes": chance.randrange(2_000_000, 15_000_000),
        "sha256": sha256,
    }


def _triage(probability: float, positive: bool) -> Record:
    label = ("Abnormal", "263654008") if positive else ("Normal", "17621005")
    return {
        "label": label[0],
        "code": {"system": "SCT", "value": label[1], "meaning": label[0]},
        "positive_label": "Abnormal",
        "positive": positive,
        "probability": probability,
        "threshold": POSITIVE_FROM,
        "calibrated": True,
    }


def _findings(chance: random.Random) -> list[Record]:
    found = []
    for label, code in sorted(chance.sample(FINDINGS, chance.randrange(4))):
        x, y = round(chance.uniform(0, 0.5), 6), round(chance.uniform(0, 0.5), 6)
        box = {"x_min": x, "y_min": y, "x_max": round(x + 0.4, 6), "y_max": round(y + 0.3, 6)}
        sizes = {"x": WIDTH_PX, "y": HEIGHT_PX}
        found.append(
            {
                "label": label,
                "code": code and dict(zip(("system", "value", "meaning"), code, strict=True)),
                "score": round(chance.uniform(0.5, 1), 4),
                "threshold": 0.5,
                "box": {edge: round(value * sizes[edge[0]], 1) for edge, value in box.items()},
                "box_normalised": box,
            }
        )
    return sorted(found, key=lambda entry: -entry["score"])


def _model(task: str, model_set: str) -> Record:
    return {
        "task": task,
        "name": f"trial-{task}",
        "version": "1.0.0",
        "architecture": "none",
        "sha256": (model_set * 4),
        "trained_on": {"kind": "phantoms", "description": "drawn records, no model"},
    }


def write_records(results: Path, count: int) -> dict[str, Any]:
    """Each record in `results/<model set>/<image id>/record.json`."""
    size_bytes = 0
    for number, record in enumerate(draw_records(count)):
        if number < CHECKED:
            record_validator().validate(record)
        content = to_json(record)
        folder = results / record["model_set"] / record["image_id"]
        folder.mkdir(parents=True)
        (folder / RECORD_FILE).write_bytes(content)
        size_bytes += len(content)
    return {"size_bytes": size_bytes}


def compact_records(results: Path, lake: Path) -> dict[str, Any]:
    """Every part of every model set, one after the other."""
    from lambdas.lake.compact import compact
    from lambdas.lake.folder import FolderLake
    from lambdas.lake.layout import Scope
    from lambdas.lake.rows import RecordRows, record_rows

    def rows(model_set: Path, images: list[str]) -> Iterator[RecordRows]:
        for image_id in images:
            yield record_rows((model_set / image_id / RECORD_FILE).read_bytes())

    total = {"records": 0, "findings": 0, "files": 0, "removed": 0, "size_bytes": 0}
    for model_set in sorted(results.iterdir()):
        images = sorted(os.listdir(model_set))  # noqa: PTH208 - names alone, a million of them
        for part in PARTS:
            done = compact(
                rows(model_set, [image for image in images if image[0] == part]),
                lake=FolderLake(lake),
                scope=Scope(model_set=model_set.name, part=part),
            )
            total["records"] += done.records
            total["findings"] += done.findings
            total["files"] += done.written
            total["removed"] += done.removed
            total["size_bytes"] += done.size_bytes
    return total


def ask_queries(lake: Path) -> dict[str, Any]:
    """Rows and seconds of each named query."""
    import duckdb

    with duckdb.connect() as database:
        for table in ("records", "findings"):
            database.execute(duckdb_view(table, str(lake)))
        counts = {
            table: database.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("records", "findings")
        }
        times = {}
        for query in queries():
            begun = time.perf_counter()
            found = database.execute(query.sql).fetchall()
            times[query.name] = (len(found), time.perf_counter() - begun)
    return {"counts": counts, "times": times}


def _measured(
    answers: "multiprocessing.SimpleQueue[Any]", work: Callable[..., Any], *arguments: Any
) -> None:
    begun = time.perf_counter()
    answer = work(*arguments)
    seconds = time.perf_counter() - begun
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put((answer, seconds, peak_mb))


def _phase(work: Callable[..., Any], *arguments: Any) -> tuple[dict[str, Any], float, float]:
    """Run in a fresh process: answer, seconds, peak memory in MB."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=_measured, args=(answers, work, *arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} ended with {process.exitcode}")
    answer: tuple[dict[str, Any], float, float] = answers.get()
    return answer


def main() -> None:
    """Run all phases and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="lake-trial-", dir=options.folder))
    results, lake = work / "results", work / "lake"
    count = options.records
    try:
        _say(f"{count:,} records, {DAYS} days, {len(MODEL_SETS)} model sets; seed {SEED}")
        written, seconds, _ = _phase(write_records, results, count)
        _say(f"record.json files: {written['size_bytes'] / 1e9:.2f} GB, drawn in {seconds:.0f} s")
        first, seconds, peak_mb = _phase(compact_records, results, lake)
        _say(
            f"compacted: {first['records']:,} records and {first['findings']:,} findings in "
            f"{seconds:.0f} s ({count / seconds:,.0f} records/s), peak memory {peak_mb:.0f} MB"
        )
        _say(
            f"lake: {first['files']:,} files, {first['size_bytes'] / 1e6:.1f} MB, "
            f"{first['size_bytes'] / count:.0f} bytes a record, "
            f"{written['size_bytes'] / first['size_bytes']:.0f} times smaller"
        )
        again, seconds, _ = _phase(compact_records, results, lake)
        same = "the same" if again == first else "NOT THE SAME"
        _say(f"compacted again: {same} in {seconds:.0f} s")
        asked, _, peak_mb = _phase(ask_queries, lake)
        _say(f"rows that DuckDB counts: {asked['counts']}, peak memory {peak_mb:.0f} MB")
        for name, (rows, seconds) in asked["times"].items():
            _say(f"  {name:<22} {rows:>5} rows in {seconds:.2f} s")
        if again != first or asked["counts"]["records"] != count:
            raise SystemExit("the lake does not hold what was written")
    finally:
        shutil.rmtree(work)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
