"""What the planner of an archive job knows between two waves: state.json."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lambdas.batch.batching import split
from lambdas.batch.budget import worst_planning_usd
from lambdas.batch.job import BatchOutcome, Job, Status
from lambdas.shared.messages import ImageRef

Cursor = Mapping[str, Any]
"""Where a listing goes on; `{}` is the beginning."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over all waves so far."""

    listed: int = 0
    analysed: int = 0
    rejected: int = 0
    already_done: int = 0
    gone: int = 0
    failed: int = 0
    positive: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What the planner knows.

    Attributes:
        status: `running` until the job ends.
        planned: Last wave planned; 0 before the first.
        folded: Last wave whose outcomes are counted.
        batches: Images in each batch of the last wave planned.
        cursor: Of the source.
        exhausted: Whether the source has been listed to its end.
        again: Groups of images to run again, each a batch.
        tally: Counts.
        spent_usd: Metered so far, planning included.
        billed_ms: Of the batches that told theirs.
        planner_ms: Of all plannings.
        problem: Why the job ended, if not because all is done.
        updated_at: ISO 8601 with offset.
    """

    status: Status = "running"
    planned: int = 0
    folded: int = 0
    batches: tuple[int, ...] = ()
    cursor: Cursor = field(default_factory=dict)
    exhausted: bool = False
    again: tuple[tuple[ImageRef, ...], ...] = ()
    tally: Tally = field(default_factory=Tally)
    spent_usd: float = 0.0
    billed_ms: int = 0
    planner_ms: int = 0
    problem: str | None = None
    updated_at: str = ""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "State":
        """Read state.json."""
        again = tuple(tuple(ImageRef(**i) for i in group) for group in document["again"])
        return cls(
            **dict(document)
            | {
                "again": again,
                "batches": tuple(document["batches"]),
                "tally": Tally(**document["tally"]),
            }
        )


def reopen(job: Job, state: State, failures: Iterable[ImageRef]) -> State:
    """A job that has ended or was interrupted, to be gone on with; failed images run again.

    A planning that died without a word may have been the reason: it is charged at its worst.
    """
    images = list(failures)
    return replace(
        state,
        status="running",
        problem=None,
        again=(*state.again, *split(images, job.batch_images)),
        tally=replace(state.tally, failed=max(0, state.tally.failed - len(images))),
        spent_usd=state.spent_usd + worst_planning_usd(job, len(state.batches)),
    )


def add(tally: Tally, outcome: BatchOutcome) -> Tally:
    """Count one more batch."""
    return replace(
        tally,
        analysed=tally.analysed + outcome.analysed,
        rejected=tally.rejected + outcome.rejected,
        already_done=tally.already_done + outcome.already_done,
        gone=tally.gone + outcome.gone,
        failed=tally.failed + len(outcome.failures),
        positive=tally.positive + outcome.positive,
    )
