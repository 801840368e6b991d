"""Localise findings in each image named in a batch of the detect queue, and send it on."""

import functools
from collections.abc import Callable

from lambdas.detect.stage import detect_image
from lambdas.shared import telemetry
from lambdas.shared.bundle import DETECTOR
from lambdas.shared.function import streaming_from_env, warm
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.streaming import Streaming, Work


@functools.cache
def _stage() -> tuple[Streaming, Work]:
    reader = IsolatedReader()
    reader.start()  # imports its decoders while the model loads
    streaming = streaming_from_env(graphs=(DETECTOR,))
    model = OnnxModel(streaming.pair.detector)
    return streaming, functools.partial(detect_image, model=model, reader=reader)


def _one(body: str, milliseconds_left: Callable[[], int]) -> None:
    streaming, work = _stage()
    streaming.work_and_send(body, milliseconds_left, work=work)


handler = telemetry.queue_handler(_one)
warm(_stage)
