"""Starting, stopping and going on: what is done is never run again, what failed is."""

import pytest

from cxr.archive.begin import (
    ask_to_stop,
    failures_of,
    note_run,
    prepare_resumption,
    write_order,
)
from cxr.archive.estimate import Workplace, estimate, measured_figures
from cxr.archive.files import JobFiles, check_name, load_job, load_runs, load_state
from cxr.archive.local_run import begun_key
from cxr.archive.plan import Plan
from cxr.archive.survey import Survey
from lambdas.batch.budget import worst_batch_usd, worst_planning_usd
from lambdas.batch.job import Job, outcome_key, stop_key
from lambdas.batch.state import State, Tally
from lambdas.shared.errors import InvalidRequestError
from tests.cxr.archive.jobs import (
    JOB,
    failure,
    write_job,
    write_outcome,
    write_record,
    write_state,
    write_wave,
)
from tests.lambdas.batch.job_builders import archive_job, image


def plan(job: Job) -> Plan:
    place, found = Workplace("aws", 10, 1.7), Survey(10, 10, 0, 0, 0)
    return Plan(job, found, estimate(job, found, place, measured_figures()), place)


def numbers(failures: object) -> set[str]:
    return {entry.image.key for entry in failures}  # type: ignore[attr-defined]


def keys(*wanted: int) -> set[str]:
    return {image(number).key for number in wanted}


def test_an_order_is_written_once(files: JobFiles) -> None:
    write_order(files, plan(archive_job()), own_list=None)
    assert load_job(files, JOB) == archive_job()
    with pytest.raises(InvalidRequestError, match="cxr archive resume night"):
        write_order(files, plan(archive_job(batch_images=5)), own_list=None)
    assert load_job(files, JOB).batch_images == 20


def test_a_taken_name_leaves_the_other_jobs_list_alone(files: JobFiles) -> None:
    write_order(files, plan(archive_job()), own_list=b"first")
    with pytest.raises(InvalidRequestError):
        write_order(files, plan(archive_job()), own_list=b"second")
    assert files._s3.get_object(Bucket=files.bucket, Key="jobs/night/list.csv")["Body"].read() == (
        b"first"
    )


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a_1", "-a", "a-", "x" * 61, "Müller"])
def test_a_name_that_no_key_or_execution_takes_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="letters, digits and hyphens"):
        check_name(name)


def test_a_job_that_is_not_there_says_so(files: JobFiles) -> None:
    with pytest.raises(InvalidRequestError, match="there is no job day"):
        load_job(files, "day")


def test_runs_are_numbered(files: JobFiles) -> None:
    note_run(files, JOB, where="aws", execution="arn:1")
    note_run(files, JOB, where="local")
    first, second = load_runs(files, JOB)
    assert (first.number, first.execution, second.number) == (1, "arn:1", 2)


def test_the_latest_word_on_an_image_counts(files: JobFiles) -> None:
    job = write_job(files)
    write_wave(files, 1, [[1, 2, 3, 4, 5]])
    write_outcome(files, 1, 0, analysed=1, failures=tuple(map(failure, (2, 3, 4, 5))))
    write_wave(files, 2, [[2, 3]])  # resumed: 2 gets its record, 3 fails again
    write_outcome(files, 2, 0, analysed=1, failures=(failure(3),))
    write_record(files, job, 4)  # by the streaming pipeline meanwhile
    waiting = State(again=((image(5),),))
    assert numbers(failures_of(files, job, State())) == keys(3, 5)
    assert numbers(failures_of(files, job, waiting)) == keys(3)


def test_a_job_that_is_done_is_left_alone(files: JobFiles) -> None:
    job = write_job(files)
    before = write_state(files, status="done", planned=1, folded=1, exhausted=True, spent_usd=1.0)
    assert prepare_resumption(files, job, max_cost_usd=None, local=True).nothing_left
    assert load_state(files, JOB) == before


def test_failed_images_run_again_and_are_counted_failed_no_more(files: JobFiles) -> None:
    job = write_job(files)
    write_wave(files, 1, [[1, 2]])
    write_outcome(files, 1, 0, analysed=1, failures=(failure(2),))
    write_state(
        files,
        status="done",
        planned=1,
        folded=1,
        batches=(2,),
        exhausted=True,
        tally=Tally(listed=2, analysed=1, failed=1),
    )
    ask_to_stop(files, JOB, now=False)
    ready = prepare_resumption(files, job, max_cost_usd=None, local=False)
    state = load_state(files, JOB)
    assert (ready.ran, ready.again, ready.nothing_left) == (1, 1, False)
    assert state is not None
    assert (state.status, state.again, state.tally.failed) == ("running", ((image(2),),), 0)
    assert not files.exists(stop_key(JOB))


def test_what_was_not_begun_on_this_machine_is_not_taken_for_dead(files: JobFiles) -> None:
    job = write_job(files)
    write_wave(files, 1, [[1, 2], [3], [4, 5]])
    write_state(files, planned=1, folded=0, batches=(2, 1, 2))
    write_outcome(files, 1, 0, analysed=2)
    files.write(begun_key(JOB, 1, 1), b"")  # killed with its function
    ready = prepare_resumption(files, job, max_cost_usd=None, local=True)
    state = load_state(files, JOB)
    assert state is not None
    assert {entry.key for group in state.again for entry in group} == keys(3, 4, 5)
    assert (ready.again, ready.waiting) == (1, 2)  # 3 was alone with the blame
    dead = worst_batch_usd(job, 1) + worst_planning_usd(job, 3)
    assert dead < state.spent_usd < dead + 0.1 * worst_batch_usd(job, 2)


def test_on_aws_a_batch_without_a_word_is_charged_at_its_worst(files: JobFiles) -> None:
    job = write_job(files)
    write_wave(files, 1, [[1, 2]])
    write_state(files, planned=1, folded=0, batches=(2,))
    prepare_resumption(files, job, max_cost_usd=None, local=False)
    state = load_state(files, JOB)
    assert state is not None
    assert state.spent_usd >= worst_batch_usd(job, 2)
    assert files.read_json(outcome_key(JOB, 1, 0))["died"]


def test_an_interruption_before_the_first_wave_begins_anew(files: JobFiles) -> None:
    job = write_job(files)
    ready = prepare_resumption(files, job, max_cost_usd=None, local=True)
    assert (ready.ran, ready.again, ready.nothing_left) == (0, 0, False)


def test_a_spent_budget_is_refused_with_one_that_goes_on(files: JobFiles) -> None:
    job = write_job(files, max_cost_usd=1.0)
    write_state(files, status="budget", planned=1, folded=1, batches=(2,), spent_usd=0.99)
    with pytest.raises(InvalidRequestError, match=r"--max-cost 1\.\d\d or more"):
        prepare_resumption(files, job, max_cost_usd=None, local=False)
    assert load_state(files, JOB).status == "budget"  # type: ignore[union-attr]
    prepare_resumption(files, job, max_cost_usd=5.0, local=False)
    assert load_job(files, JOB).max_cost_usd == 5.0
