"""What the stages hand to each other: the triage of an image and its findings."""

from dataclasses import dataclass

from lambdas.shared.boxes import UnitBox


@dataclass(frozen=True, slots=True)
class Code:
    """A concept of a public terminology."""

    system: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Triage:
    """The classifier's answer.

    Attributes:
        label: `Normal` or `Abnormal`, or whatever two labels the bundle names.
        positive_label: The label that asks for detection.
        probability: Of the positive label, in [0, 1]; after the bundle's temperature if it has one.
        threshold: The operating point: `probability >= threshold` gives the positive label.
        calibrated: Whether the bundle carries a calibration; if not, the number is only a score.
        positive: Whether `label` is the positive one.
    """

    label: str
    positive_label: str
    probability: float
    threshold: float
    calibrated: bool
    positive: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One localised finding.

    Attributes:
        label: As the bundle names it.
        code: Its concept, where a public terminology has one.
        score: The detector's, in [0, 1]; no probability.
        threshold: The label's operating threshold that this score reached.
        box: As fractions of the image's width and height.
    """

    label: str
    code: Code | None
    score: float
    threshold: float
    box: UnitBox
