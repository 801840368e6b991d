"""Radiographs with both readers' boxes drawn on them, for the eye."""

import io
import random
from collections.abc import Callable, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from lambdas.shared.labels import DETECTOR_LABELS
from lambdas.shared.preprocess import resize
from lambdas.shared.radiograph import FloatImage
from training.prepared import load_pixels
from training.studies import LabelledBox, Study

COLUMNS: Final = 6
"""Panels side by side: two of each of three classes."""

PER_CLASS: Final = 2
NORMALS: Final = 4

PANEL_PX: Final = 480
"""Longer side of a drawn image: a sheet of 30 panels stays below 3,000 px."""

PALETTE: Final = (
    *("#ff5c5c", "#4cc9f0", "#ffd166", "#06d6a0", "#c77dff", "#ff9f1c", "#8ecae6"),
    *("#f28482", "#b5e48c", "#f15bb5", "#9bf6ff", "#e0aaff", "#ffe5a0"),
)
"""Bright on a dark film; one for each class of the largest detector, others are white."""


def draw_sheet(
    studies: Sequence[Study],
    *,
    pixels: Callable[[Study], FloatImage] = load_pixels,
    seed: int = 0,
) -> bytes:
    """A PNG with examples of every detectable class and some normals.

    Args:
        studies: To choose from.
        pixels: Reads a study's film as (H, W) float32 in [0, 1]; by default a prepared one.
        seed: Of the choice.

    Returns:
        The file's bytes.
    """
    panels = _choose(studies, random.Random(seed))
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(2.6 * COLUMNS, 3.0 * rows + 0.5), dpi=110, layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, study) in zip(grid, panels, strict=False):
        draw_study(axes, pixels(study), study.boxes)
        facts = " · ".join(
            str(fact)
            for fact in (study.split, study.view, study.sex, study.age)
            if fact is not None
        )
        axes.set_title(f"{title}\n{facts}", fontsize=7.5)
    lines = [
        Line2D([], [], color="0.2", label="reader 1"),
        Line2D([], [], color="0.2", linestyle="--", label="reader 2"),
    ]
    figure.legend(handles=lines, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return to_png(figure)


def draw_study(axes: Axes, pixels: FloatImage, boxes: Sequence[LabelledBox]) -> None:
    """One radiograph with its boxes: reader 1 solid, reader 2 dashed, one colour a class.

    Args:
        axes: To draw on.
        pixels: (H, W) float32 in [0, 1].
        boxes: Of the study.
    """
    scale = min(1.0, PANEL_PX / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    axes.imshow(resize(pixels, height_px=height, width_px=width), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    named = set()
    for drawn in boxes:
        box = drawn.box.in_pixels(width_px=width, height_px=height)
        colour = class_colour(drawn.label)
        axes.add_patch(
            Rectangle(
                (box.x_min - 0.5, box.y_min - 0.5),  # pixel centres lie at whole numbers
                box.x_max - box.x_min,
                box.y_max - box.y_min,
                fill=False,
                edgecolor=colour,
                linewidth=1.2,
                linestyle="-" if drawn.reader == 1 else "--",
            )
        )
        if drawn.label not in named:
            named.add(drawn.label)
            axes.text(
                box.x_min,
                max(box.y_min - 4, 12),
                drawn.label,
                color=colour,
                fontsize=5.5,
                clip_on=True,
                bbox={"facecolor": "black", "alpha": 0.55, "pad": 0.8, "linewidth": 0},
            )


def class_colour(label: str) -> str:
    """The colour of a class, the same on every sheet."""
    classes = DETECTOR_LABELS[max(DETECTOR_LABELS)]
    return PALETTE[classes.index(label) % len(PALETTE)] if label in classes else "#ffffff"


def to_png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)  # Agg draws to memory: no window system is touched
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _choose(studies: Sequence[Study], chance: random.Random) -> list[tuple[str, Study]]:
    """Title and study of each panel: classes in the largest detector's order, then normals."""
    panels = []
    for label in DETECTOR_LABELS[max(DETECTOR_LABELS)]:
        with_box = [s for s in studies if any(drawn.label == label for drawn in s.boxes)]
        panels += [(label, s) for s in chance.sample(with_box, min(PER_CLASS, len(with_box)))]
    normals = [study for study in studies if not study.abnormal]
    panels += [("Normal", s) for s in chance.sample(normals, min(NORMALS, len(normals)))]
    return panels or [(", ".join(sorted(s.labels)), s) for s in studies[:COLUMNS]]
