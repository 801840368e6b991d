"""Findings of one radiograph by any detector that meets the bundle's contract."""

from collections.abc import Mapping

import numpy as np

from lambdas.shared.errors import ModelMismatchError
from lambdas.shared.findings import Finding
from lambdas.shared.onnx_model import Arrays, OnnxModel
from lambdas.shared.preprocess import InputSpec, fit, to_input
from lambdas.shared.radiograph import Radiograph

DEFAULT_MAX_FINDINGS = 20
"""Most findings kept for one image where the bundle does not say; the table stays readable."""

MIN_BOX_FRACTION = 1e-4
"""A box thinner than this part of the image's side is a numerical speck, not a finding."""


def detect(
    radiograph: Radiograph, *, model: OnnxModel, thresholds: Mapping[str, float] | None = None
) -> tuple[Finding, ...]:
    """Localise the bundle's findings, each at its label's operating threshold.

    Args:
        radiograph: To look at.
        model: The detector.
        thresholds: By label, in place of the bundle's, for whoever explores other operating
            points; a label that is not named keeps its own. None for what production does.

    Returns:
        Highest score first; equal scores by label and place, so that the order is always the same.

    Raises:
        ModelMismatchError: The graph's answer is not what model.json promises.
        ValueError: A threshold is for a label that the bundle does not have.
    """
    facts = model.bundle.facts
    used = facts["operating_point"]["thresholds"] | dict(thresholds or {})
    if unknown := sorted(used.keys() - set(model.bundle.label_names)):
        raise ValueError(f"thresholds for unknown labels: {', '.join(unknown)}")
    spec = InputSpec.from_facts(facts["input"])
    canvas, placement = fit(radiograph.pixels, spec)
    outputs = model.run(to_input(canvas, spec))
    boxes, labels, scores = _checked(outputs, model)
    if facts["output"]["box_frame"] == "input_unit":
        sides = (spec.width_px, spec.height_px, spec.width_px, spec.height_px)
        boxes = boxes * np.asarray(sides, boxes.dtype)
    findings = []
    for edges, label_index, raw_score in zip(boxes, labels, scores, strict=True):
        label = model.bundle.labels[label_index]
        score = round(float(np.clip(raw_score, 0.0, 1.0)), 4)
        if score < used[label.name]:
            continue
        box = placement.unit_box(edges.astype(np.float64))
        if box is None or min(box.x_max - box.x_min, box.y_max - box.y_min) < MIN_BOX_FRACTION:
            continue
        findings.append(Finding(label.name, label.code, score, used[label.name], box))
    findings.sort(key=lambda finding: (-finding.score, finding.label, finding.box.x_min))
    return tuple(findings[: facts["operating_point"].get("max_findings", DEFAULT_MAX_FINDINGS)])


def _checked(outputs: Arrays, model: OnnxModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (n, 4), label indices (n,) and scores (n,) of the one image, checked."""
    facts = model.bundle.facts["output"]
    boxes, labels, scores = (outputs[facts[role]] for role in ("boxes", "labels", "scores"))
    if boxes.ndim == 3 and len(boxes) == 1:
        boxes, labels, scores = boxes[0], labels[0], scores[0]
    problems = []
    if boxes.ndim != 2 or boxes.shape[1] != 4 or {labels.shape, scores.shape} != {(len(boxes),)}:
        problems.append(f"shapes {boxes.shape}, {labels.shape}, {scores.shape}")
    elif len(boxes):
        indices = labels.astype(np.int64) - facts["first_label_id"]
        if indices.min() < 0 or indices.max() >= len(model.bundle.labels):
            problems.append(
                f"label ids {int(labels.min())} to {int(labels.max())}, but "
                f"{len(model.bundle.labels)} labels from id {facts['first_label_id']}"
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            problems.append("boxes or scores that are no numbers")
    if problems:
        raise ModelMismatchError(
            f"model {model.bundle.facts['name']!r} gave " + "; ".join(problems)
        )
    return boxes, labels.astype(np.int64) - facts["first_label_id"], scores
