"""Plots of what the image files hold, and of where on the film the boxes lie."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from training.explore_images import HISTOGRAM_BINS, THUMBNAIL_PX, FilmFacts
from training.report_html import BLUE, GREEN, GREY, ORANGE, new_figure
from training.studies import Study

HEATMAP_COLUMNS: Final = 5


def image_sizes(films: Sequence[FilmFacts]) -> Figure:
    """Width against height, and the size of files."""
    figure = new_figure(10, 3.6)
    left, right = figure.subplots(1, 2)
    sizes = Counter((film.width_px, film.height_px) for film in films)
    x, y = np.array(list(sizes)).T
    counts = np.array(list(sizes.values()))
    left.scatter(x, y, s=14 + 90 * counts / counts.max(), alpha=0.6, color=BLUE, linewidth=0)
    left.set(xlabel="width, px", ylabel="height, px")
    left.grid(color="0.92")
    right.hist([film.size_bytes / 1e6 for film in films], bins=40, color=BLUE)
    right.set(xlabel="file size, MB", ylabel="images")
    return figure


def depths(films: Sequence[FilmFacts]) -> Figure:
    """How much of the declared depth is used."""
    figure = new_figure(10, 3.0)
    left, right = figure.subplots(1, 2)
    left.hist(
        [np.log2(max(film.levels, 1)) for film in films], bins=np.arange(0, 17, 0.5), color=BLUE
    )
    left.set(xlabel="distinct sample values, bits (log2)", ylabel="images", xticks=range(0, 17, 2))
    for name, values, colour in (
        ("lowest", [film.lowest / 2**film.bits for film in films], GREY),
        ("highest", [film.highest / 2**film.bits for film in films], BLUE),
        ("window, 0.5 %", [film.low / 2**film.bits for film in films], GREEN),
        ("window, 99.5 %", [film.high / 2**film.bits for film in films], ORANGE),
    ):
        right.hist(
            values,
            bins=np.linspace(0, 1, 51),
            histtype="step",
            linewidth=1.6,
            color=colour,
            label=name,
        )
    right.set(xlabel="sample value, part of the declared range", ylabel="images")
    right.legend(frameon=False, fontsize=8)
    return figure


def intensities(films: Sequence[FilmFacts]) -> Figure:
    """Histograms of samples as stored and of pixels as a model sees them."""
    figure = new_figure(10, 3.2)
    panels = figure.subplots(1, 2)
    x = (np.arange(HISTOGRAM_BINS) + 0.5) / HISTOGRAM_BINS
    for axes, histograms, title in (
        (
            panels[0],
            [film.raw_histogram for film in films],
            "as stored, part of the declared range",
        ),
        (panels[1], [film.histogram for film in films], "as a model sees them"),
    ):
        low, median, high = 100 * np.percentile(np.array(histograms), (5, 50, 95), axis=0)
        axes.fill_between(x, low, high, color="#cfdfec", label="5 to 95 % of images")
        axes.plot(x, median, color=BLUE, label="median image")
        # the first and last bin hold the clipped half per cent and the black border
        axes.set(title=title, xlabel="intensity", ylim=(0, 1.1 * float(high[1:-1].max())))
    panels[0].set_ylabel("% of an image's samples, per bin")
    panels[1].legend(frameon=False, fontsize=8)
    return figure


def contrasts(films: Sequence[FilmFacts]) -> Figure:
    """Brightness and the sign of contrast, where inverted films show."""
    figure = new_figure(10, 2.8)
    left, right = figure.subplots(1, 2)
    left.hist([film.mean for film in films], bins=40, color=BLUE)
    left.set(xlabel="mean intensity as a model sees it", ylabel="images")
    right.hist([film.contrast for film in films], bins=40, color=BLUE)
    right.axvline(0, color="0.3", linewidth=1)
    right.set(xlabel="mediastinum less lungs (negative: inverted, or white lungs)", ylabel="images")
    return figure


def heatmaps(
    studies: Sequence[Study], films: Mapping[str, FilmFacts], classes: Sequence[str]
) -> Figure:
    """Where boxes of each class lie, over the mean film of the studies that have them."""
    rows = -(-len(classes) // HEATMAP_COLUMNS)
    figure = new_figure(11, 2.55 * rows)
    grid = figure.subplots(rows, HEATMAP_COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, name in zip(grid, classes, strict=False):
        members = [study for study in studies if any(b.label == name for b in study.boxes)]
        axes.set_title(f"{name}\n{len(members)} studies", fontsize=8.5)
        if not members:
            continue
        seen = [films[s.image_id].thumbnail for s in members if s.image_id in films]
        if seen:
            axes.imshow(np.mean(seen, axis=0), cmap="gray", vmin=0, vmax=1, aspect=1.1)
        density = coverage(members, name)
        image = axes.imshow(
            density,
            cmap="inferno",
            vmin=0,
            vmax=density.max(),
            alpha=0.25 + 0.5 * density / density.max(),
            aspect=1.1,
        )
        bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, ticks=[0, density.max()])
        bar.ax.set_yticklabels(["0", f"{100 * density.max():.0f}%"], fontsize=7)
        bar.outline.set_visible(False)
    return figure


def coverage(members: Sequence[Study], label: str) -> npt.NDArray[np.float64]:
    """Share of studies of which a box of the label touches a cell of a square thumbnail.

    Args:
        members: At least one study.
        label: Fine label.

    Returns:
        (THUMBNAIL_PX, THUMBNAIL_PX) in [0, 1].
    """
    total = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX))
    for study in members:
        covered = np.zeros(total.shape, bool)
        for drawn in study.boxes:
            if drawn.label == label:
                box = drawn.box.in_pixels(width_px=THUMBNAIL_PX, height_px=THUMBNAIL_PX)
                rows = slice(math.floor(box.y_min), math.ceil(box.y_max))
                columns = slice(math.floor(box.x_min), math.ceil(box.x_max))
                covered[rows, columns] = True
        total += covered
    return total / len(members)
