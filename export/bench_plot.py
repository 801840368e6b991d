"""The result as a picture: median time of every backend, case by case."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

OURS: Final = "#0b6e99"
OTHERS: Final = "#9aa5b1"
"""Ours stand out; nobody else's colour means anything."""

DPI: Final = 150


def write_plot(result: Mapping[str, Any], path: Path) -> None:
    """Write a PNG with a panel for each case that has a reference.

    Args:
        result: As bench.json holds it.
        path: Of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [case for case in result["cases"] if any(row["ratio"] for row in case["rows"])]
    counts = [len(case["rows"]) for case in shown]
    figure = Figure(figsize=(9, 1.2 + 0.62 * len(shown) + 0.3 * sum(counts)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=[n + 1 for n in counts])
    for (axes,), case in zip(panels, shown, strict=True):
        rows = case["rows"][::-1]  # the first row stands at the top
        times = [row["median_ms"] for row in rows]
        axes.barh(
            [row["backend"] for row in rows],
            times,
            color=[OURS if row["backend"].startswith("ours") else OTHERS for row in rows],
        )
        for place, row in enumerate(rows):
            times_eager = f"  {row['median_ms']:.0f} ms, {row['ratio']:.1f} x"
            axes.text(row["median_ms"], place, times_eager, va="center", fontsize=8)
        axes.set_xlim(0, max(times) * 1.22)
        axes.set_title(case["title"], loc="left", fontsize=10, fontweight="bold")
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[-1][0].set_xlabel(
        "median ms for one image; x: times as fast as torch eager (detectors: 1,000 proposals)",
        fontsize=8,
    )
    figure.suptitle(
        f"{result['machine']['cpu']}, {result['machine']['processors']} processors, "
        f"{result['date'][:10]}",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    figure.savefig(path, dpi=DPI)
