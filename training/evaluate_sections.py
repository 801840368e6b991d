"""Sections of an evaluation's page: triage, detection, cascade, variants, real films."""

from collections.abc import Callable, Mapping
from typing import Final

from lambdas.shared.radiograph import FloatImage
from training import evaluate_figures as plots
from training import evaluate_words as words
from training.estimates import Estimate
from training.evaluate_cascade import CascadeFigures
from training.evaluate_detection import DetectorFigures
from training.evaluate_gallery import detector_panels, draw_panels, triage_panels
from training.evaluate_measure import Evaluation
from training.evaluate_triage import TriageFigures
from training.ranking import FROC_RATES
from training.report_html import NO_BREAK_SPACE, Cell, Page
from training.studies import Study

MOST_LABELS: Final = 20
"""Labels that triage's sensitivity is shown for; the JSON has all."""

MOST_LISTED: Final = 30
"""Excluded films that the page names; the JSON has all."""

COLOURS: Final = "Solid green: drawn by a reader. Dashed orange: found by the detector."


def triage(
    page: Page,
    figures: TriageFigures,
    evaluation: Evaluation,
    pixels: Callable[[Study], FloatImage],
) -> None:
    """How well normal and abnormal are told apart, for whom, and with what examples."""
    point = figures.point
    page.section(
        f"Triage: {words.title(figures.model)}",
        f"Threshold {point.threshold:.4f}, temperature {point.temperature or 'none'}; chosen by: "
        f"{point.chosen_by}.",
    )
    page.text(words.triage_words(figures))
    rows: list[tuple[Cell, ...]] = [
        (name, figure.n, _in_cell(figure))
        for name, figure in (
            ("AUROC", figures.auroc),
            ("AUPRC", figures.auprc),
            ("sensitivity", figures.sensitivity),
            ("specificity", figures.specificity),
            ("positive predictive value", figures.positive_predictive_value),
            ("negative predictive value", figures.negative_predictive_value),
            ("sensitivity at the point the model came with", figures.shipped_sensitivity),
            ("specificity at the point the model came with", figures.shipped_specificity),
            ("expected calibration error", figures.ece),
            ("the same at temperature 1", figures.ece_uncalibrated),
        )
    ]
    page.table(("figure", "n", "value (95 % interval)"), rows)
    counts = figures.confusion
    page.table(
        ("truth", "called abnormal", "called normal"),
        [
            ("abnormal", counts["true_abnormal"], counts["missed"]),
            ("normal", counts["false_alarm"], counts["true_normal"]),
        ],
    )
    page.figure(
        plots.triage_curves(figures),
        "The dot is the operating point. The dotted line is chance, the prevalence, and perfect "
        "calibration; larger dots of the reliability diagram stand for more studies.",
    )
    page.figure(plots.score_histogram(figures), "Dashed: the threshold.")
    page.subsection("Subgroups")
    page.table(
        ("", "", "studies", "abnormal", "AUROC", "sensitivity", "specificity"),
        [
            (
                g.attribute,
                g.value,
                g.n,
                g.abnormal,
                _in_cell(g.auroc),
                _in_cell(g.sensitivity),
                _in_cell(g.specificity),
            )
            for g in figures.subgroups
        ],
    )
    page.subsection(
        "Which findings triage lets through",
        "Studies with the label, and how many of them are sent on to the detector.",
    )
    shown = figures.by_label[:MOST_LABELS]
    page.table(
        ("label", "studies", "sensitivity"), [(label, e.n, _in_cell(e)) for label, e in shown]
    )
    page.subsection("Hits, misses and false alarms", "Boxes are the readers', of all labels.")
    for title, panels in triage_panels(figures, evaluation.test).items():
        page.subsection(title, "" if panels else "None.")
        page.gallery(draw_panels(panels, pixels=pixels))


def detector(
    page: Page,
    figures: DetectorFigures,
    evaluation: Evaluation,
    pixels: Callable[[Study], FloatImage],
) -> None:
    """Average precision, operating point, FROC, readers, subgroups and examples."""
    page.section(
        f"Detection: {words.title(figures.model)}",
        f"Thresholds chosen by: {figures.point.chosen_by}. The detector alone, on every film of "
        "the split, as if triage let all pass.",
    )
    boxes = figures.mean_ap50.n
    page.table(
        ("figure", "boxes", "value (95 % interval)"),
        [
            ("mean AP50", boxes, _in_cell(figures.mean_ap50)),
            ("COCO mAP, IoU 0.50 to 0.95", boxes, _in_cell(figures.mean_ap)),
        ],
    )
    page.table(
        ("class", "boxes", "films", "left out", "AP50", "COCO AP"),
        [
            (c.label, c.boxes, c.films, c.left_out, _in_cell(c.ap50), _in_cell(c.ap))
            for c in figures.classes
        ],
    )
    page.figure(
        plots.average_precisions(figures),
        "Bars: AP50 with its interval. Diamonds: in how many films one reader's boxes would be a "
        "hit on the other's, which is what to hold AP50 against. Strokes: published mean IoU of "
        "PadChest-GR's readers.",
    )
    page.subsection("At the operating point")
    page.table(
        ("class", "threshold", "sensitivity", "precision", "false boxes an image"),
        [
            (
                c.label,
                f"{c.threshold:.4f}",
                _in_cell(c.sensitivity),
                _in_cell(c.precision),
                f"{c.false_per_image:.2f}",
            )
            for c in figures.classes
        ],
    )
    page.subsection("FROC")
    page.figure(plots.froc(figures), "Dots: the operating points.")
    page.table(
        ("sensitivity at false boxes an image of", *(f"{rate:g}" for rate in FROC_RATES)),
        [(c.label, *(c.froc[rate] for rate in FROC_RATES)) for c in figures.classes],
    )
    page.subsection(
        "Against each reader, and readers against each other",
        "Films that only the other reader boxed are left out for a reader. Overlap is that of the "
        "areas covered, over films where both sides mark the class.",
    )
    page.table(
        (
            "class",
            "AP50, reader 1",
            "AP50, reader 2",
            "films both read",
            "IoU of readers",
            "films of both",
            "IoU of detector and reader 1",
        ),
        [
            (
                c.label,
                _in_cell(c.by_reader[1]),
                _in_cell(c.by_reader[2]),
                c.agreement.both,
                c.agreement.mean,
                c.detector_iou.n,
                _in_cell(c.detector_iou),
            )
            for c in figures.classes
        ],
    )
    page.subsection("Subgroups", "All classes together, at the operating point.")
    page.table(
        ("", "", "films", "boxes", "sensitivity", "false boxes an image"),
        [
            (
                g.attribute,
                g.value,
                g.films,
                g.sensitivity.n,
                _in_cell(g.sensitivity),
                f"{g.false_per_image:.2f}",
            )
            for g in figures.subgroups
        ],
    )
    page.subsection("Hits, misses and false alarms", COLOURS)
    for title, panels in detector_panels(figures, evaluation.test).items():
        page.subsection(title, "" if panels else "None.")
        page.gallery(draw_panels(panels, pixels=pixels))


def cascade(page: Page, figures: CascadeFigures) -> None:
    """What becomes of true boxes behind the gate."""
    pair = figures.pair
    page.section(
        f"Cascade: {pair.name}",
        f"{words.title(pair.classifier)} before {words.title(pair.detector)}, both at their "
        "operating points: what production does.",
    )
    page.text(words.cascade_words(figures))
    page.figure(plots.cascade_bars(figures), "What becomes of the true boxes.")
    page.table(
        (
            "class",
            "boxes",
            "found",
            "lost at the gate",
            "of these detectable",
            "missed",
            "end to end",
            "detector alone",
            "false boxes",
            "without gate",
        ),
        [
            (
                c.label,
                c.boxes,
                c.found,
                c.lost_at_gate,
                c.lost_though_detectable,
                c.missed_by_detector,
                _in_cell(c.end_to_end),
                _in_cell(c.detector_alone),
                c.false_boxes,
                c.false_boxes_alone,
            )
            for c in (*figures.classes, figures.total)
        ],
    )
    page.table(
        ("films", "called normal", "abnormal, none of the classes localised", "abnormal, boxes"),
        [
            (truth, counts["normal"], counts["no_boxes"], counts["boxes"])
            for truth, counts in figures.outcomes.items()
        ],
    )


def variants(page: Page, evaluation: Evaluation) -> None:
    """Several detectors side by side, and what to make of it."""
    figures = list(evaluation.detection.values())
    page.section("Variants side by side")
    shared = set.intersection(*(set(entry.model.labels) for entry in figures))
    page.table(
        ("detector", "classes", "mean AP50", "mean AP50, shared classes", "COCO mAP"),
        [
            (
                words.title(f.model),
                len(f.model.labels),
                _in_cell(f.mean_ap50),
                _in_cell(f.mean_ap50_of(sorted(shared))),
                _in_cell(f.mean_ap),
            )
            for f in figures
        ],
    )
    for sentence in words.variants_words(figures, evaluation.cascades):
        page.text(sentence)
    page.figure(plots.variants(figures), "AP50 with its interval.")


def real(page: Page, evaluation: Evaluation) -> None:
    """Labelled real films beside the test split."""
    page.section(
        "Real films",
        "A few labelled films from public collections, at the operating points chosen above. They "
        "choose nothing; they show how far the figures above carry.",
    )
    for figures in evaluation.real_triage:
        beside = evaluation.triage[figures.model.key].auroc
        page.text(words.real_words(figures, beside, kind=evaluation.kind))
    page.table(
        (
            "classifier",
            "AUROC, test split",
            "films",
            "AUROC, real films",
            "sensitivity",
            "specificity",
        ),
        [
            (
                words.title(f.model),
                _in_cell(evaluation.triage[f.model.key].auroc),
                f.auroc.n,
                _in_cell(f.auroc),
                _in_cell(f.sensitivity),
                _in_cell(f.specificity),
            )
            for f in evaluation.real_triage
        ],
    )
    if evaluation.real_boxes:
        page.subsection(
            "Boxes on real films",
            "The best-scoring detection of the box's class, whatever its score, against the box.",
        )
        page.table(
            ("detector", "film", "finding", "IoU", "score", "threshold"),
            [
                (
                    words.title(r.model),
                    r.real.file,
                    r.real.finding,
                    r.iou,
                    r.score,
                    f"{r.threshold:.4f}",
                )
                for r in evaluation.real_boxes
            ],
        )
    if evaluation.real_triage:
        first = evaluation.real_triage[0]
        page.subsection("Film by film", words.title(first.model))
        page.table(
            ("film", "label", "P(abnormal)"),
            [
                (name, "abnormal" if first.truth[name] else "normal", f"{value:.4f}")
                for name, value in sorted(first.probabilities.items(), key=lambda kv: -kv[1])
            ],
        )
    listed(page, evaluation.real_rejected)


def listed(page: Page, reasons: Mapping[str, str]) -> None:
    """Films that are left out, and why; nothing where there are none."""
    if reasons:
        page.subsection(f"Left out: {len(reasons)}")
        page.table(("film", "reason"), list(reasons.items())[:MOST_LISTED])


def _in_cell(figure: Estimate) -> str:
    """A figure and its interval, in one line of a table."""
    return str(figure).replace(" ", NO_BREAK_SPACE)
