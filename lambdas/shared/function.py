"""The surroundings of a streaming function, built once from its environment."""

import os
from collections.abc import Callable, Collection
from typing import Final

from lambdas.shared import telemetry
from lambdas.shared.bundle import load_pair
from lambdas.shared.config import StageSettings
from lambdas.shared.storage import Queues, Storage
from lambdas.shared.streaming import Streaming

IN_LAMBDA: Final = "AWS_LAMBDA_INITIALIZATION_TYPE"
"""Set where a function starts in Lambda, and where a process stands in for it; nowhere else."""


def streaming_from_env(*, graphs: Collection[str]) -> Streaming:
    """Settings, bundles and clients.

    Args:
        graphs: Bundles whose graph this function runs, and so must have.

    Raises:
        ContractError: Environment or bundles are not right; no message is to blame.
    """
    settings = StageSettings.from_env(os.environ)
    return Streaming(
        settings=settings,
        pair=load_pair(settings.models, graphs=graphs),
        storage=Storage(settings.results_bucket),
        queues=Queues(),
        telemetry=telemetry,
    )


def warm(build: Callable[[], object]) -> None:
    """Build a function's collaborators while it starts, not with its first message.

    Only in Lambda: importing a handler elsewhere does nothing.
    """
    if IN_LAMBDA in os.environ:
        build()
