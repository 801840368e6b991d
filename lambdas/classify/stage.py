"""The classify stage on one image's bytes."""

import time
from dataclasses import replace

from lambdas.classify.classify import classify
from lambdas.shared import metric_names
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageMessage
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.streaming import Telemetry, lap


def classify_image(
    message: ImageMessage,
    data: bytes,
    *,
    model: OnnxModel,
    reader: IsolatedReader,
    telemetry: Telemetry,
) -> ImageMessage:
    """Triage an image.

    Raises:
        InputError: It cannot be assessed.
    """
    started = time.perf_counter()
    radiograph = reader.read(data)
    message = lap(message, "read_ms", started)
    started = time.perf_counter()
    triage = classify(radiograph, model=model)
    telemetry.count(metric_names.PROBABILITY, triage.probability)
    telemetry.count(metric_names.ABNORMAL, int(triage.positive))
    return lap(replace(message, triage=triage), "classify_ms", started)
