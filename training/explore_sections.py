"""The sections of the exploration report: which tables and plots stand where, and their words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from lambdas.shared.labels import DETECTOR_LABELS
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.read import read_radiograph
from training import explore_figures as plots
from training import explore_image_figures as film_plots
from training.agreement import PUBLISHED_IOU, reader_agreement
from training.data import Inspection, class_list
from training.explore_checks import Check, duplicate_groups, shortcuts
from training.explore_images import FilmFacts
from training.metrics import auroc
from training.report_html import Cell, Mark, Page
from training.sheets import draw_sheet
from training.sources import read_file
from training.studies import SPLITS, VIEWS, Study

CLASSES: Final = DETECTOR_LABELS[max(DETECTOR_LABELS)]

DETECTOR_PX: Final = 800
"""Shorter side that the detector's input is scaled to; for the sizes of boxes in its pixels."""

SHORTCUT_AUROC: Final = 0.65
"""From here on, a fact that is no finding says more of the label than chance does."""

MAX_LISTED: Final = 200
"""Rows of a list; the page stays readable."""


def overview(
    page: Page, inspection: Inspection, films: Mapping[str, FilmFacts], checks: Sequence[Check]
) -> None:
    """Numbers, open checks, examples."""
    studies = inspection.dataset.studies
    page.section("Overview")
    for fault in inspection.faults:
        page.callout("fault", f"Training refuses this data set. {type(fault).__name__}: {fault}")
    abnormal = sum(study.abnormal for study in studies)
    readers = Counter(drawn.reader for study in studies for drawn in study.boxes)
    page.facts(
        (
            ("usable studies", len(studies)),
            ("patients", len({study.patient_id for study in studies})),
            ("abnormal", abnormal),
            ("normal", len(studies) - abnormal),
            ("fine labels", len({label for study in studies for label in study.labels})),
            ("label groups", len({group for study in studies for group in study.groups})),
            ("boxes by reader 1", readers[1]),
            ("boxes by reader 2", readers[2]),
            ("excluded studies", len(inspection.dataset.exclusions)),
            ("unreadable images", sum(bool(film.error) for film in films.values())),
        )
    )
    open_checks = [check for check in checks if check.status in ("warning", "fault")]
    page.text(
        f"{len(checks)} checks, {len(open_checks)} ask for a look"
        + (":" if open_checks else "; details at the end.")
    )
    if open_checks:
        page.table(
            ("", "what should be so", "offenders", "meaning"),
            [(Mark(c.status), c.name, c.count, c.meaning) for c in open_checks],
        )
    shown = [s for s in studies if s.image_id in films and not films[s.image_id].error]
    if shown:
        page.subsection("Examples")
        page.photograph(
            draw_sheet(shown, pixels=_pixels),
            "Two studies a class with both readers' boxes, then normals, as a model sees them.",
        )


def _pixels(study: Study) -> FloatImage:
    """A published film as production reads it."""
    return read_radiograph(read_file(study.image)).pixels


def classes(page: Page, inspection: Inspection) -> None:
    """Labels, groups, and what the detector variants can learn from."""
    studies = inspection.dataset.studies
    page.section(
        "Classes",
        "A study counts once under each of its fine labels. Normal is the only label of a normal "
        "study; more than half of PadChest-GR's abnormal studies carry none of the four primary "
        "classes.",
    )
    labels = {label for study in studies for label in study.labels}
    rest = max(0, len(labels) - plots.MAX_BARS)
    page.figure(
        plots.label_counts(studies),
        "Studies by fine label and split"
        + (f"; {rest} rarer labels are not shown." if rest else "."),
    )
    groups = Counter(group for study in studies for group in study.groups)
    members = inspection.annotations.groups.items()
    page.subsection("Label groups")
    page.table(
        ("label group", "studies", "fine labels"),
        [
            (group, count, ", ".join(sorted(label for label, g in members if g == group)))
            for group, count in groups.most_common()
        ],
    )
    page.subsection("Support of the detector variants")
    page.table(
        ("classes", "studies with a box", *(f"{split}, boxes by reader 1" for split in SPLITS)),
        [(_variant(n), *_support(studies, class_list(n))) for n in sorted(DETECTOR_LABELS)],
    )
    page.figure(plots.labels_per_study(studies), "Labels and boxes of abnormal studies.")
    page.figure(plots.together(studies, CLASSES), "Classes that stand together.")


def _variant(n: int) -> str:
    return f"{n}: {', '.join(class_list(n))}"


def _support(studies: Sequence[Study], classes: Sequence[str]) -> tuple[Cell, ...]:
    """Studies with a box of one of the classes, and reader 1's boxes in each split."""
    drawn = [(s, b) for s in studies for b in s.boxes if b.label in classes]
    boxes = Counter(study.split for study, box in drawn if box.reader == 1)
    return (len({study.image_id for study, _ in drawn}), *(boxes[split] for split in SPLITS))


def boxes(page: Page, studies: Sequence[Study], films: Mapping[str, FilmFacts]) -> None:
    """Shapes and places of boxes."""
    page.section("Boxes", "Boxes of the 13 classes of the largest detector, of both readers.")
    if not any(drawn.label in CLASSES for study in studies for drawn in study.boxes):
        page.text("There are none.")
        return
    page.figure(
        plots.box_shapes(studies, CLASSES),
        "Median, quartiles, 5th and 95th percentile. The area's scale is logarithmic.",
    )
    rows: list[tuple[Cell, ...]] = []
    for name in CLASSES:
        members = [study for study in studies if name in study.labels]
        boxes = [b for study in members for b in study.boxes if b.label == name]
        sides = [min(b.box.x_max - b.box.x_min, b.box.y_max - b.box.y_min) for b in boxes]
        rows.append(
            (
                name,
                len(members),
                sum(not any(b.label == name for b in study.boxes) for study in members),
                sum(b.reader == 1 for b in boxes),
                sum(b.reader == 2 for b in boxes),
                len(boxes) / len(members) / 2 if members else None,
                round(float(np.median(sides)) * DETECTOR_PX) if sides else None,
                round(float(np.percentile(sides, 5)) * DETECTOR_PX) if sides else None,
            )
        )
    page.table(
        (
            "class",
            "studies",
            "without a box",
            "reader 1",
            "reader 2",
            "boxes a reader and study",
            f"shorter side in a {DETECTOR_PX} px image, median",
            "5th percentile",
        ),
        rows,
    )
    readable = {name: film for name, film in films.items() if not film.error}
    page.subsection("Where they lie")
    page.figure(
        film_plots.heatmaps(studies, readable, CLASSES),
        "Share of the class's studies whose boxes cover a place, over the mean of their films. The "
        "film's right is the patient's left. A class whose map is not where its organ is has been "
        "flipped or mixed up.",
    )


def splits(page: Page, studies: Sequence[Study], films: Mapping[str, FilmFacts]) -> None:
    """Who is in which split, and what could leak."""
    page.section("Splits and leakage", "The published split column alone decides.")
    rows: list[tuple[Cell, ...]] = []
    for split in SPLITS:
        members = [study for study in studies if study.split == split]
        known_ages = [study.age for study in members if study.age is not None]
        views = Counter(study.view for study in members)
        rows.append(
            (
                split,
                len(members),
                len({study.patient_id for study in members}),
                sum(study.abnormal for study in members),
                float(100 * np.mean([s.abnormal for s in members])) if members else None,
                float(np.median(known_ages)) if known_ages else None,
                sum(study.sex == "F" for study in members),
                sum(study.sex == "M" for study in members),
                *(views[view] if any(views[known] for known in VIEWS) else None for view in VIEWS),
            )
        )
    header = ("split", "studies", "patients", "abnormal", "%", "median age", "F", "M", *VIEWS)
    page.table(header, rows)
    pairs = [(a, b) for i, a in enumerate(SPLITS) for b in SPLITS[i + 1 :]]
    patients = {split: {s.patient_id for s in studies if s.split == split} for split in SPLITS}
    names = {study.image_id: study.split for study in studies}
    twins = [{names[n] for n in group if n in names} for group in duplicate_groups(films)]
    page.subsection("Leakage", "Both columns must be 0.")
    page.table(
        ("splits", "patients in both", "images with the same samples in both"),
        [
            (
                f"{a} and {b}",
                len(patients[a] & patients[b]),
                sum({a, b} <= group for group in twins),
            )
            for a, b in pairs
        ],
    )
    page.figure(plots.prevalence(studies, CLASSES), "Share of each split's studies with a class.")
    page.figure(plots.ages(studies), "Ages, normal and abnormal, by sex.")
    page.subsection(
        "Shortcuts",
        "AUROC of facts that are no finding for normal against abnormal: 0.5 says nothing, and "
        f"from {SHORTCUT_AUROC} (or {1 - SHORTCUT_AUROC:.2f}) a network may learn the fact, not "
        "the disease. Age is one that is expected.",
    )
    found = [(name, auroc(*pair)) for name, pair in shortcuts(studies, films).items()]
    page.table(
        ("fact", "AUROC", ""),
        [
            (
                name,
                None if np.isnan(value) else value,
                Mark("warning" if max(value, 1 - value) >= SHORTCUT_AUROC else "ok"),
            )
            for name, value in sorted(found, key=lambda entry: -abs(entry[1] - 0.5))
        ],
    )


def images(page: Page, films: Mapping[str, FilmFacts]) -> None:
    """Sizes, depths, intensities."""
    seen = [film for film in films.values() if not film.error]
    page.section("Images", f"{len(seen):,} image files that can be read.")
    depths = Counter((film.bits, film.photometric) for film in seen)
    page.table(
        ("bits declared", "photometric interpretation", "images"),
        [(bits, photometric, count) for (bits, photometric), count in depths.most_common()],
    )
    page.subsection("Sizes")
    page.figure(film_plots.image_sizes(seen), "Larger dots are sizes that occur more often.")
    page.subsection("Bit depths")
    page.figure(
        film_plots.depths(seen),
        "Left: grey values that occur at all. Right: where in the declared range the values lie, "
        "and the percentiles that every image is rescaled by.",
    )
    page.subsection("Intensities")
    page.figure(
        film_plots.intensities(seen),
        "Exposure and processing differ as stored; the rescale that production applies as well "
        "brings the films together.",
    )
    page.figure(film_plots.contrasts(seen), "Outliers are worth a look.")


def readers(page: Page, studies: Sequence[Study]) -> None:
    """How far the two readers agree."""
    page.section(
        "Reader agreement",
        "Overlap over union of what the two readers covered, in studies where both drew the class. "
        "This is the human ceiling for a detector's AP50. Published means: Castro et al. 2024.",
    )
    measured = [reader_agreement(studies, label) for label in CLASSES]
    measured = [entry for entry in measured if entry.both + entry.first_only + entry.second_only]
    if any(entry.both for entry in measured):
        page.figure(plots.agreement_spread(measured, PUBLISHED_IOU), "Agreement by class.")
    page.table(
        (
            *("class", "both", "reader 1 only", "reader 2 only", "mean IoU", "95 % interval"),
            *("IoU >= 0.5", "published mean"),
        ),
        [
            (
                entry.label,
                entry.both,
                entry.first_only,
                entry.second_only,
                entry.mean,
                f"{entry.interval[0]:.2f} to {entry.interval[1]:.2f}" if entry.interval else None,
                f"{100 * entry.at_half:.0f} %" if entry.at_half is not None else None,
                PUBLISHED_IOU.get(entry.label),
            )
            for entry in measured
        ],
    )


def broken(page: Page, inspection: Inspection, films: Mapping[str, FilmFacts]) -> None:
    """What is left out, and why."""
    page.section("Broken, duplicate, excluded")
    exclusions = inspection.dataset.exclusions
    unreadable = [(film.image_id, film.error) for film in films.values() if film.error]
    twins = [(" = ".join(names), len(names)) for names in duplicate_groups(films)]
    lists: tuple[tuple[str, Sequence[Sequence[Cell]], tuple[str, str]], ...] = (
        ("Excluded studies", [(e.image_id, e.reason) for e in exclusions], ("image", "reason")),
        ("Unreadable images", unreadable, ("image", "reason")),
        ("Images with equal samples", twins, ("images", "copies")),
    )
    for title, rows, header in lists:
        more = f" The first {MAX_LISTED} are shown." if len(rows) > MAX_LISTED else ""
        page.subsection(title, f"{len(rows):,} in all.{more}" if rows else "None.")
        if rows:
            page.table(header, rows[:MAX_LISTED])


def quality(page: Page, checks: Sequence[Check]) -> None:
    """Every check."""
    page.section("Quality and format checks")
    page.table(
        ("", "what should be so", "offenders", "meaning", "such as"),
        [(Mark(c.status), c.name, c.count, c.meaning, "; ".join(c.examples)) for c in checks],
    )
