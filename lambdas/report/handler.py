"""Write the result of each image named in a batch of the report queue, and tell the event."""

import functools
from collections.abc import Callable

from lambdas.report.formats import check_libraries, parse_formats
from lambdas.report.stage import ReportStage
from lambdas.shared import telemetry
from lambdas.shared.events import EVENT_SOURCE
from lambdas.shared.function import streaming_from_env, warm
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.storage import EventBus


@functools.cache
def _stage() -> ReportStage:
    reader = IsolatedReader()
    reader.start()  # imports its decoders while the rest is made
    streaming = streaming_from_env(graphs=())
    events = EventBus(streaming.settings.event_bus, source=EVENT_SOURCE)
    formats = parse_formats(streaming.settings.formats)
    check_libraries(formats)
    return ReportStage(streaming=streaming, reader=reader, events=events, formats=formats)


def _one(body: str, milliseconds_left: Callable[[], int]) -> None:
    _stage().take(body, milliseconds_left)


handler = telemetry.queue_handler(_one)
warm(_stage)
