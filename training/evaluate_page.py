"""The page of an evaluation: one self-contained HTML file, from the figures that the JSON holds."""

from collections.abc import Callable, Mapping
from typing import Final

from lambdas.shared.radiograph import FloatImage
from training import evaluate_figures as plots
from training import evaluate_words as words
from training.evaluate_cascade import CascadeFigures
from training.evaluate_detection import DetectorFigures
from training.evaluate_gallery import detector_panels, draw_panels, triage_panels
from training.evaluate_measure import Evaluation
from training.evaluate_triage import TriageFigures
from training.ranking import FROC_RATES
from training.report_html import Cell, Page
from training.studies import Study

MOST_LABELS: Final = 20
"""Labels that triage's sensitivity is shown for; the JSON has all."""

MOST_LISTED: Final = 30
"""Excluded films that the page names; the JSON has all."""

METHOD: Final = (
    "Temperature and thresholds are chosen on the validation split alone; the test split is read "
    "once, after that, and nothing is chosen on it. Intervals are 95 %: a bootstrap over patients "
    "for AUROC, average precision and calibration, Wilson's for plain proportions such as "
    "sensitivity. An interval without width means that no resample differed, not certainty. A box "
    "counts as found where it overlaps a true one by an IoU of at least 0.5; the true boxes are "
    "reader 1's, and reader 2's where reader 1 drew none of the class, as in training. A film "
    "whose report names a class that nobody boxed counts neither for nor against a detector."
)

COLOURS: Final = "Solid green: drawn by a reader. Dashed orange: found by the detector."


def write_page(evaluation: Evaluation, *, pixels: Callable[[Study], FloatImage]) -> str:
    """The page.

    Args:
        evaluation: The figures.
        pixels: Reads a study's film as (H, W) float32 in [0, 1], for the galleries.
    """
    page = Page(
        title="Evaluation",
        lead=f"{evaluation.data_name} · thresholds from {len(evaluation.validation):,} validation "
        f"studies · figures on {len(evaluation.test):,} test studies",
    )
    _overview(page, evaluation)
    _models(page, evaluation)
    for triage in evaluation.triage.values():
        _triage(page, triage, evaluation, pixels)
    for detector in evaluation.detection.values():
        _detector(page, detector, evaluation, pixels)
    for cascade in evaluation.cascades:
        _cascade(page, cascade)
    if len(evaluation.detection) > 1:
        _variants(page, evaluation)
    if evaluation.real:
        _real(page, evaluation)
    _data(page, evaluation)
    return page.to_html()


def _overview(page: Page, evaluation: Evaluation) -> None:
    if evaluation.kind == "phantoms":
        page.callout("warning", words.PHANTOMS_PROVE)
    if evaluation.settings.limit is not None:
        page.callout(
            "warning",
            f"A run on at most {evaluation.settings.limit} studies a split, chosen at random: its "
            "intervals are wider than the data set allows.",
        )
    facts: list[tuple[str, Cell]] = []
    for triage in evaluation.triage.values():
        facts.append(("AUROC of triage", _short(triage.auroc.value)))
        facts.append(("sensitivity of triage", _short(triage.sensitivity.value)))
    for detector in evaluation.detection.values():
        count = len(detector.model.labels)
        facts.append((f"mean AP50, {count} classes", _short(detector.mean_ap50.value)))
    for cascade in evaluation.cascades:
        count = len(cascade.pair.detector.labels)
        facts.append((f"found end to end, {count} classes", _short(cascade.total.end_to_end.value)))
    for real in evaluation.real_triage:
        facts.append((f"AUROC on {real.auroc.n} real films", _short(real.auroc.value)))
    page.facts(facts)
    page.text(METHOD)


def _models(page: Page, evaluation: Evaluation) -> None:
    page.section("Models")
    for model in evaluation.models.all:
        page.subsection(words.title(model), words.provenance(model))
        if model.bundle.facts["trained_on"]["kind"] == "nothing":
            page.callout("warning", words.UNTRAINED)
        facts = model.bundle.facts
        sides = f"{facts['input']['width_px']} x {facts['input']['height_px']} px"
        page.table(
            ("fact", "value"),
            [
                ("form", model.form),
                ("sha256", model.sha256),
                ("architecture", f"{facts['architecture']}, {sides}, {facts['precision']}"),
                ("labels", ", ".join(model.labels)),
                ("code", f"{facts['version']}, {facts['code_version']}"),
                ("operating point it came with", facts["operating_point"]["chosen_by"]),
            ],
        )


def _triage(
    page: Page,
    figures: TriageFigures,
    evaluation: Evaluation,
    pixels: Callable[[Study], FloatImage],
) -> None:
    point = figures.point
    page.section(
        f"Triage: {words.title(figures.model)}",
        f"Threshold {point.threshold:.4f}, temperature {point.temperature or 'none'}; chosen by: "
        f"{point.chosen_by}.",
    )
    page.text(words.triage_words(figures))
    rows: list[tuple[Cell, ...]] = [
        (name, figure.n, str(figure))
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
                str(g.auroc),
                str(g.sensitivity),
                str(g.specificity),
            )
            for g in figures.subgroups
        ],
    )
    page.subsection(
        "Which findings triage lets through",
        "Studies with the label, and how many of them are sent on to the detector.",
    )
    shown = figures.by_label[:MOST_LABELS]
    page.table(("label", "studies", "sensitivity"), [(label, e.n, str(e)) for label, e in shown])
    page.subsection("Hits, misses and false alarms", "Boxes are the readers'.")
    for title, panels in triage_panels(figures, evaluation.test).items():
        page.subsection(title, "" if panels else "None.")
        page.gallery(draw_panels(panels, pixels=pixels))


def _detector(
    page: Page,
    figures: DetectorFigures,
    evaluation: Evaluation,
    pixels: Callable[[Study], FloatImage],
) -> None:
    page.section(
        f"Detection: {words.title(figures.model)}",
        f"Thresholds chosen by: {figures.point.chosen_by}. The detector alone, on every film of "
        "the split, as if triage let all pass.",
    )
    boxes = figures.mean_ap50.n
    page.table(
        ("figure", "boxes", "value (95 % interval)"),
        [
            ("mean AP50", boxes, str(figures.mean_ap50)),
            ("COCO mAP, IoU 0.50 to 0.95", boxes, str(figures.mean_ap)),
        ],
    )
    page.table(
        ("class", "boxes", "films", "left out", "AP50", "COCO AP"),
        [(c.label, c.boxes, c.films, c.left_out, str(c.ap50), str(c.ap)) for c in figures.classes],
    )
    page.figure(
        plots.average_precisions(figures),
        "Bars: AP50 with its interval. Diamonds: in how many films one reader's boxes would be a "
        "hit on the other's; the ceiling for any detector. Strokes: published mean IoU of "
        "PadChest-GR's readers.",
    )
    page.subsection("At the operating point")
    page.table(
        ("class", "threshold", "sensitivity", "precision", "false boxes an image"),
        [
            (
                c.label,
                f"{c.threshold:.4f}",
                str(c.sensitivity),
                str(c.precision),
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
                str(c.by_reader[1]),
                str(c.by_reader[2]),
                c.agreement.both,
                c.agreement.mean,
                c.detector_iou.n,
                str(c.detector_iou),
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
                str(g.sensitivity),
                f"{g.false_per_image:.2f}",
            )
            for g in figures.subgroups
        ],
    )
    page.subsection("Hits, misses and false alarms", COLOURS)
    for title, panels in detector_panels(figures, evaluation.test).items():
        page.subsection(title, "" if panels else "None.")
        page.gallery(draw_panels(panels, pixels=pixels))


def _cascade(page: Page, figures: CascadeFigures) -> None:
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
                str(c.end_to_end),
                str(c.detector_alone),
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


def _variants(page: Page, evaluation: Evaluation) -> None:
    figures = list(evaluation.detection.values())
    page.section("Variants side by side")
    shared = set.intersection(*(set(entry.model.labels) for entry in figures))
    page.table(
        ("detector", "classes", "mean AP50", "mean AP50, shared classes", "COCO mAP"),
        [
            (
                words.title(f.model),
                len(f.model.labels),
                str(f.mean_ap50),
                str(f.mean_ap50_of(sorted(shared))),
                str(f.mean_ap),
            )
            for f in figures
        ],
    )
    for sentence in words.variants_words(figures, evaluation.cascades):
        page.text(sentence)
    page.figure(plots.variants(figures), "AP50 with its interval.")


def _real(page: Page, evaluation: Evaluation) -> None:
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
                str(evaluation.triage[f.model.key].auroc),
                f.auroc.n,
                str(f.auroc),
                str(f.sensitivity),
                str(f.specificity),
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
    _listed(page, evaluation.real_rejected)


def _data(page: Page, evaluation: Evaluation) -> None:
    how = "prepared images" if evaluation.prepared else "files as stored, read as production does"
    page.section("Data", f"{evaluation.data_name}: {how}.")
    page.table(
        ("split", "studies", "abnormal", "patients"),
        [
            (
                name,
                len(studies),
                sum(study.abnormal for study in studies),
                len({study.patient_id for study in studies}),
            )
            for name, studies in (
                ("validation", evaluation.validation),
                ("test", evaluation.test),
            )
        ],
    )
    _listed(page, evaluation.rejected)
    _listed(page, {e.image_id: e.reason for e in evaluation.dataset.exclusions})
    page.subsection(
        "Published figures to stand beside",
        "On real films, and none of them on the same task; beside phantoms' figures they mean "
        "nothing.",
    )
    page.table(("figure", "value", "source"), words.PUBLISHED)


def _listed(page: Page, reasons: Mapping[str, str]) -> None:
    if reasons:
        page.subsection(f"Left out: {len(reasons)}")
        page.table(("film", "reason"), list(reasons.items())[:MOST_LISTED])


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
