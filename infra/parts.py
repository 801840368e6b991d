"""The parts of the pipeline, once they are made: what alarms, dashboard and outputs speak of."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.archive import Archive
from infra.config import Settings
from infra.functions import StageFunction
from infra.intake_rule import IntakeRule
from infra.lake import Lake
from infra.notice import Notice
from infra.queues import StageQueue
from infra.storage import Storage
from lambdas.shared.flow import Stage


@dataclass(frozen=True, slots=True)
class Parts:
    """What one environment consists of.

    Attributes:
        settings: Of the environment.
        storage: Its buckets.
        rule: That feeds the first queue.
        queues: By stage.
        functions: By stage.
        archive: Archive jobs.
        notice: That tells of each image.
        lake: Records as tables.
    """

    settings: Settings
    storage: Storage
    rule: IntakeRule
    queues: Mapping[Stage, StageQueue]
    functions: Mapping[Stage, StageFunction]
    archive: Archive
    notice: Notice
    lake: Lake
