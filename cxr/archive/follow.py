"""How a job is: what the planner has counted, and the outcomes of the wave in hand."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from cxr.archive.executions import MapRun, StateMachine
from cxr.archive.files import JobFiles, Run, load_runs, load_state, outcomes_prefix, plan_key
from cxr.archive.plan import planned_images
from lambdas.batch.budget import metered_usd
from lambdas.batch.job import BatchOutcome, Job, stop_key
from lambdas.batch.state import State, Tally, add

RATE_SECONDS: Final = 120.0
"""The rate while watching is that of the last minutes."""

WORKING: Final = frozenset({"starting", "running", "stopping"})
"""Of a job that something works on."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job at a moment.

    Attributes:
        job: Its order.
        status: `starting`, `running`, `stopping`, `interrupted`, `done`, `budget`, `stopped` or
            `failed`.
        problem: Why it ended, if not because all is done.
        tally: Counts, the wave in hand included.
        total: Images that the plan counted; None where there was no plan.
        wave: In hand, or the last one.
        batches: Of that wave.
        batches_done: Of them.
        spent_usd: Metered, the wave in hand included.
        images_per_s: None before anything is known.
        seconds_left: None where it cannot be told.
        peak_memory_mb: Most memory of a batch function in this wave.
        map_run: As Step Functions counts the wave; None elsewhere.
    """

    job: Job
    status: str
    problem: str | None
    tally: Tally
    total: int | None
    wave: int
    batches: int
    batches_done: int
    spent_usd: float
    images_per_s: float | None
    seconds_left: float | None
    peak_memory_mb: float
    map_run: MapRun | None

    @property
    def settled(self) -> int:
        """Images that have come to an end, failed ones included."""
        return settled(self.tally)

    @property
    def working(self) -> bool:
        """Whether something works on it."""
        return self.status in WORKING


class Follower:
    """Reads a job again and again; outcomes that it knows are not read twice.

    Args:
        files: Of the jobs.
        job: Its order.
        machine: The state machine; None where the job runs on this machine.
        held: Tells whether this machine runs the job.
    """

    def __init__(
        self,
        files: JobFiles,
        job: Job,
        *,
        machine: StateMachine | None,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._files, self._job, self._machine, self._held = files, job, machine, held
        self._total = planned_images(files.read_json(plan_key(job.name)))
        self._wave = 0
        self._outcomes: dict[str, BatchOutcome] = {}
        self._seen: deque[tuple[float, int]] = deque()

    def read(self) -> Snapshot:
        """How the job is now."""
        execution = self._machine.running(self._job.name) if self._machine else None
        runs_here = self._held()
        # asked before the state is read: a job that ends meanwhile is not called interrupted
        state = load_state(self._files, self._job.name) or State()
        outcomes = self._in_hand(state)
        tally, spent = state.tally, state.spent_usd
        for outcome in outcomes:
            tally = add(tally, outcome)
            spent += metered_usd(
                self._job, None if outcome.died else outcome, max(1, outcome.images)
            )
        working = execution is not None or runs_here
        snapshot = Snapshot(
            job=self._job,
            status=self._status(state, working=working),
            problem=state.problem,
            tally=tally,
            total=self._total,
            wave=state.planned,
            batches=len(state.batches),
            batches_done=len(outcomes) if state.planned > state.folded else len(state.batches),
            spent_usd=spent,
            images_per_s=None,
            seconds_left=None,
            peak_memory_mb=max((outcome.peak_memory_mb for outcome in outcomes), default=0.0),
            map_run=self._machine.map_run(execution) if self._machine and execution else None,
        )
        runs = load_runs(self._files, self._job.name)
        if snapshot.status == "interrupted":
            snapshot = replace(snapshot, problem=self._how_it_ended(runs))
        return self._with_rate(snapshot, state, runs)

    def _how_it_ended(self, runs: list[Run]) -> str:
        """Why nobody works on a job that has not come to its end."""
        goes_on = f"`cxr archive resume {self._job.name}` goes on with it"
        if self._machine is not None and runs and runs[-1].execution:
            ended = self._machine.ended_as(runs[-1].execution)
            if ended:
                return f"its execution ended as {ended}; {goes_on}"
        return f"nothing runs it; {goes_on}"

    def _in_hand(self, state: State) -> list[BatchOutcome]:
        """Outcomes that the planner has not counted yet."""
        if state.planned == state.folded:
            return []
        if state.planned != self._wave:
            self._wave, self._outcomes = state.planned, {}
        prefix = outcomes_prefix(self._job.name, state.planned)
        new = [s.key for s in self._files.listed(prefix) if s.key not in self._outcomes]
        for key, document in zip(new, self._files.read_many(new), strict=True):
            if document is not None:
                self._outcomes[key] = BatchOutcome.from_document(document)
        return list(self._outcomes.values())

    def _status(self, state: State, *, working: bool) -> str:
        if state.status != "running":
            return state.status
        if not working:
            return "interrupted"
        if self._files.exists(stop_key(self._job.name)):
            return "stopping"
        return "running" if state.planned else "starting"

    def _with_rate(self, snapshot: Snapshot, state: State, runs: list[Run]) -> Snapshot:
        rate = self._window_rate(snapshot.settled)
        if rate is None and runs:
            rate = _rate_since(snapshot, state, runs)
        left = None
        if rate and snapshot.total is not None and snapshot.working:
            left = max(0, snapshot.total - snapshot.settled) / rate
        return replace(snapshot, images_per_s=rate, seconds_left=left)

    def _window_rate(self, settled: int) -> float | None:
        """Over the last readings, once they tell anything."""
        now = time.monotonic()
        self._seen.append((now, settled))
        while len(self._seen) > 2 and now - self._seen[1][0] > RATE_SECONDS:
            self._seen.popleft()
        begun, before = self._seen[0]
        if settled <= before or now - begun < 1:
            return None
        return (settled - before) / (now - begun)


def _rate_since(snapshot: Snapshot, state: State, runs: list[Run]) -> float | None:
    """Over the wave in hand; of a job with one start that is not at work, over all of it."""
    if not state.updated_at:
        return None
    if snapshot.working:
        begun, end = _moment(state.updated_at), datetime.now(UTC)
        count = snapshot.settled - settled(state.tally)
    elif len(runs) == 1:
        begun, end = _moment(runs[0].begun_at), _moment(state.updated_at)
        count = snapshot.settled
    else:
        return None
    seconds = (end - begun).total_seconds()
    return count / seconds if count > 0 and seconds >= 1 else None


def settled(tally: Tally) -> int:
    """Images that have come to an end, failed ones included."""
    return tally.analysed + tally.rejected + tally.already_done + tally.gone + tally.failed


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def as_json(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot for a program."""
    job, tally = snapshot.job, snapshot.tally
    rate, left = snapshot.images_per_s, snapshot.seconds_left
    return {
        "job": job.name,
        "status": snapshot.status,
        "problem": snapshot.problem,
        "images": snapshot.total,
        "settled": snapshot.settled,
        "analysed": tally.analysed,
        "positive": tally.positive,
        "rejected": tally.rejected,
        "already_done": tally.already_done,
        "gone": tally.gone,
        "failed": tally.failed,
        "wave": snapshot.wave,
        "batches": snapshot.batches,
        "batches_done": snapshot.batches_done,
        "images_per_s": None if rate is None else round(rate, 3),
        "seconds_left": None if left is None else round(left),
        "spent_usd": round(snapshot.spent_usd, 6),
        "max_cost_usd": job.max_cost_usd,
        "prices": job.prices.dated,
    }
