"""The detect stage on one image's bytes."""

import time
from dataclasses import replace

from lambdas.detect.detect import detect
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.messages import ImageMessage
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.streaming import lap, once_readable


def detect_image(
    message: ImageMessage, data: bytes, *, model: OnnxModel, reader: IsolatedReader
) -> ImageMessage:
    """Localise an image's findings.

    Raises:
        ContractError: Triage has read the image, and this stage cannot.
    """
    with once_readable():
        radiograph = reader.read(data)
    started = time.perf_counter()
    findings = detect(radiograph, model=model)
    return lap(replace(message, findings=findings), "detect_ms", started)
