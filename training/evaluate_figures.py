"""Plots of an evaluation. Each takes figures of merit and returns a picture."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lambdas.shared.labels import DETECTOR_LABELS
from training.agreement import PUBLISHED_IOU
from training.estimates import Estimate
from training.evaluate_cascade import CascadeFigures
from training.evaluate_detection import DetectorFigures
from training.evaluate_triage import TriageFigures, reliability
from training.report_html import BLUE, GREEN, GREY, ORANGE, RED, new_figure

FALSE_LIMIT: Final = 4.0
"""False boxes an image up to which FROC is shown."""

LINE_ORDER: Final = DETECTOR_LABELS[max(DETECTOR_LABELS)]
"""A class's colour follows from its place here: matplotlib's ten, then dashed."""


def triage_curves(figures: TriageFigures) -> Figure:
    """ROC, precision over recall, and the reliability diagram."""
    figure = new_figure(11.6, 3.8)
    roc, recall, calibration = figure.subplots(1, 3)
    truth, chance = figures.truth, figures.probabilities
    order = np.argsort(-chance, kind="stable")
    last = np.append(np.diff(chance[order]) != 0, True)
    hits, false = np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]
    sensitivity = np.append(0, hits / max(1, truth.sum()))
    fall_out = np.append(0, false / max(1, (~truth).sum()))
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    roc.plot(fall_out, sensitivity, color=BLUE)
    if figures.sensitivity.value is not None and figures.specificity.value is not None:
        roc.plot(1 - figures.specificity.value, figures.sensitivity.value, "o", color=ORANGE)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC", aspect="equal")
    recall.plot(hits / max(1, truth.sum()), hits / (hits + false), color=BLUE)
    recall.axhline(truth.mean(), color=GREY, linewidth=0.8, linestyle=":")
    recall.set(xlabel="sensitivity", ylabel="positive predictive value", ylim=(0, 1.03))
    recall.set_title("Precision and recall")
    calibration.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    for values, colour, name in (
        (figures.uncalibrated, GREY, "temperature 1"),
        (chance, BLUE, "as chosen"),
    ):
        bins = reliability(truth, values)
        predicted, observed, counts = (np.asarray(part) for part in zip(*bins, strict=True))
        calibration.plot(predicted, observed, color=colour, linewidth=1, label=name)
        calibration.scatter(predicted, observed, 10 + 90 * counts / counts.max(), color=colour)
    calibration.set(xlabel="predicted probability", ylabel="observed frequency", aspect="equal")
    calibration.set_title("Reliability")
    calibration.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def score_histogram(figures: TriageFigures) -> Figure:
    """Probabilities of normal and abnormal studies, and the threshold between them."""
    figure = new_figure(11.6, 2.5)
    axes = figure.subplots()
    edges = np.linspace(0, 1, 51).tolist()
    for truth, colour, name in ((False, BLUE, "normal"), (True, ORANGE, "abnormal")):
        chosen = figures.probabilities[figures.truth == truth]
        axes.hist(chosen, edges, color=colour, alpha=0.65, label=f"{name} ({len(chosen)})")
    axes.axvline(figures.point.threshold, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="probability of Abnormal", ylabel="studies", xlim=(0, 1))
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return figure


def froc(figures: DetectorFigures) -> Figure:
    """Sensitivity over false boxes an image, one line a class."""
    figure = new_figure(11.6, 4.2)
    axes, blank = figure.subplots(1, 2, width_ratios=(2, 1))
    blank.set_axis_off()
    widest = 0.5
    for entry in figures.classes:
        ranking = figures.rankings[entry.label]
        if not entry.boxes:
            continue
        false, found = ranking.froc()
        inside = false <= FALSE_LIMIT
        widest = max(widest, float(false[inside].max()))
        line = _line(entry.label)
        axes.step(false[inside], found[inside], where="post", label=entry.label, **line)
        if entry.sensitivity.value is not None and entry.false_per_image <= FALSE_LIMIT:
            axes.plot(
                entry.false_per_image, entry.sensitivity.value, "o", color=line["color"], ms=5
            )
    axes.set(xlabel="false boxes an image", ylabel="sensitivity", ylim=(0, 1.03))
    axes.set_xlim(0, widest)
    axes.grid(color="0.93")
    handles, names = axes.get_legend_handles_labels()
    blank.legend(handles, names, frameon=False, loc="center left", fontsize=9)
    return figure


def average_precisions(figures: DetectorFigures) -> Figure:
    """AP50 by class with its interval, and how often one reader would hit the other."""
    classes = figures.classes[::-1]
    figure = new_figure(11.6, 1.1 + 0.36 * len(classes))
    axes = figure.subplots()
    rows = np.arange(len(classes))
    axes.barh(rows, [entry.ap50.value or 0 for entry in classes], color="#9dbcd4", height=0.6)
    for row, entry in zip(rows, classes, strict=True):
        _whisker(axes, entry.ap50, float(row))
        marks = (
            (entry.agreement.at_half, "D", GREEN, "readers: films with IoU at least 0.5"),
            (PUBLISHED_IOU.get(entry.label), "|", RED, "readers: mean IoU published"),
        )
        for value, marker, colour, name in marks:
            if value is not None:
                axes.plot(value, row, marker, color=colour, label=name, ms=7, mew=2)
    axes.set_yticks(rows, [f"{entry.label} (n = {entry.boxes})" for entry in classes], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="AP50", xlim=(0, 1.02))
    named = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if named:
        figure.legend(
            named.values(), named.keys(), loc="outside upper right", ncols=2, frameon=False,
            fontsize=9,
        )  # fmt: skip
    return figure


def cascade_bars(figures: CascadeFigures) -> Figure:
    """What becomes of the true boxes of each class."""
    classes = [entry for entry in (*figures.classes, figures.total) if entry.boxes][::-1]
    figure = new_figure(11.6, 1.1 + 0.36 * max(1, len(classes)))
    axes = figure.subplots()
    left = np.zeros(len(classes))
    parts = (
        ("found", GREEN, [entry.found for entry in classes]),
        ("missed by the detector", "#c9d1d8", [entry.missed_by_detector for entry in classes]),
        (
            "lost at the gate, not detectable either",
            "#e3b58f",
            [entry.lost_at_gate - entry.lost_though_detectable for entry in classes],
        ),
        ("lost at the gate alone", RED, [entry.lost_though_detectable for entry in classes]),
    )
    totals = np.asarray([entry.boxes for entry in classes], float)
    names = [f"{entry.label} (n = {entry.boxes})" for entry in classes]
    for name, colour, counts in parts:
        share = np.asarray(counts, float) / np.maximum(totals, 1)
        axes.barh(np.arange(len(classes)), share, left=left, color=colour, height=0.62, label=name)
        left += share
    axes.set_yticks(np.arange(len(classes)), names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="share of true boxes", xlim=(0, 1))
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    return figure


def variants(figures: Sequence[DetectorFigures]) -> Figure:
    """AP50 of each class in each variant that knows it."""
    labels = sorted({label for entry in figures for label in entry.model.labels})
    colours = (BLUE, ORANGE, GREEN, RED, GREY)
    bars = sum(len(entry.model.labels) for entry in figures)
    figure = new_figure(11.6, 1.1 + 0.15 * bars + 0.1 * len(labels))
    axes = figure.subplots()
    ticks, place = [], 0.0
    for label in labels:
        knowing = [(n, entry) for n, entry in enumerate(figures) if label in entry.model.labels]
        ticks.append(place - (len(knowing) - 1) / 2)
        for number, entry in knowing:
            estimate = entry.classes[entry.model.labels.index(label)].ap50
            colour = colours[number % len(colours)]
            axes.barh(place, estimate.value or 0, 0.9, color=colour, alpha=0.75)
            _whisker(axes, estimate, place)
            place -= 1
        place -= 0.7
    axes.set_yticks(ticks, labels, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="AP50", xlim=(0, 1.02), ylim=(place + 1, 0.9))
    keys = [
        Patch(
            color=colours[number % len(colours)],
            alpha=0.75,
            label=f"{len(entry.model.labels)} classes: {entry.model.path.resolve().parent.name}",
        )
        for number, entry in enumerate(figures)
    ]
    figure.legend(handles=keys, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    return figure


def _whisker(axes: Axes, estimate: Estimate, row: float) -> None:
    if estimate.interval:
        axes.plot(estimate.interval, (row, row), color="0.25", linewidth=1.2)


def _line(label: str) -> dict[str, Any]:
    """Colour and dash of a class, the same in every plot."""
    place = LINE_ORDER.index(label) if label in LINE_ORDER else len(LINE_ORDER)
    return {"color": f"C{place % 10}", "linestyle": "-" if place < 10 else "--"}
