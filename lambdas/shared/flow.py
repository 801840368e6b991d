"""The order of the stages. Queues, batches, folders and the page all ask this module what is next.

classify ─┬─ positive ───────────▶ detect ─▶ report
          └─ negative · rejected ───────────▶ report
"""

from typing import Final, Literal

Stage = Literal["classify", "detect", "report"]

FIRST_STAGE: Final[Stage] = "classify"


def next_stage(
    stage: Stage, *, rejected: bool = False, positive: bool = False, detect_all: bool = False
) -> Stage | None:
    """The stage that follows, None after the last.

    Args:
        stage: That has just ended.
        rejected: Whether it found that the image cannot be assessed.
        positive: Whether triage is positive (`Triage.positive`).
        detect_all: Whether findings are wanted for negative images as well.
    """
    if stage == "report":
        return None
    if stage == "classify" and not rejected and (positive or detect_all):
        return "detect"
    return "report"
