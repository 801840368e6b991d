"""The page of an evaluation: one self-contained HTML file, from the figures that the JSON holds."""

from collections.abc import Callable
from typing import Final

from lambdas.shared.radiograph import FloatImage
from training import evaluate_sections as sections
from training import evaluate_words as words
from training.evaluate_measure import Evaluation
from training.report_html import Cell, Page
from training.studies import Study

METHOD: Final = (
    "Temperature and thresholds are chosen on the validation split alone; the test split is read "
    "once, after that, and nothing is chosen on it. Intervals are 95 %: a bootstrap over patients "
    "for AUROC, average precision and calibration, Wilson's for plain proportions such as "
    "sensitivity. An interval without width means that no resample differed, not certainty. A box "
    "counts as found where it overlaps a true one by an IoU of at least 0.5; the true boxes are "
    "reader 1's, and reader 2's where reader 1 drew none of the class, as in training. A film "
    "whose report names a class that nobody boxed counts neither for nor against a detector."
)


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
    if len(evaluation.detection) > 1:
        sections.variants(page, evaluation)
    for triage in evaluation.triage.values():
        sections.triage(page, triage, evaluation, pixels)
    for detector in evaluation.detection.values():
        sections.detector(page, detector, evaluation, pixels)
    for cascade in evaluation.cascades:
        sections.cascade(page, cascade)
    if evaluation.real:
        sections.real(page, evaluation)
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
    page.section(
        "Models",
        "A bundle is the files that ship; it answers through the stage functions of production. A "
        "checkpoint is what training reached before export, through the same functions.",
    )
    if any(m.bundle.facts["trained_on"]["kind"] == "nothing" for m in evaluation.models.all):
        page.callout("warning", words.UNTRAINED)
    rows: list[tuple[Cell, ...]] = []
    for model in evaluation.models.all:
        facts = model.bundle.facts
        side = f"{facts['input']['width_px']} x {facts['input']['height_px']} px"
        rows.append(
            (
                words.title(model),
                model.form,
                words.training(model),
                f"{facts['architecture']}, {side}, {facts['precision']}; version "
                f"{facts['version']}, code {facts['code_version']}",
                ", ".join(model.labels),
                model.sha256,
            )
        )
    page.table(("model", "form", "trained on", "architecture", "labels", "sha256"), rows)


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
    sections.listed(page, evaluation.rejected)
    sections.listed(page, {e.image_id: e.reason for e in evaluation.dataset.exclusions})
    page.subsection(
        "Published figures to stand beside",
        "On real films, and none of them on the same task; beside phantoms' figures they mean "
        "nothing.",
    )
    page.table(("figure", "value", "source"), words.PUBLISHED)


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
