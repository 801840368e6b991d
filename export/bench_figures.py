"""From times to figures: medians, ratios, percent of the machine's peak."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from export.bench_cases import EAGER, EAGER_FEWER, FLOAT32, INT8, Case
from export.bench_rounds import Measured

GIGA: Final = 1e9
MB: Final = 1e6


def case_figures(case: Case, found: Sequence[Measured]) -> dict[str, Any]:
    """One case for bench.json: a row for each backend, and the peaks measured beside them."""
    peaks = [one for one in found if one.backend.task == "peak"]
    candidates = {one.backend.name: rate(one) for one in peaks}
    peak = {
        precision: max(rate(one) for one in peaks if one.backend.precision == precision)
        for precision in {one.backend.precision for one in peaks}
    }
    rows = [_row(one, case.batch, peak) for one in found if one.backend.task != "peak"]
    medians = {row["backend"]: row["median_ms"] for row in rows}
    shortest = {row["backend"]: row["min_ms"] for row in rows}
    for row in rows:
        row["ratio"] = ratio(medians, row["backend"], EAGER)
        row["ratio_of_best"] = ratio(shortest, row["backend"], EAGER)
        row["ratio_equal_proposals"] = (
            ratio(medians, row["backend"], EAGER_FEWER)
            if row["proposals"] == _proposals(rows, EAGER_FEWER)
            else None
        )
    return {
        "key": case.key,
        "title": case.title,
        "task": case.task,
        "size_px": case.size,
        "batch": case.batch,
        "peak_gops": peak,
        "peak_candidates_gops": candidates,
        "rows": rows,
    }


def _row(one: Measured, batch: int, peak: Mapping[str, float]) -> dict[str, Any]:
    times = [value / batch for turn in one.rounds for value in turn]
    median = statistics.median(times)
    path = Path(one.backend.path)
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    operations = one.backend.operations
    reached = operations / (median / 1e3) / GIGA if operations else None
    return {
        "backend": one.backend.name,
        "precision": one.backend.precision,
        "proposals": one.backend.proposals,
        "median_ms": median,
        "min_ms": min(times),
        "round_medians_ms": [statistics.median(turn) / batch for turn in one.rounds],
        "runs": len(times),
        "load_s": statistics.median(one.load_s),
        "start_s": statistics.median(one.start_s),
        "loads": len(one.load_s),
        "peak_memory_mb": one.peak_mb,
        "disk_mb": sum(file.stat().st_size for file in files) / MB,
        "gop": operations / GIGA if operations else None,
        "gops": reached,
        "percent_of_peak": (
            100 * reached / peak[one.backend.precision]
            if reached and one.backend.precision in peak
            else None
        ),
        "processors_used": one.processor_s / one.wall_s if one.wall_s else None,
    }


def rate(one: Measured) -> float:
    """Operations a second, in billions, of the fastest run: a peak is what was reached once."""
    shortest = min(value for turn in one.rounds for value in turn)
    return (one.backend.operations or 0) / (shortest / 1e3) / GIGA


def ratio(times: Mapping[str, float], name: str, reference: str) -> float | None:
    """How many times as fast as the reference; None where either was not measured."""
    if name not in times or reference not in times:
        return None
    return times[reference] / times[name]


def headline(cases: Sequence[Mapping[str, Any]], *, int8_tasks: Collection[str]) -> dict[str, Any]:
    """The top of bench.json: ours in the precision that ships.

    Args:
        cases: The detector without a size in its key is the first one.
        int8_tasks: Tasks whose shipped model computes in int8, having passed the export's gate.
    """
    classifiers = [case for case in cases if case["task"] == "classification"]
    detectors = [case for case in cases if case["task"] == "detection"]
    found: dict[str, Any] = {}
    if classifiers:
        ours = our_row(classifiers[0], int8_tasks)
        found |= {
            "classifier_form": ours["backend"],
            "classifier_ratio": ours["ratio"],
            "classifier_percent_of_peak": ours["percent_of_peak"],
            "classifier_peak_memory_mb": ours["peak_memory_mb"],
            "classifier_load_s": ours["load_s"],
            "classifier_start_s": ours["start_s"],
        }
    for position, case in enumerate(detectors):
        ours = our_row(case, int8_tasks)
        figures = {
            "form": ours["backend"],
            "ratio": ours["ratio"],
            "ratio_equal_proposals": ours["ratio_equal_proposals"],
            "percent_of_peak": ours["percent_of_peak"],
            "peak_memory_mb": ours["peak_memory_mb"],
            "load_s": ours["load_s"],
            "start_s": ours["start_s"],
        }
        ending = f"_{case['size_px']}" if position else ""
        found |= {f"detector_{name}{ending}": value for name, value in figures.items()}
    return found


def our_row(case: Mapping[str, Any], int8_tasks: Collection[str]) -> Mapping[str, Any]:
    """The row of the form that ships: equal speed is no merit where accuracy is not equal."""
    rows: dict[str, Mapping[str, Any]] = {row["backend"]: row for row in case["rows"]}
    return rows[INT8 if case["task"] in int8_tasks else FLOAT32]


def _proposals(rows: Sequence[Mapping[str, Any]], backend: str) -> int | None:
    """A backend's number of proposals; -1, which no row has, where it was not measured."""
    return next((row["proposals"] for row in rows if row["backend"] == backend), -1)
