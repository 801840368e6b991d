"""How a deployment is: what waits, what flows, what was given up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cxr.dead_letters import Depth, depth
from cxr.deployment import RULE, Deployment
from cxr.stage_metrics import (
    ANALYSED,
    DEAD_OLDEST,
    ERRORS,
    IMAGES,
    OLDEST,
    REJECTED,
    THROTTLES,
    Figures,
    read_figures,
)
from infra.pipeline import DEAD_LETTER_RETENTION_DAYS, QUEUE_RETENTION_DAYS

DAY_S: Final = 24 * 60 * 60

SAFE_DAYS: Final = (DEAD_LETTER_RETENTION_DAYS - QUEUE_RETENTION_DAYS) // 2
"""Days among the dead letters after which somebody must be told. SQS counts a message's retention
from its first queue, where it may have been for days already."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage.

    Attributes:
        name: Of the stage.
        queue: Messages of its queue.
        dead: Messages of its dead letter queue.
        oldest_s: Age of the oldest message that waits; None where CloudWatch does not say, as
            wherever None stands below.
        dead_oldest_s: Time since the oldest dead letter was given up.
        per_minute: Images, over the last minutes.
        errors: Invocations that crashed or timed out, in the last hour.
        throttles: Invocations that were refused, in the last hour.
    """

    name: str
    queue: Depth
    dead: Depth
    oldest_s: float | None
    dead_oldest_s: float | None
    per_minute: float | None
    errors: int | None
    throttles: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """A deployment at one time.

    Attributes:
        stack: Its name.
        where: Region or endpoint.
        at: When.
        stages: In the order in which images pass them.
        rule_dead: Uploads that the rule could not put into the first queue.
        rule_dead_oldest_s: Time since the oldest of them was given up.
        analysed: Records in the last hour; None where CloudWatch does not say.
        rejected: Records in the last hour; None where CloudWatch does not say.
    """

    stack: str
    where: str
    at: datetime
    stages: tuple[StageStatus, ...]
    rule_dead: Depth
    rule_dead_oldest_s: float | None
    analysed: int | None
    rejected: int | None

    @property
    def dead(self) -> int:
        """Messages that were given up, wherever they lie."""
        return self.rule_dead.total + sum(stage.dead.total for stage in self.stages)

    @property
    def moving(self) -> int:
        """Messages on their way."""
        return sum(stage.queue.total for stage in self.stages)

    @property
    def must_act_by_days(self) -> int | None:
        """Days that the oldest dead letter has lain, where that is too long; else None."""
        ages = [stage.dead_oldest_s for stage in self.stages if stage.dead.total]
        ages += [self.rule_dead_oldest_s] if self.rule_dead.total else []
        days = int(max((age for age in ages if age is not None), default=0) // DAY_S)
        return days if days >= SAFE_DAYS else None

    @property
    def exit_code(self) -> int:
        """1 if something was given up."""
        return 1 if self.dead else 0


def read_status(sqs: Any, deployment: Deployment, figures: Figures) -> Status:
    """Ask the queues now; the figures may be a little older."""
    stages = tuple(
        StageStatus(
            name=stage.name,
            queue=depth(sqs, stage.queue_url),
            dead=depth(sqs, stage.dead_letters_url),
            oldest_s=figures.latest(stage.name, OLDEST),
            dead_oldest_s=figures.latest(stage.name, DEAD_OLDEST),
            per_minute=figures.per_minute(stage.name, IMAGES),
            errors=figures.total(stage.name, ERRORS),
            throttles=figures.total(stage.name, THROTTLES),
        )
        for stage in deployment.stages
    )
    rule = next(queue for queue in deployment.dead_letter_queues if queue.whose == RULE)
    rule_dead = depth(sqs, rule.url)
    last = stages[-1].name
    return Status(
        stack=deployment.stack,
        where=deployment.cloud.name,
        at=rule_dead.at,
        stages=stages,
        rule_dead=rule_dead,
        rule_dead_oldest_s=figures.latest(RULE, DEAD_OLDEST),
        analysed=figures.total(last, ANALYSED),
        rejected=figures.total(last, REJECTED),
    )


class StatusReader:
    """Reads the status again and again, metrics no oftener than they change.

    Args:
        deployment: Which one.
        metrics_s: Least seconds between two questions to CloudWatch, which are paid for.
    """

    def __init__(self, deployment: Deployment, *, metrics_s: float) -> None:
        self._deployment = deployment
        self._metrics_s = metrics_s
        self._sqs = deployment.cloud.client("sqs")
        self._cloudwatch = deployment.cloud.client("cloudwatch")
        self._figures: Figures | None = None
        self._asked = 0.0

    def read(self, now: float) -> Status:
        """The status.

        Args:
            now: Of a monotonic clock, s.
        """
        if self._figures is None or now - self._asked >= self._metrics_s:
            self._figures = read_figures(self._cloudwatch, self._deployment)
            self._asked = now
        return read_status(self._sqs, self._deployment, self._figures)


def as_json(status: Status) -> dict[str, Any]:
    """The status for a program; null is what CloudWatch does not say."""
    return {
        "stack": status.stack,
        "where": status.where,
        "at": status.at.isoformat(),
        "stages": [
            {
                "stage": stage.name,
                **_counts(stage.queue),
                "oldest_s": stage.oldest_s,
                "images_per_minute": stage.per_minute,
                "errors_last_hour": stage.errors,
                "throttles_last_hour": stage.throttles,
                "dead": stage.dead.total,
                "dead_oldest_s": stage.dead_oldest_s,
            }
            for stage in status.stages
        ],
        RULE: {"dead": status.rule_dead.total, "dead_oldest_s": status.rule_dead_oldest_s},
        "moving": status.moving,
        "dead": status.dead,
        "analysed_last_hour": status.analysed,
        "rejected_last_hour": status.rejected,
        "exit_code": status.exit_code,
    }


def _counts(found: Depth) -> dict[str, int]:
    return {"waiting": found.waiting, "in_flight": found.in_flight, "delayed": found.delayed}
