"""Names of the metrics that the functions emit: telemetry writes them, the dashboard reads them.

Every metric has the one dimension `service`, the stage's name. CloudWatch knows a metric only by
its name, so that a name spelt twice would be a graph that stays empty.
"""

from typing import Final

NAMESPACE: Final = "CxrBatch"
"""Where a function's environment names no other; a deployed stack names its own
(POWERTOOLS_METRICS_NAMESPACE, CxrBatch/dev), lest two stacks in one account mix their figures."""

STAGE_DIMENSION: Final = "service"
"""As Powertools calls it; its value is a `flow.Stage`."""

IMAGES_ANALYSED: Final = "ImagesAnalysed"
"""Count, report: images with a final record that says analysed."""

IMAGES_REJECTED: Final = "ImagesRejected"
"""Count, report: images with a final record that says rejected."""

ABNORMAL: Final = "Abnormal"
"""Count, classify: images with positive triage."""

PROBABILITY: Final = "Probability"
"""No unit, 0 to 1, classify: probability of the positive label, one value an image."""

IMAGE_MILLISECONDS: Final = "ImageMilliseconds"
"""Milliseconds, every stage: one image within the stage, from message to message."""

IMAGES_GONE: Final = "ImagesGone"
"""Count, every stage: objects overwritten or deleted between event and read."""

DUPLICATES: Final = "Duplicates"
"""Count, every stage: images that a final record was found for."""

RESTARTED: Final = "Restarted"
"""Count, detect and report: images sent back to the first stage, since the models had changed."""

METRICS: Final = (
    IMAGES_ANALYSED,
    IMAGES_REJECTED,
    ABNORMAL,
    PROBABILITY,
    IMAGE_MILLISECONDS,
    IMAGES_GONE,
    DUPLICATES,
    RESTARTED,
)
