"""Small pictures of what went right and wrong, with the boxes that were drawn and found."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from lambdas.shared.preprocess import resize
from lambdas.shared.radiograph import FloatImage
from training.evaluate_detection import DetectorFigures, class_rankings
from training.evaluate_triage import TriageFigures
from training.predictions import FloatArray
from training.ranking import true_boxes
from training.studies import Study

PICTURE_PX: Final = 320
"""Longer side; about 12 kB each."""

JPEG_QUALITY: Final = 80
PER_GALLERY: Final = 10
"""Two full rows."""

TRUE_COLOUR: Final = (87, 204, 153)
FOUND_COLOUR: Final = (255, 176, 59)
"""What readers drew, and what the detector found; apart for the colour-blind too."""

HITS: Final = "Hits"
MISSES: Final = "Misses"
FALSE_ALARMS: Final = "False alarms"

Picture = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture to be drawn.

    Attributes:
        study: The film.
        caption: In words.
        drawn: (T, 4) boxes of the readers, fractions of the image.
        found: (D, 4) boxes of the detector.
    """

    study: Study
    caption: str
    drawn: FloatArray
    found: FloatArray


def triage_panels(figures: TriageFigures, studies: Sequence[Study]) -> dict[str, list[Panel]]:
    """The surest hits, the deepest misses and the loudest false alarms of a classifier."""
    chance, truth, called = figures.probabilities, figures.truth, figures.called
    chosen = {
        HITS: [i for i in np.argsort(-chance, kind="stable") if truth[i] and called[i]],
        MISSES: [i for i in np.argsort(chance, kind="stable") if truth[i] and not called[i]],
        FALSE_ALARMS: [i for i in np.argsort(-chance, kind="stable") if called[i] and not truth[i]],
    }
    nothing = np.zeros((0, 4))
    return {
        title: [
            Panel(
                study=studies[i],
                caption=f"P(abnormal) {chance[i]:.2f} · {', '.join(sorted(studies[i].labels))}",
                drawn=true_boxes(studies[i], sorted(studies[i].labels))[0],
                found=nothing,
            )
            for i in positions[:PER_GALLERY]
        ]
        for title, positions in chosen.items()
    }


def detector_panels(figures: DetectorFigures, studies: Sequence[Study]) -> dict[str, list[Panel]]:
    """Hits, misses and false alarms at the operating point, the classes taking turns."""
    labels = figures.model.labels
    rankings = class_rankings(studies, figures.findings, labels)
    hits: dict[str, list[Panel]] = {}
    misses: dict[str, list[Panel]] = {}
    alarms: dict[str, list[Panel]] = {}
    for index, label in enumerate(labels):
        ranking = rankings[label]

        def panel(film: int, text: str, index: int = index, label: str = label) -> Panel:
            found = figures.findings[film]
            return Panel(
                study=studies[film],
                caption=f"{label} · {text}",
                drawn=true_boxes(studies[film], [label])[0],
                found=found[found[:, 0] == index, 2:],
            )

        found_in = np.bincount(ranking.films[ranking.hits], minlength=len(studies))
        hits[label], alarms[label] = [], []
        for film, score, hit in zip(ranking.films, ranking.scores, ranking.hits, strict=True):
            (hits if hit else alarms)[label].append(panel(int(film), f"score {score:.2f}"))
        misses[label] = [
            panel(
                int(film),
                f"{ranking.truths[film] - found_in[film]} of {ranking.truths[film]} not found",
            )
            for film in np.flatnonzero(found_in < ranking.truths)
        ]
    return {
        HITS: _in_turns(hits),
        MISSES: _in_turns(misses),
        FALSE_ALARMS: _in_turns(alarms),
    }


def draw_panels(panels: Iterable[Panel], *, pixels: Callable[[Study], FloatImage]) -> list[Picture]:
    """JPEG and caption of each panel.

    Args:
        panels: What to draw.
        pixels: Reads a study's film as (H, W) float32 in [0, 1].
    """
    return [
        (draw_jpeg(pixels(panel.study), drawn=panel.drawn, found=panel.found), panel.caption)
        for panel in panels
    ]


def draw_jpeg(pixels: FloatImage, *, drawn: FloatArray, found: FloatArray) -> bytes:
    """A film with the readers' boxes (solid) and the detector's (dashed) as a small JPEG.

    Args:
        pixels: (H, W) float32 in [0, 1].
        drawn: (T, 4) fractions of the image.
        found: (D, 4) likewise.
    """
    scale = min(1.0, PICTURE_PX / max(pixels.shape))
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    grey = resize(pixels, height_px=height, width_px=width).clip(0, 1)
    image = Image.fromarray(np.rint(grey * 255).astype(np.uint8)).convert("RGB")
    pen = ImageDraw.Draw(image)
    side = np.asarray([width - 1, height - 1] * 2)
    for edges in drawn:
        pen.rectangle(tuple((edges * side).tolist()), outline=TRUE_COLOUR, width=2)
    for edges in found:
        _dashed(pen, (edges * side).tolist())
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _dashed(pen: ImageDraw.ImageDraw, edges: Sequence[float], *, dash: int = 6) -> None:
    x_min, y_min, x_max, y_max = (round(edge) for edge in edges)
    for x in range(x_min, x_max, 2 * dash):
        for y in (y_min, y_max):
            pen.line((x, y, min(x + dash, x_max), y), fill=FOUND_COLOUR, width=2)
    for y in range(y_min, y_max, 2 * dash):
        for x in (x_min, x_max):
            pen.line((x, y, x, min(y + dash, y_max)), fill=FOUND_COLOUR, width=2)


def _in_turns(by_label: dict[str, list[Panel]]) -> list[Panel]:
    """The first of each class, then the second of each, and so on; a film only once."""
    chosen: list[Panel] = []
    seen: set[str] = set()
    for turn in range(max((len(panels) for panels in by_label.values()), default=0)):
        for panels in by_label.values():
            if turn < len(panels) and panels[turn].study.image_id not in seen:
                seen.add(panels[turn].study.image_id)
                chosen.append(panels[turn])
    return chosen[:PER_GALLERY]
