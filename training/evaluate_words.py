"""What the figures of an evaluation mean, in sentences made from the figures themselves."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from training.estimates import Estimate
from training.evaluate_cascade import CascadeFigures
from training.evaluate_detection import DetectorFigures
from training.evaluate_films import RealTriage
from training.evaluate_triage import TriageFigures
from training.evaluated_models import EvaluatedModel
from training.metrics import percentile_interval

PHANTOMS_PROVE: Final = (
    "These are phantoms: drawn, not exposed. What they prove is that reading, training, export, "
    "thresholds and evaluation fit together. They say nothing about how the models do on patients."
)

UNTRAINED: Final = (
    "A model that is trained on nothing answers by chance: its figures show that the evaluation "
    "runs, and nothing else."
)

PUBLISHED: Final = (
    ("Normal against abnormal, AUROC", "0.98 internal, 0.94 external", "Tang et al. 2020"),
    ("Normal against abnormal, AUROC", "0.91 external (n = 1,045)", "TRIA"),
    ("Faster R-CNN R50-FPN, mAP and AP50", "0.085 and 0.206", "NIH's 880 boxes"),
    ("The same, AP50 of cardiomegaly", "about 0.56", "NIH's 880 boxes"),
    ("mAP at IoU 0.4", "0.25 one model, 0.29 to 0.31 ensembles", "VinDr-CXR"),
    ("IoU between readers", "0.69 cardiomegaly to 0.32 nodule", "Castro et al. 2024, PadChest-GR"),
)
"""Figure, value, where from; no AP of a box detector on PadChest-GR is published."""


def training(model: EvaluatedModel) -> str:
    """What taught the model."""
    trained = model.bundle.facts["trained_on"]
    return f"{trained['kind']}: {trained['description'].rstrip('.')}"


def title(model: EvaluatedModel) -> str:
    """Such as `cxr-detector, 8 classes (small/detector)`."""
    place = "/".join(model.path.resolve().parts[-2:])
    classes = f", {len(model.labels)} classes" if model.task == "detection" else ""
    return f"{model.name}{classes} ({place})"


def triage_words(figures: TriageFigures) -> str:
    """What a classifier's operating point does, of a hundred and in counts."""
    counts = figures.confusion
    abnormal = counts["true_abnormal"] + counts["missed"]
    normal = counts["true_normal"] + counts["false_alarm"]
    words = (
        f"At the threshold {figures.point.threshold:.4f}, {counts['true_abnormal']} of {abnormal} "
        f"abnormal studies are sent to the detector and {counts['missed']} are called normal; "
        f"{counts['false_alarm']} of {normal} normal studies are sent along. "
    )
    auroc = figures.auroc
    if auroc.interval and auroc.interval[0] <= 0.5 <= auroc.interval[1]:
        words += "The interval of AUROC includes 0.5: no better than chance has been shown. "
    before, after = figures.ece_uncalibrated.value, figures.ece.value
    if before is not None and after is not None and figures.point.temperature is not None:
        change = "lowers" if after < before else "does not lower"
        words += (
            f"The temperature {figures.point.temperature:g} {change} the calibration error "
            f"({before:.3f} without, {after:.3f} with it)."
        )
    return words


def cascade_words(figures: CascadeFigures) -> str:
    """Where findings are lost, and what the chain says of a film."""
    total = figures.total
    if not total.boxes:
        return "The test split holds no box of the detector's classes."
    abnormal = figures.outcomes["abnormal"]
    sent = abnormal["boxes"] + abnormal["no_boxes"]
    return (
        f"Of {total.boxes} true boxes, {total.found} are found end to end; {total.lost_at_gate} "
        f"lie on films that triage calls normal, {total.lost_though_detectable} of which the "
        f"detector would have found; {total.missed_by_detector} are missed by the detector itself. "
        f"The gate takes {total.false_boxes_alone - total.false_boxes} of "
        f"{total.false_boxes_alone} false boxes away. {abnormal['no_boxes']} of the {sent} "
        "abnormal studies that pass it end as “abnormal, none of the detectable findings "
        "localised”: an expected outcome where the study's findings are not among the classes."
    )


def variants_words(
    figures: Sequence[DetectorFigures], cascades: Sequence[CascadeFigures]
) -> list[str]:
    """The variants against each other, a sentence or two each."""
    shared = sorted(set.intersection(*(set(entry.model.labels) for entry in figures)))
    reference = min(figures, key=lambda entry: len(entry.model.labels))
    words = []
    for entry in figures:
        count = len(entry.model.labels)
        own, common = entry.mean_ap50, entry.mean_ap50_of(shared)
        text = f"{title(entry.model)}: mean AP50 {own} over its own classes"
        if shared and count != len(shared):
            text += f", {common} over the {len(shared)} classes that all variants share"
        words.append(text + ". " + _against(entry, reference, shared) + _reach(entry, cascades))
    if len({len(entry.model.labels) for entry in figures}) > 1:
        words.append(
            "A mean over more classes is not comparable with one over fewer: the added classes are "
            "rarer and mostly smaller, so it tends to fall even where the shared ones are as good. "
            "Compare the shared classes, and weigh them against the part of abnormal films on "
            "which a variant can say anything at all."
        )
    return words


def _against(entry: DetectorFigures, reference: DetectorFigures, shared: Sequence[str]) -> str:
    """The difference on the same resamples of patients."""
    if entry is reference or not shared:
        return ""
    ours, theirs = (
        f.ap50_draws[:, [f.model.labels.index(label) for label in shared]]
        for f in (entry, reference)
    )
    have = np.isfinite(ours).any(axis=1) & np.isfinite(theirs).any(axis=1)
    mine, other = entry.mean_ap50_of(shared).value, reference.mean_ap50_of(shared).value
    if mine is None or other is None or not have.any():
        return ""
    drawn = np.nanmean(ours[have], axis=1) - np.nanmean(theirs[have], axis=1)
    low, high = percentile_interval(drawn)
    verdict = (
        "no difference is shown" if low <= 0 <= high else "a difference that chance hardly gives"
    )
    return (
        f"Against {title(reference.model)} on the shared classes: {mine - other:+.3f} "
        f"({low:+.3f} to {high:+.3f}), {verdict}. "
    )


def _reach(entry: DetectorFigures, cascades: Sequence[CascadeFigures]) -> str:
    """On how many abnormal films the chain can and does say where."""
    for cascade in cascades:
        if cascade.pair.detector is entry.model:
            abnormal = cascade.outcomes["abnormal"]
            n = sum(abnormal.values())
            share = abnormal["boxes"] / n if n else 0.0
            return (
                f"Behind {title(cascade.pair.classifier)} it draws a box on {abnormal['boxes']} of "
                f"{n} abnormal films ({share:.0%})."
            )
    return ""


def real_words(figures: RealTriage, beside: Estimate, *, kind: str) -> str:
    """The real films' AUROC beside that of the test split."""
    text = (
        f"{title(figures.model)}: AUROC {figures.auroc} on {figures.auroc.n} real films, beside "
        f"{beside} on the test split of {kind}. "
    )
    interval = figures.auroc.interval
    if interval and interval[0] <= 0.5 <= interval[1]:
        text += "The interval includes 0.5: on real films, no better than chance has been shown."
    elif figures.auroc.n < 100:
        text += "So few films from several sources show a direction at best."
    return text
