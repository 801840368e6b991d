"""Starting a job, going on with one, and asking one to stop.

A resumption first counts the wave that was in hand, so that what died with its function is known as
failed; then it gathers the images that failed and have no record since, and runs those again with
what was not begun. What has a record is not run again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from cxr.archive.files import (
    JobFiles,
    Run,
    list_key,
    load_runs,
    load_state,
    outcomes_prefix,
    plan_key,
    save_runs,
)
from cxr.archive.local_run import NOW, settle_unbegun
from cxr.archive.plan import Plan, as_json
from lambdas.batch.budget import worst_batch_usd, worst_planning_usd
from lambdas.batch.job import (
    BatchOutcome,
    Failure,
    Job,
    job_key,
    state_key,
    stop_key,
    to_document,
    wave_key,
)
from lambdas.batch.state import State, reopen
from lambdas.batch.waves import fold
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import RECORD_FILE, result_key

_CHUNK = 2_000
"""Outcomes read at a time."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """A job that is ready to go on.

    Attributes:
        job: Its order, with the budget as it is now.
        ran: Last wave that was run.
        again: Failed images that run again.
        waiting: Other images that were planned and not settled.
        exhausted: Whether the source was listed to its end.
        nothing_left: Whether the job is done and nothing failed.
    """

    job: Job
    ran: int
    again: int
    waiting: int
    exhausted: bool
    nothing_left: bool = False


def write_order(files: JobFiles, plan: Plan, *, own_list: bytes | None) -> None:
    """Write a new job down; nothing runs yet.

    Args:
        files: Of the jobs.
        plan: That was shown.
        own_list: The list where it came from this machine.

    Raises:
        InvalidRequestError: There is a job of this name.
    """
    name = plan.job.name
    taken = InvalidRequestError(
        f"there is a job {name} already; `cxr archive resume {name}` goes on with it, --name "
        "starts another"
    )
    if own_list is not None:  # before the order, which is what makes the name taken
        if files.exists(job_key(name)):
            raise taken
        files.write(list_key(name), own_list)
    if not files.write_first(job_key(name), to_document(plan.job)):
        raise taken
    files.write_json(plan_key(name), as_json(plan))


def note_run(files: JobFiles, job: str, *, where: str, execution: str | None = None) -> None:
    """Write down that a job was started or resumed."""
    runs = load_runs(files, job)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    save_runs(files, job, [*runs, Run(len(runs) + 1, now, where, execution)])


def ask_to_stop(files: JobFiles, job: str, *, now: bool) -> None:
    """Leave the marker that asks the planner to begin no further wave."""
    files.write_json(stop_key(job), {"when": NOW if now else "after this wave"})


def prepare_resumption(
    files: JobFiles, job: Job, *, max_cost_usd: float | None, local: bool
) -> Resumption:
    """Make a job ready to go on; nothing may be running it.

    Args:
        files: Of the jobs.
        job: Its order.
        max_cost_usd: A new ceiling; None for the old one.
        local: Whether it runs on this machine, which knows what was not begun.

    Raises:
        InvalidRequestError: Its budget carries no further batch.
    """
    if max_cost_usd is not None:
        job = replace(job, max_cost_usd=max_cost_usd)
    state = load_state(files, job.name)
    if state is None:  # interrupted before its first word
        return _ready(files, job, State(), again=0)
    if local and state.planned > state.folded:
        settle_unbegun(files, state, job.name)
    state = fold(job, state, store=files)
    failed = failures_of(files, job, state)
    if state.status == "done" and not failed:
        return Resumption(job, state.planned, 0, 0, exhausted=True, nothing_left=True)
    state = reopen(job, state, [failure.image for failure in failed])
    _check_budget(job, state)
    files.write_json(state_key(job.name), to_document(state))
    return _ready(files, job, state, again=len(failed))


def failures_of(files: JobFiles, job: Job, state: State) -> list[Failure]:
    """Images that have failed and neither have a record since nor are waiting to run again.

    The latest word on an image counts: a wave that it ran in after its failure settles it.

    Args:
        files: Of the jobs.
        job: Its order.
        state: What the planner knows, with what waits to run again.
    """
    open_failures: dict[str, Failure] = {}
    for wave, keys in _outcome_keys(files, job.name):
        if open_failures:  # which of them ran again in this wave
            requests = files.read_json(wave_key(job.name, wave)) or []
            again = {_name(image) for request in requests for image in request["images"]}
            open_failures = {
                image_id: failure
                for image_id, failure in open_failures.items()
                if _name(asdict(failure.image)) not in again
            }
        for start in range(0, len(keys), _CHUNK):
            for document in files.read_many(keys[start : start + _CHUNK]):
                for failure in BatchOutcome.from_document(document).failures if document else ():
                    open_failures[failure.image_id] = failure
    waiting = {_name(asdict(image)) for group in state.again for image in group}
    left = [f for f in open_failures.values() if _name(asdict(f.image)) not in waiting]
    keys = [result_key(job.model_set, failure.image_id, RECORD_FILE) for failure in left]
    return [f for f, done in zip(left, files.exist(keys), strict=True) if not done]


def _name(image: dict[str, object]) -> tuple[object, object, object]:
    """What stays the same of an image's pointer, whether its version was looked up or not."""
    return image["bucket"], image["key"], image["version_id"]


def _outcome_keys(files: JobFiles, job: str) -> list[tuple[int, Sequence[str]]]:
    waves: dict[int, list[str]] = {}
    for stored in files.listed(outcomes_prefix(job)):
        waves.setdefault(int(stored.key.split("/")[-2]), []).append(stored.key)
    return sorted(waves.items())


def _ready(files: JobFiles, job: Job, state: State, *, again: int) -> Resumption:
    files.write_json(job_key(job.name), to_document(job))
    files.delete(stop_key(job.name))
    waiting = sum(map(len, state.again)) - again
    return Resumption(job, state.planned, again, max(0, waiting), state.exhausted)


def _check_budget(job: Job, state: State) -> None:
    """Refuse to start what the planner would end at once."""
    if job.max_cost_usd is None:
        return
    images = max((len(group) for group in state.again[:1]), default=job.batch_images)
    needed = 2 * worst_planning_usd(job, job.wave_batches) + worst_batch_usd(job, images)
    left = job.max_cost_usd - state.spent_usd
    if needed > left:
        raise InvalidRequestError(
            f"{state.spent_usd:.2f} of {job.max_cost_usd:g} USD are spent, and a further batch "
            f"could cost {needed:.2f} with its plannings; resume with --max-cost "
            f"{state.spent_usd + needed + 0.01:.2f} or more"
        )
