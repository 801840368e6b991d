"""Triage each image named in a batch of the classify queue, and send it on."""

import functools
from collections.abc import Callable

from lambdas.classify.stage import classify_image
from lambdas.shared import telemetry
from lambdas.shared.bundle import CLASSIFIER
from lambdas.shared.function import streaming_from_env, warm
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.onnx_model import OnnxModel
from lambdas.shared.streaming import Streaming, Work


@functools.cache
def _stage() -> tuple[Streaming, Work]:
    reader = IsolatedReader()
    reader.start()  # imports its decoders while the model loads
    streaming = streaming_from_env(graphs=(CLASSIFIER,))
    model = OnnxModel(streaming.pair.classifier)
    work = functools.partial(classify_image, model=model, reader=reader, telemetry=telemetry)
    return streaming, work


def _one(body: str, milliseconds_left: Callable[[], int]) -> None:
    streaming, work = _stage()
    streaming.work_and_send(body, milliseconds_left, work=work)


handler = telemetry.queue_handler(_one)
warm(_stage)
