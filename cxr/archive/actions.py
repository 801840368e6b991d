"""What `cxr archive` does, an action a function of the options that returns the exit code."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from cxr.archive import follow, text
from cxr.archive import plan as planning
from cxr.archive import report as reporting
from cxr.archive.begin import ask_to_stop, note_run, prepare_resumption, write_order
from cxr.archive.estimate import Workplace, check_budget, workplace
from cxr.archive.files import (
    check_name,
    load_job,
    load_runs,
    report_key,
)
from cxr.archive.follow import Snapshot
from cxr.archive.local_run import LocalRun, job_lock
from cxr.archive.place import Place
from cxr.archive.plan import Plan, Wishes
from cxr.archive.report_page import report_page
from cxr.archive.source import listing_of_file, local_list, read_local_list, source_of
from cxr.archive.watching import watch_job
from cxr.archive.words import count_text
from cxr.command_line import INCOMPLETE, write_json
from cxr.machine import processor_count
from lambdas.batch.job import JOBS_PREFIX, Job, job_key
from lambdas.report.formats import parse_formats
from lambdas.shared.errors import ConfigError, ContractError, InvalidRequestError

EVERY_S: Final = 1.0
"""Between two looks at a job that this command runs itself."""


def plan(options: argparse.Namespace) -> int:
    """Show what is there and what it takes."""
    place = Place(options)
    made = _make_plan(options, place)
    if options.json:
        write_json(planning.as_json(made))
    else:
        text.print_plan(made, Console())
    return 0


def start(options: argparse.Namespace) -> int:
    """Show the plan, ask, write the order, run."""
    place = Place(options)
    models = _models(options, place) if place.local else None
    made = _make_plan(options, place)
    check_budget(made.job, images=made.survey.images)
    name = made.job.name
    if not options.json:
        text.print_plan(made, Console())
    if not made.survey.images:
        raise InvalidRequestError("there are no images; nothing was started")
    if not made.survey.to_do and not made.survey.unknown:
        _say(options, "All of them have a record of these models: there is nothing to do")
        if options.json:
            write_json(planning.as_json(made))
        return 0
    if not options.yes and not _agreed():
        _say(options, "Nothing was started")
        return INCOMPLETE
    path = local_list(options)
    own_list = read_local_list(path) if path else None
    if place.local:
        with job_lock(place.endpoint, name):
            write_order(place.files, made, own_list=own_list)
            return _run_here(options, place, made.job, ran=0, models=models)
    write_order(place.files, made, own_list=own_list)
    return _run_there(options, place, made.job, ran=0)


def status(options: argparse.Namespace) -> int:
    """Show a job, or all."""
    place = Place(options)
    if options.job is not None:
        snapshot = place.follower(load_job(place.files, options.job)).read()
        if options.json:
            write_json(follow.as_json(snapshot))
        else:
            Console().print(text.status_view(snapshot))
        return _exit_code(snapshot)
    names = [name for name in place.files.folders(JOBS_PREFIX) if place.files.exists(job_key(name))]
    snapshots = [place.follower(load_job(place.files, name)).read() for name in names]
    if options.json:
        write_json({"jobs": [follow.as_json(snapshot) for snapshot in snapshots]})
    else:
        text.print_jobs(snapshots, Console())
    return 0


def watch(options: argparse.Namespace) -> int:
    """Show a job until it ends."""
    place = Place(options)
    follower = place.follower(load_job(place.files, options.job))
    return _exit_code(watch_job(follower, every_s=options.every, as_json=options.json))


def stop(options: argparse.Namespace) -> int:
    """Ask a job to end."""
    place = Place(options)
    job = load_job(place.files, options.job)
    snapshot = place.follower(job).read()
    if not snapshot.working:
        raise InvalidRequestError(f"job {job.name} is not running: {snapshot.status}")
    ask_to_stop(place.files, job.name, now=options.now)
    if options.now and place.machine is not None:
        execution = place.machine.running(job.name)
        if execution is not None:
            place.machine.stop(execution)
    if options.json:
        write_json({"job": job.name, "stopping": "now" if options.now else "after this wave"})
        return 0
    when = "now; batches in hand are finished" if place.local else "at once"
    _say(
        options,
        f"{job.name} ends {when if options.now else 'after the wave in hand'}; "
        f"`cxr archive resume {job.name}` goes on with it",
    )
    return 0


def resume(options: argparse.Namespace) -> int:
    """Run what is missing."""
    place = Place(options)
    models = _models(options, place) if place.local else None
    job = load_job(place.files, options.job)
    if job.model_set != place.deployment.model_set:
        raise ContractError(
            f"job {job.name} is for models {job.model_set}, deployed are "
            f"{place.deployment.model_set}; deploy those again, or start a new job"
        )
    if place.local:
        with job_lock(place.endpoint, job.name):
            return _resume(options, place, job, models)
    place.check_idle(job.name)
    return _resume(options, place, job, None)


def report(options: argparse.Namespace) -> int:
    """Write the report here and beside the job."""
    place = Place(options)
    made = reporting.make_report(place.files, load_job(place.files, options.job))
    keys = not options.no_keys
    document = reporting.as_json(made, keys=keys)
    options.out.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    contents = {
        "html": report_page(made, keys=keys),
        "json": (json.dumps(document, indent=2) + "\n").encode(),
    }
    for suffix, content in contents.items():
        path = Path(options.out, f"{made.job.name}-report.{suffix}")
        path.write_bytes(content)
        place.files.write(report_key(made.job.name, suffix), content)
        written.append(str(path))
    if options.json:
        write_json(document | {"written": written})
    else:
        text.print_report(made, written, Console())
    return INCOMPLETE if made.failures or made.state.status != "done" else 0


def _make_plan(options: argparse.Namespace, place: Place) -> Plan:
    formats = parse_formats(options.formats)
    name = check_name(options.name or f"archive-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    deployment = place.deployment
    if not place.local and (options.concurrency or options.models):
        raise InvalidRequestError(
            "--concurrency and --models are for --local; on AWS cdk.json and the deployed models "
            "decide"
        )
    found = source_of(options, files=place.files, job=name)
    architecture = place.output("ArchiveArchitecture")
    job = planning.order(
        Wishes(
            name=name,
            model_set=deployment.model_set,
            max_cost_usd=options.max_cost,
            batch_images=options.batch_images,
            detect_all=options.detect_all,
            formats=formats,
            events=options.events,
            architecture="arm64" if architecture == "arm64" else "x86_64",
        ),
        found,
        local=place.local,
    )
    if place.local:
        workers = options.concurrency or 1
        where = Workplace("local", workers, processor_count() / workers)
    else:
        where = workplace(job, concurrency=int(place.output("ArchiveConcurrency")))
    path = local_list(options)
    if path is not None:
        listing = listing_of_file(path)
    else:
        from lambdas.batch.sources import listing_of
        from lambdas.shared.listing import ObjectLister

        listing = listing_of(found, ObjectLister(client=deployment.cloud.client("s3")))
    with Console(stderr=True).status("Looking") as shown:
        return planning.make_plan(
            job, listing=listing, files=place.files, place=where, tell=shown.update
        )


def _models(options: argparse.Namespace, place: Place) -> Path:
    """The bundles that the embedded cloud runs, for processes of our own."""
    from cxr.analyser import DEFAULT_MODELS
    from lambdas.shared.bundle import load_pair

    folder: Path = options.models or DEFAULT_MODELS
    found = load_pair(folder).model_set
    if found != place.deployment.model_set:
        raise ConfigError(
            f"{folder} holds models {found}, the embedded cloud runs "
            f"{place.deployment.model_set}; name that one's folder with --models"
        )
    return folder


def _resume(options: argparse.Namespace, place: Place, job: Job, models: Path | None) -> int:
    with Console(stderr=True).status("Looking what is missing"):
        ready = prepare_resumption(
            place.files, job, max_cost_usd=options.max_cost, local=place.local
        )
    waiting = count_text(ready.waiting + ready.again)
    rest = "" if ready.exhausted else ", and what was not listed yet"
    if ready.nothing_left:
        _say(options, f"Nothing of {job.name} is missing")
        if options.json:
            write_json(follow.as_json(place.follower(job, held=lambda: False).read()))
        return 0
    _say(options, f"{waiting} to run again, {ready.again:,} of them had failed{rest}")
    if place.local:
        return _run_here(options, place, ready.job, ran=ready.ran, models=models)
    return _run_there(options, place, ready.job, ran=ready.ran)


def _run_there(options: argparse.Namespace, place: Place, job: Job, *, ran: int) -> int:
    """Start an execution of the state machine."""
    assert place.machine is not None
    number = len(load_runs(place.files, job.name)) + 1
    execution = place.machine.start(job.name, number=number, wave=ran)
    note_run(place.files, job.name, where="aws", execution=execution)
    if options.json:
        write_json({"job": job.name, "execution": execution})
    else:
        _say(options, f"Started. How it goes: cxr archive watch {job.name}")
    return 0


def _run_here(
    options: argparse.Namespace, place: Place, job: Job, *, ran: int, models: Path | None
) -> int:
    """Run the job in processes of this command, and show how it goes."""
    assert models is not None
    note_run(place.files, job.name, where="local")
    local = LocalRun(
        place.deployment,
        place.files,
        job.name,
        ran=ran,
        models=models,
        workers=options.concurrency or 1,
    )
    follower = place.follower(job, held=local.is_alive)
    local.start()
    snapshot = watch_job(follower, every_s=EVERY_S, as_json=False, local=local, quiet=options.json)
    if local.error is not None:
        raise local.error
    if options.json:
        write_json(follow.as_json(snapshot))
    else:
        verb = "report" if snapshot.status == "done" else "resume"
        _say(options, f"Next: cxr archive {verb} {job.name} --local")
    return local.exit_code or _exit_code(snapshot)


def _exit_code(snapshot: Snapshot) -> int:
    if snapshot.working or (snapshot.status == "done" and not snapshot.tally.failed):
        return 0
    return INCOMPLETE


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InvalidRequestError("nobody can be asked here; add --yes once the plan is right")
    sys.stderr.write("Start? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(options: argparse.Namespace, sentence: str) -> None:
    """To people; a program reads standard output."""
    stream = sys.stderr if options.json else sys.stdout
    stream.write(sentence + "\n")
    stream.flush()
