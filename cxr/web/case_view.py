"""One result on the page: the film at the left; triage, findings, files and facts at the right."""

from collections.abc import Callable
from typing import Final

import streamlit as st

from cxr.web import markup
from cxr.web.assessment import Assessment, Shown, Thresholds, assess
from cxr.web.case import Case
from cxr.web.downloads import show_downloads
from cxr.web.film_viewer import Mark, film_viewer
from cxr.web.markup import block, key_tag, text
from cxr.web.review_draft import draft_of, review_marks, take_edit
from cxr.web.review_panel import show_review
from cxr.web.threshold_controls import finding_threshold, triage_threshold
from lambdas.report import words
from lambdas.report.location import Sides, location_words, sides_of
from lambdas.shared.boxes import UnitBox

READ, REVIEW = "Read", "Review"

SCORE_NOTE: Final = "Scores run from 0 to 1 and are no probabilities."


def show_case(case: Case, *, actions: Callable[[], None] | None = None) -> None:
    """Show a result.

    Args:
        case: The result.
        actions: Puts buttons beside its name.
    """
    kind = markup.result_kind(case.record)
    with st.container(horizontal=True, vertical_alignment="center", key="title"):
        block(
            f'<div class="cxr-title"><h1>{text(markup.short(case.name))}</h1>'
            f'<span class="soft">{markup.SIGNS[kind]} {kind}</span></div>'
        )
        if actions is not None:
            actions()
    if case.record["status"] == "rejected":
        _rejection(case)
        return
    with st.container(key="case"):
        left, right = st.columns([1.5, 1], gap="medium")
        with right:
            mode = _mode(case)
            tried = Thresholds()
            if mode == READ:
                with st.container():
                    tried = _triage(case)
                with st.container(key="findings"):
                    assessment = _findings(case, tried)
            else:
                assessment = assess(case.record, tried)
                show_review(case)
            show_downloads(case)
            _facts(case)
        with left, st.container(key="film-column"):
            _film(case, assessment, reviewing=mode == REVIEW)


def _mode(case: Case) -> str:
    """Whether the result is read or reviewed."""
    if case.reviewing is None:
        return READ
    chosen = st.segmented_control(
        "Mode",
        [READ, REVIEW],
        default=READ,
        required=True,
        key=f"mode-{case.id}",
        label_visibility="collapsed",
    )
    return str(chosen)


def _triage(case: Case) -> Thresholds:
    """The classifier's answer, and the slider that moves its operating point."""
    place = st.container()
    threshold = triage_threshold(case)
    labels = tuple(entry["name"] for entry in case.classifier["labels"]) if case.classifier else ()
    assessment = assess(case.record, Thresholds(triage=threshold), labels=labels)
    triage = assessment.triage
    as_recorded = case.record["triage"]
    shown = as_recorded | {
        "label": triage.label,
        "threshold": triage.threshold,
        "positive": triage.positive,
    }
    value, _ = words.compare_numbers(triage.probability, triage.threshold, reached=triage.positive)
    moved = (
        f"<p><small>Tried here only: record and report keep "
        f"{text(as_recorded['label'])} at {as_recorded['threshold']:g}.</small></p>"
        if assessment.moved
        else ""
    )
    with place:
        block(
            f'<div class="cxr-verdict"><strong>{text(triage.label)}</strong>'
            f"<span>{text(words.number_name(shown))} <b>{value}</b></span></div>"
            f"{markup.scale(triage, recorded=as_recorded['threshold'])}"
            f"<p>{text(words.operating_point(shown))} "
            f'<span class="soft">{text(words.calibration(shown))}</span></p>{moved}'
        )
    return Thresholds(triage=threshold)


def _findings(case: Case, tried: Thresholds) -> Assessment:
    """The detector's answer, and the slider that moves the scores' threshold."""
    lowest = finding_threshold(case)
    place = st.container()
    assessment = assess(
        case.record,
        Thresholds(triage=tried.triage, findings=lowest),
        operating=case.detector["operating_point"]["thresholds"] if case.detector else None,
        findings_from=case.findings_from,
    )
    sides = sides_of(case.record["image"]["patient_orientation"])
    sentences = [] if assessment.findings else _without_findings(case, assessment)
    if assessment.hidden:
        are = "finding lies" if assessment.hidden == 1 else "findings lie"
        sentences.append(f"{assessment.hidden} {are} below the threshold tried.")
    if assessment.idle:
        sentences.append("At the triage threshold tried, the detector would not have run.")
    if assessment.unknown:
        sentences.append(assessment.unknown)
    if assessment.findings and not case.record["triage"]["positive"] and not assessment.moved:
        sentences += words.findings_summary(case.record)
    with place:
        if assessment.findings:
            block(_findings_table(assessment, sides))
        for sentence in sentences:
            block(f"<p>{text(sentence)}</p>")
        block(f"<small>{text(words.detectable(case.record))} {SCORE_NOTE}</small>")
    return assessment


def _without_findings(case: Case, assessment: Assessment) -> list[str]:
    """Why there is no finding to show."""
    if not assessment.detected:
        return words.findings_summary(case.record) if not assessment.moved else []
    if assessment.hidden:
        return []
    count = len(case.record["detection"]["detectable"])
    return [
        f"{assessment.triage.label}: none of the {count} detectable "
        f"{'finding' if count == 1 else 'findings'} localised."
    ]


def _findings_table(assessment: Assessment, sides: Sides) -> str:
    rows = []
    for shown in assessment.findings:
        entry = shown.entry
        score, threshold = words.compare_numbers(entry["score"], entry["threshold"], reached=True)
        code = words.code_words(entry["code"])
        tried = "" if shown.recorded else "<small>only at the thresholds tried</small>"
        rows.append(
            (
                key_tag(shown.number),
                f"{text(entry['label'])}<small>{text(code)}</small>{tried}",
                f"{score}<small>from {threshold}</small>",
                text(location_words(entry["box_normalised"], sides)),
            )
        )
    below = [index for index, shown in enumerate(assessment.findings) if not shown.recorded]
    return markup.table(
        ("No.", "Finding", "Score", "Location"),
        rows,
        numbers=(2,),
        label="Findings",
        marked=below,
    )


def _film(case: Case, assessment: Assessment, *, reviewing: bool) -> None:
    record = case.record
    if case.film is None:
        st.info(case.film_note or "There is no image to show.")
        return
    sides = sides_of(record["image"]["patient_orientation"])
    if reviewing:
        marks = review_marks(case, draft_of(case))
    else:
        marks = [_mark(shown, sides) for shown in assessment.findings]
    image = record["image"]
    view = image["view"] or "view not stated"
    film_viewer(
        case.film,
        name=record["image_id"],
        said=f"Chest radiograph, {view}, {image['width_px']} by {image['height_px']} pixels, "
        f"{len(marks)} boxes",
        marks=marks,
        letters=sides.letters,
        key="film",
        on_edit=(lambda edit: take_edit(case, edit)) if reviewing else None,
    )
    notes = [words.sentence(sides.note), case.film_note or "", words.PREVIEW]
    block(f"<small>{text(' '.join(filter(None, notes)))}</small>")


def _mark(shown: Shown, sides: Sides) -> Mark:
    entry = shown.entry
    score, threshold = words.compare_numbers(entry["score"], entry["threshold"], reached=True)
    place = location_words(entry["box_normalised"], sides)
    return Mark(
        id=f"f{shown.number}",
        number=shown.number,
        label=f"{entry['label']} {score}",
        title=entry["label"],
        detail=f"Score {score}, threshold {threshold}; {place}",
        box=UnitBox(**entry["box_normalised"]),
        state="" if shown.recorded else "below",
    )


def _rejection(case: Case) -> None:
    """Why an image has no result, and what to do."""
    rejection = case.record["rejection"]
    code = rejection["code"]
    reason = words.sentence(f"{words.rejection_meaning(code)} (code {code})")
    block(
        '<div class="cxr-rejected" role="alert"><strong>Rejected: not assessed</strong>'
        f"<p>{text(words.NO_RESULT)}</p>"
        f"<p>{text(reason)}<br>{text(words.sentence(rejection['message'].rstrip('.')))}</p>"
        f"<p><b>What to do.</b> {text(words.next_step(code))}</p></div>"
    )
    show_downloads(case)
    if case.record["image"]:
        block(markup.facts_list(words.image_facts(case.record["image"])))


def _facts(case: Case) -> None:
    record = case.record
    with st.expander("Image"):
        facts = words.image_facts(record["image"])
        tags = record.get("source_tags") or {}
        block(markup.facts_list([*facts, *((name, str(value)) for name, value in tags.items())]))
    with st.expander("Models"):
        for model in record["models"]:
            task, name, architecture, trained_on, digest = words.model_row(model)
            block(
                f"<h2>{text(task)}</h2>"
                + markup.facts_list(
                    [
                        ("Model", name),
                        ("Architecture", architecture),
                        ("Trained on", trained_on),
                        ("SHA-256", digest),
                    ]
                )
            )
            bundle = case.classifier if model["task"] == "classification" else case.detector
            if bundle and bundle["metrics"]:
                block(_metrics(bundle["metrics"]))
        block(f"<small>Model set {text(record['model_set'])}</small>")


def _metrics(metrics: list[dict[str, object]]) -> str:
    rows = []
    for metric in metrics:
        interval = metric["interval_95"]
        between = f"{interval[0]:.3f} to {interval[1]:.3f}" if isinstance(interval, list) else ""
        name = f"{text(metric['name'])}<small>{text(metric['data'])}</small>"
        rows.append((name, f"{metric['value']:.3f}", between, text(metric["n"])))
    return markup.table(
        ("Measured", "Value", "95 % interval", "n"), rows, numbers=(1, 2, 3), label="Metrics"
    )
