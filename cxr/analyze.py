"""`cxr analyze`: from files and folders to a folder of results. This module owns the order.

models → images → --out locked → what is left to do → workers → index.html and summary.csv
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console

from cxr.analyser import bundles_analyser
from cxr.discover import Discovery, Image, Omission, discover, nothing_found
from cxr.index_page import index_page
from cxr.interruption import FINISH, Interruption
from cxr.keys import INDEX_FILE, SUMMARY_FILE, check_distinct, result_folder
from cxr.machine import worker_count
from cxr.output_folder import OutputFolder
from cxr.progress import FAILED, ProgressDisplay, looking, progress_display
from cxr.reference_table import read_references
from cxr.results import Result
from cxr.resume import Plan, clear_other_models, plan_run, read_results
from cxr.run_summary import RunSummary
from cxr.summary_csv import summary_csv
from cxr.wanted import Wanted
from cxr.worker import Analysed, Analyser, Failed, Ready
from cxr.workers import analyse_images
from lambdas.report.fhir_references import NOBODY, FhirReferences
from lambdas.report.formats import FHIR, check_libraries
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import to_json

_WRITERS: Final = 8
"""Threads that write results: a disk takes 10 to 30 ms to synchronise the three files of an image,
and several at a time hardly longer."""

_MOST_SAVING: Final = 64
"""Results in memory that wait to be written, about 20 MB; then the disk sets the pace."""


class ModelsAnalyser(Analyser, Protocol):
    """An analyser that knows its models, as `BundlesAnalyser` does."""

    @property
    def model_set(self) -> str:
        """16 hex that name the models."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that every display of the results must show."""


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """The arguments of the command.

    Attributes:
        paths: Files, folders, patterns.
        out: Folder of results.
        models: Folder of the two bundles.
        workers: Processes; None to suit the machine.
        force: Whether to do again what is done.
        detect_all: Whether to look for findings in normal images as well.
        formats: Optional outputs.
        fhir_references: Table of patients and studies for the FHIR output.
        passthrough: DICOM attributes that go into the records.
        quiet: Whether to show no progress.
    """

    paths: tuple[str, ...]
    out: Path
    models: Path
    workers: int | None = None
    force: bool = False
    detect_all: bool = False
    formats: frozenset[str] = frozenset()
    fhir_references: Path | None = None
    passthrough: frozenset[str] = frozenset()
    quiet: bool = False


MakeAnalyser = Callable[..., ModelsAnalyser]


def analyze(
    options: AnalyzeOptions, *, console: Console, make_analyser: MakeAnalyser = bundles_analyser
) -> RunSummary:
    """Run the command; what is printed at the end is the caller's.

    Args:
        options: The arguments.
        console: For progress.
        make_analyser: Called with the folder of models and `detect_all`.

    Raises:
        InvalidRequestError: The arguments cannot be followed; nothing was analysed.
        ContractError: The models do not load, or a format's library is not installed.
        StorageUnavailableError: --out cannot be written any more.
    """
    check_libraries(options.formats)
    references = _references(options)
    analyser = make_analyser(options.models, detect_all=options.detect_all)
    with looking(console, "Looking for images", quiet=options.quiet):
        found = _wanting(discover(options.paths, out=options.out), options, references)
    if not found.images and not found.failed:
        raise InvalidRequestError(nothing_found(options.paths, found.skipped))
    with OutputFolder(options.out) as folder:
        _check_keys(found.images, folder)
        with looking(console, "Reading earlier results", quiet=options.quiet):
            results = clear_other_models(
                folder,
                read_results(folder),
                images=found.images,
                model_set=analyser.model_set,
                force=options.force,
            )
            plan = plan_run(
                found.images,
                results,
                folder=folder,
                force=options.force,
                detect_all=options.detect_all,
            )
        with Interruption() as interruption:
            run = _Run(folder, results)
            try:
                run.work(plan.pending, analyser, options, console, interruption)
            finally:
                _write_overview(folder, run.results, analyser)
            return _summary(options, analyser, found, plan, run, interruption)


class _Run:
    """The part of a run that changes the folder; results so far stay known if it breaks off."""

    def __init__(self, folder: OutputFolder, results: Mapping[str, Result]) -> None:
        self._folder = folder
        self._saving: deque[Future[Result | Failed]] = deque()
        self.results = dict(results)
        self.finished: dict[str, Result] = {}
        self.failed: list[Omission] = []
        self.elapsed_s = 0.0

    def work(
        self,
        pending: Sequence[Image],
        analyser: Analyser,
        options: AnalyzeOptions,
        console: Console,
        interruption: Interruption,
    ) -> None:
        """Have the pending images analysed, and write each result as it comes."""
        workers = min(options.workers or worker_count(len(pending)), max(1, len(pending)))
        begun = time.monotonic()
        told = False
        with (
            progress_display(
                console, total=len(pending), workers=workers, quiet=options.quiet
            ) as display,
            ThreadPoolExecutor(_WRITERS) as writers,
        ):
            for event in analyse_images(
                pending,
                analyser=analyser,
                workers=workers,
                stop_level=lambda: interruption.level,
            ):
                if isinstance(event, Analysed):
                    self._saving.append(writers.submit(self._save, event))
                elif isinstance(event, Failed):
                    self._settle(event, display)
                elif isinstance(event, Ready):
                    display.begin()
                self._collect(display, most_left=_MOST_SAVING)
                if interruption.level >= FINISH and not told:
                    told = True
                    display.say("Finishing the images in hand; Ctrl-C again to stop at once")
            self._collect(display, most_left=0)
        self.elapsed_s = time.monotonic() - begun

    def _collect(self, display: ProgressDisplay, *, most_left: int) -> None:
        """Take note of what has been written; wait only while too much is not."""
        display.tick()
        while self._saving and (len(self._saving) > most_left or self._saving[0].done()):
            self._settle(self._saving.popleft().result(), display)

    def _settle(self, outcome: Result | Failed, display: ProgressDisplay) -> None:
        if isinstance(outcome, Failed):
            self.failed.append(Omission(outcome.image.key, outcome.reason))
            display.count(FAILED)
        else:
            self.results[outcome.folder] = self.finished[outcome.key] = outcome
            display.count(outcome.kind)

    def _save(self, analysed: Analysed) -> Result | Failed:
        place = result_folder(analysed.image.key)
        try:
            self._folder.save_result(place, record=to_json(analysed.record), files=analysed.files)
        except OSError as error:
            reason = f"its results cannot be written: {error.strerror or error}"
            return Failed(analysed.image, reason)
        return Result.from_record(analysed.record, folder=place)


def _references(options: AnalyzeOptions) -> dict[str, FhirReferences]:
    if options.fhir_references is None:
        return {}
    if FHIR not in options.formats:
        raise InvalidRequestError(f"--fhir-references needs --formats {FHIR}")
    return read_references(options.fhir_references)


def _wanting(
    found: Discovery, options: AnalyzeOptions, references: Mapping[str, FhirReferences]
) -> Discovery:
    """The same images, each with what is wanted of it."""
    images = (
        replace(
            image,
            wanted=Wanted(
                options.formats,
                references.get(image.key, NOBODY),
                passthrough=options.passthrough,
            ),
        )
        for image in found.images
    )
    return replace(found, images=tuple(images))


def _check_keys(images: Sequence[Image], folder: OutputFolder) -> None:
    origins: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        origins[image.key].append(str(image.path))
    check_distinct(origins, fold=folder.fold)


def _write_overview(
    folder: OutputFolder, results: Mapping[str, Result], analyser: ModelsAnalyser
) -> None:
    """summary.csv and index.html over everything in the folder, earlier runs included."""
    rows = sorted(results.values(), key=lambda result: result.key)
    warnings = (*analyser.warnings, *(line for row in rows for line in row.warnings))
    folder.save_file(SUMMARY_FILE, summary_csv(rows))
    page = index_page(rows, warnings=warnings, model_set=analyser.model_set)
    folder.save_file(INDEX_FILE, page)


def _summary(
    options: AnalyzeOptions,
    analyser: ModelsAnalyser,
    found: Discovery,
    plan: Plan,
    run: _Run,
    interruption: Interruption,
) -> RunSummary:
    mine = {**plan.done, **run.finished}
    failed = (*found.failed, *run.failed)
    pending = len(plan.pending) - len(run.finished) - len(run.failed)
    exit_code = 1 if failed else 0
    if pending and interruption.level:
        exit_code = interruption.exit_code
    return RunSummary(
        out=options.out,
        model_set=analyser.model_set,
        results=tuple(mine[key] for key in sorted(mine)),
        already_done=len(plan.done),
        replaced=plan.replaced,
        skipped=found.skipped,
        failed=tuple(sorted(failed, key=lambda omission: omission.key)),
        pending=pending,
        warnings=analyser.warnings,
        formats=options.formats,
        elapsed_s=run.elapsed_s,
        exit_code=exit_code,
    )
