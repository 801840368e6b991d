"""Plots of labels, boxes, patients and readers. Each takes facts and returns a figure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.agreement import Agreement
from training.report_html import BLUE, GREEN, GREY, ORANGE, new_figure
from training.studies import SPLITS, Study

SPLIT_COLOURS: Final = dict(zip(SPLITS, (BLUE, ORANGE, GREEN), strict=True))

MAX_BARS: Final = 45
"""More bars than this cannot be read; the rest is named by the caption."""


def label_counts(studies: Sequence[Study]) -> Figure:
    """Studies by fine label, stacked by split."""
    totals = Counter(label for study in studies for label in study.labels)
    labels = [label for label, _ in totals.most_common(MAX_BARS)][::-1]
    figure = new_figure(10, 0.9 + 0.23 * len(labels))
    axes = figure.subplots()
    left = np.zeros(len(labels))
    for split, colour in SPLIT_COLOURS.items():
        counts = Counter(label for s in studies if s.split == split for label in s.labels)
        widths = np.array([counts[label] for label in labels])
        axes.barh(labels, widths, left=left, color=colour, label=split)
        left += widths
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f}", va="center", fontsize=8)
    axes.set(xlabel="studies", ylim=(-0.6, len(labels) - 0.4))
    axes.tick_params(axis="y", labelsize=8.5, length=0)
    axes.legend(frameon=False, loc="lower right")
    return figure


def labels_per_study(studies: Sequence[Study]) -> Figure:
    """How many labels and boxes a study carries."""
    figure = new_figure(10, 2.8)
    left, right = figure.subplots(1, 2)
    abnormal = [study for study in studies if study.abnormal]
    _count_bars(left, [len(s.labels) for s in abnormal], BLUE, width=0.8, shift=0.0, label="labels")
    left.set(xlabel="labels in an abnormal study", ylabel="studies")
    for reader, colour, shift in ((1, BLUE, -0.2), (2, ORANGE, 0.2)):
        drawn = [sum(b.reader == reader for b in study.boxes) for study in abnormal]
        _count_bars(right, drawn, colour, width=0.4, shift=shift, label=f"reader {reader}")
    right.set(xlabel="boxes in an abnormal study", ylabel="studies")
    right.legend(frameon=False)
    return figure


def _count_bars(
    axes: Axes, counts: Sequence[int], colour: str, *, width: float, shift: float, label: str
) -> None:
    """Bars of a small whole number; 12 stands for more as well."""
    seen = Counter(min(count, 12) for count in counts)
    x = np.arange(0, max(seen, default=0) + 1)
    axes.bar(x + shift, [seen[int(i)] for i in x], width, color=colour, label=label)
    axes.set_xticks(x, [f"{i}" if i < 12 else "12+" for i in x])


def together(studies: Sequence[Study], classes: Sequence[str]) -> Figure:
    """Which classes stand together: share of the row's studies that carry the column's class."""
    figure = new_figure(9.2, 6.4)
    axes = figure.subplots()
    share = np.full((len(classes), len(classes)), np.nan)
    for row, name in enumerate(classes):
        members = [study for study in studies if name in study.labels]
        for column, other in enumerate(classes):
            if members and row != column:
                share[row, column] = np.mean([other in study.labels for study in members])
    image = axes.imshow(
        share, cmap="Blues", vmin=0, vmax=max(0.3, float(np.nanmax(share, initial=0)))
    )
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the row's studies")
    return figure


def box_shapes(studies: Sequence[Study], classes: Sequence[str]) -> Figure:
    """Area, width and height of boxes by class, both readers."""
    figure = new_figure(11, 0.9 + 0.34 * len(classes))
    panels = figure.subplots(1, 3)
    boxes = {
        name: [drawn.box for study in studies for drawn in study.boxes if drawn.label == name]
        for name in classes
    }
    names = [name for name in classes[::-1] if boxes[name]]
    widths = {name: np.array([b.x_max - b.x_min for b in boxes[name]]) for name in names}
    heights = {name: np.array([b.y_max - b.y_min for b in boxes[name]]) for name in names}
    quantities = (
        ("area, % of the image", {n: 100 * widths[n] * heights[n] for n in names}),
        ("width, % of the image's", {n: 100 * widths[n] for n in names}),
        ("height, % of the image's", {n: 100 * heights[n] for n in names}),
    )
    for axes, (title, values) in zip(panels, quantities, strict=True):
        axes.boxplot(
            [values[name] for name in names],
            orientation="horizontal",
            tick_labels=names if axes is panels[0] else [""] * len(names),
            widths=0.6,
            whis=(5, 95),
            patch_artist=True,
            boxprops={"facecolor": "#cfdfec", "edgecolor": BLUE},
            medianprops={"color": ORANGE, "linewidth": 1.6},
            flierprops={"marker": ".", "markersize": 2, "markeredgecolor": GREY},
            whiskerprops={"color": BLUE},
            capprops={"color": BLUE},
        )
        axes.set_xlabel(title)
        axes.tick_params(axis="y", length=0, labelsize=8.5)
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
    panels[0].set_xscale("log")
    panels[0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return figure


def prevalence(studies: Sequence[Study], classes: Sequence[str]) -> Figure:
    """Share of each split that carries a class: equal bars are a fair split."""
    names = ["Abnormal", *classes]
    figure = new_figure(11, 3.4)
    axes = figure.subplots()
    for number, (split, colour) in enumerate(SPLIT_COLOURS.items()):
        members = [study for study in studies if study.split == split]
        shares = [
            100
            * float(
                np.mean([s.abnormal if name == "Abnormal" else name in s.labels for s in members])
            )
            if members
            else 0.0
            for name in names
        ]
        axes.bar(
            np.arange(len(names)) + 0.27 * (number - 1), shares, 0.25, color=colour, label=split
        )
    axes.set_xticks(range(len(names)), names, rotation=32, ha="right", fontsize=8.5)
    axes.set_ylabel("% of the split's studies")
    axes.legend(frameon=False)
    return figure


def ages(studies: Sequence[Study]) -> Figure:
    """Ages of normal and abnormal studies, by sex."""
    figure = new_figure(10, 2.8)
    panels = figure.subplots(1, 2, sharey=True)
    bins = np.arange(0, 105, 5)
    for axes, (title, abnormal) in zip(
        panels, (("normal", False), ("abnormal", True)), strict=True
    ):
        groups = [
            [
                s.age
                for s in studies
                if s.age is not None and s.abnormal == abnormal and s.sex == sex
            ]
            for sex in ("F", "M")
        ]
        axes.hist(groups, bins=bins, stacked=True, color=(BLUE, ORANGE), label=("female", "male"))
        axes.set(title=title, xlabel="age, years")
    panels[0].set_ylabel("studies")
    panels[1].legend(frameon=False)
    return figure


def agreement_spread(agreements: Sequence[Agreement], published: Mapping[str, float]) -> Figure:
    """Overlap of the two readers, study by study, with its mean, interval and published value."""
    shown = [entry for entry in agreements if entry.both][::-1]
    figure = new_figure(9.5, 1.0 + 0.36 * len(shown))
    axes = figure.subplots()
    chance = np.random.default_rng(0)
    for row, entry in enumerate(shown):
        jitter = row + chance.uniform(-0.25, 0.25, len(entry.ious))
        axes.scatter(entry.ious, jitter, s=5, color=GREY, alpha=0.45, linewidth=0)
        if entry.interval:
            axes.plot(entry.interval, (row, row), color=BLUE, linewidth=3, solid_capstyle="butt")
        axes.plot(float(np.mean(entry.ious)), row, "o", color=BLUE, markersize=6)
        if entry.label in published:
            axes.plot(published[entry.label], row, "D", color=ORANGE, markersize=6)
    axes.plot([], [], "o", color=BLUE, label="mean, 95 % interval")
    axes.plot([], [], "D", color=ORANGE, linestyle="", label="published mean")
    axes.axvline(0.5, color="0.75", linewidth=1, zorder=0)
    axes.set_yticks(range(len(shown)), [entry.label for entry in shown], fontsize=8.5)
    axes.set(xlabel="overlap over union of the two readers, one dot a study", xlim=(0, 1))
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return figure
