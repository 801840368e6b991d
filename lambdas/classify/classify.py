"""Triage of one radiograph by any classifier that meets the bundle's contract."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ModelMismatchError
from lambdas.shared.findings import Triage
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.preprocess import InputSpec, fit, to_input
from lambdas.shared.radiograph import Radiograph


def classify(radiograph: Radiograph, *, model: OnnxModel) -> Triage:
    """Give the probability of the bundle's positive label and the label at its operating point.

    Raises:
        ModelMismatchError: The graph's answer is not what model.json promises.
    """
    facts = model.bundle.facts
    spec = InputSpec.from_facts(facts["input"])
    canvas, _ = fit(radiograph.pixels, spec)
    scores = model.run(to_input(canvas, spec))[facts["output"]["scores"]]
    names = model.bundle.label_names
    if scores.shape != (1, len(names)) or not np.isfinite(scores).all():
        raise ModelMismatchError(
            f"model {facts['name']!r} gave scores of shape {scores.shape}, or no numbers; "
            f"expected {len(names)} finite ones"
        )
    return decide(scores[0].astype(np.float64), bundle=model.bundle)


def decide(scores: npt.NDArray[np.float64], *, bundle: Bundle) -> Triage:
    """Probability and label from the graph's scores, by the bundle's calibration and threshold.

    Args:
        scores: (labels,) finite, as the graph gave them.
        bundle: Whose graph it was.
    """
    facts, names = bundle.facts, bundle.label_names
    calibration = facts["calibration"]
    temperature = calibration["temperature"] if calibration else 1.0
    probabilities = _activate(scores / temperature, facts["output"])
    point = facts["operating_point"]
    positive = names.index(point["positive_label"])
    # rounded as the record shows it, so that label and shown number never disagree
    probability = round(float(np.clip(probabilities[positive], 0.0, 1.0)), 4)
    is_positive = probability >= point["threshold"]
    others = [index for index in range(len(names)) if index != positive]
    label = positive if is_positive else max(others, key=lambda index: probabilities[index])
    return Triage(
        label=names[label],
        positive_label=point["positive_label"],
        probability=probability,
        threshold=point["threshold"],
        calibrated=calibration is not None,
        positive=is_positive,
    )


def triage_at(triage: Triage, threshold: float, *, labels: Sequence[str] = ()) -> Triage:
    """The same answer at another operating point.

    Args:
        triage: From `decide`.
        threshold: Of the positive label's probability.
        labels: Of the bundle; where they are not known, or several are negative, a negative that
            was positive before can only be called "not" the positive label.
    """
    positive = triage.probability >= threshold
    if positive:
        label = triage.positive_label
    elif not triage.positive:
        label = triage.label
    else:
        others = [name for name in labels if name != triage.positive_label]
        label = others[0] if len(others) == 1 else f"not {triage.positive_label}"
    return replace(triage, label=label, threshold=threshold, positive=positive)


def _activate(scores: npt.NDArray[np.float64], output: dict[str, str]) -> npt.NDArray[np.float64]:
    """Probabilities by label from the graph's scores by label."""
    if output["activation"] == "none":
        return scores
    if output["activation"] == "sigmoid":
        return 1.0 / (1.0 + np.exp(-scores))
    exponentials = np.exp(scores - np.max(scores))
    return np.asarray(exponentials / exponentials.sum())
