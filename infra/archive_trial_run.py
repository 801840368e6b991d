"""One trial of an archive job: makes images, runs `cxr archive --local` through trouble, counts.

The command runs as a person would run it, in a process of its own, is ended at random moments, at
once or by Ctrl-C, and resumed until the job is done.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.archive_faults import BatchKiller, FaultCounts, FaultyS3
from infra.local_server import LocalServer
from infra.local_template import INTAKE_BUCKET, RESULTS_BUCKET, create_stack, local_template
from infra.trial_images import trial_images
from lambdas.batch.job import state_key
from lambdas.shared.bundle import load_pair
from lambdas.shared.errors import ConfigError
from lambdas.shared.records import RECORD_FILE, RESULTS_PREFIX

JOB: Final = "trial"
PREFIX: Final = "archive/"

RESUMED_FOR_FAILURES: Final = 2
"""Times that a job that is done is resumed for the images that failed."""

MOST_RUNS: Final = 60
PATIENCE_S: Final = 120.0
"""Longest time that the command may take to end after Ctrl-C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTrialSettings:
    """What to run through what.

    Attributes:
        folder: Films to make images from.
        images: How many.
        models: Folder of the bundles.
        seed: Of all that is left to chance; the clock of the machine is not.
        poison: Images that kill whoever reads them.
        kills_per_minute: Of batch processes.
        interruptions_per_minute: Of the command.
        faults: Whether there is any trouble.
    """

    folder: Path
    images: int
    models: Path
    seed: int = 1
    poison: int = 2
    kills_per_minute: float = 1.0
    interruptions_per_minute: float = 0.5
    faults: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTrialResult:
    """What came out.

    Attributes:
        images: Put into the archive.
        corrupt: Count of the corrupted ones by what was done to them.
        records: Count of records by status.
        twice: Keys of images with more than one version of a record, or more than one record.
        unaccounted: Keys of images with neither a record nor a failure in the report.
        both: Keys of images with both.
        failures: Count of failures by reason.
        poison_failed: Whether every image that kills is listed as failed.
        faults: What was done.
        runs: Starts and resumptions.
        seconds: From the start to the end.
        report: The job's report.
    """

    images: int
    corrupt: Mapping[str, int]
    records: Mapping[str, int]
    twice: tuple[str, ...]
    unaccounted: tuple[str, ...]
    both: tuple[str, ...]
    failures: Mapping[str, int]
    poison_failed: bool
    faults: FaultCounts
    runs: int
    seconds: float
    report: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every image came to one end."""
        wrong = self.twice or self.unaccounted or self.both
        return not wrong and self.poison_failed and self.report["status"] == "done"


def run_archive_trial(
    settings: ArchiveTrialSettings, tell: Callable[[str], None] = lambda line: None
) -> ArchiveTrialResult:
    """Run it.

    Raises:
        ConfigError: There are no films or no models, or the job does not come to its end.
    """
    command = Path(sys.executable).with_name("cxr")
    if not command.exists():
        raise ConfigError(f"{command} is missing; `make local` installs it")
    with tempfile.TemporaryDirectory() as folder:
        return _Trial(settings, tell, command, Path(folder)).run()


@dataclass
class _Trial:
    settings: ArchiveTrialSettings
    tell: Callable[[str], None]
    command: Path
    folder: Path
    counts: FaultCounts = field(default_factory=FaultCounts)
    corrupt: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    runs: int = 0

    def run(self) -> ArchiveTrialResult:
        settings = self.settings
        model_set = load_pair(settings.models).model_set
        chances = random.Random(settings.seed)
        killer = BatchKiller(
            per_minute=settings.kills_per_minute, seed=settings.seed + 1, counts=self.counts
        )
        faulty = FaultyS3(settings.seed + 2, self.counts, killer.poison)
        with LocalServer(wrap=faulty) as server:
            self.endpoint = server.endpoint
            self.s3 = server.client("s3")
            create_stack(server.client, local_template(model_set=model_set))
            self._upload()
            begun = time.monotonic()
            faulty.armed = settings.faults
            if settings.faults:
                with killer:
                    self._drive(killer, chances)
            else:
                self._drive(killer, None)
            seconds = time.monotonic() - begun
            faulty.armed = False
            return self._result(model_set, seconds)

    def _upload(self) -> None:
        settings = self.settings
        for image in trial_images(
            settings.folder, settings.images, seed=settings.seed, poison=self._poison
        ):
            key = PREFIX + image.key
            self.s3.put_object(Bucket=INTAKE_BUCKET, Key=key, Body=image.content)
            self.keys.add(key)
            if image.corrupt:
                self.corrupt[image.corrupt] += 1
        self.tell(f"{len(self.keys)} images, {self.corrupt.total()} of them corrupt")

    @property
    def _poison(self) -> int:
        return self.settings.poison if self.settings.faults else 0

    def _drive(self, killer: BatchKiller, chances: random.Random | None) -> None:
        """Start and resume until the job is done."""
        for_failures = 0
        while self.runs < MOST_RUNS:
            self._one_run(killer, chances)
            state = self._state()
            if state.get("status") != "done":
                continue
            failed = state["tally"]["failed"]
            if not failed or for_failures == RESUMED_FOR_FAILURES or not chances:
                return
            for_failures += 1
        raise ConfigError(f"the job is not done after {MOST_RUNS} runs")

    def _one_run(self, killer: BatchKiller, chances: random.Random | None) -> None:
        """Run the command until it ends or is ended."""
        models = ("--models", str(self.settings.models.resolve()))
        if self._ordered():
            arguments = ["resume", JOB, *models]
        else:
            source = f"s3://{INTAKE_BUCKET}/{PREFIX}"
            arguments = ["start", source, "--name", JOB, "--yes", *models]
        self.runs += 1
        with (self.folder / f"{self.runs:02d}.log").open("wb") as log:
            process = self._popen(arguments, log)
            killer.parent = process.pid
            mean_s = 60 / self.settings.interruptions_per_minute
            patience = chances.expovariate(1 / mean_s) + 5 if chances else None
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                assert chances is not None
                self._interrupt(process, at_once=chances.random() < 0.5)
            finally:
                killer.parent = None
                process.kill()
                process.wait()
        last = (self.folder / f"{self.runs:02d}.log").read_text(errors="replace").splitlines()
        self.tell(f"run {self.runs}, {arguments[0]}: {last[-1] if last else ''}")

    def _interrupt(self, process: "subprocess.Popen[bytes]", *, at_once: bool) -> None:
        self.counts.interruptions += 1
        if at_once:
            process.kill()
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise ConfigError(f"the command did not end {PATIENCE_S:.0f} s after Ctrl-C") from error

    def _popen(self, arguments: list[str], log: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [self.command, "archive", *arguments, "--endpoint-url", self.endpoint],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _ordered(self) -> bool:
        found = self._read(f"jobs/{JOB}/job.json")
        return found is not None

    def _state(self) -> Mapping[str, Any]:
        return self._read(state_key(JOB)) or {}

    def _read(self, key: str) -> Any | None:
        """A document of the results bucket, whatever S3's day."""
        while True:
            try:
                return json.loads(self.s3.get_object(Bucket=RESULTS_BUCKET, Key=key)["Body"].read())
            except self.s3.exceptions.NoSuchKey:
                return None
            except self.s3.exceptions.ClientError:
                time.sleep(0.2)

    def _result(self, model_set: str, seconds: float) -> ArchiveTrialResult:
        with (self.folder / "report.log").open("wb") as log:
            process = self._popen(["report", JOB, "--out", str(self.folder)], log)
            process.wait()
        report = json.loads((self.folder / f"{JOB}-report.json").read_text())
        versions: Counter[str] = Counter()
        pages = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=RESULTS_BUCKET, Prefix=f"{RESULTS_PREFIX}{model_set}/"
        )
        for page in pages:
            for entry in page.get("Versions", ()):
                if entry["Key"].endswith("/" + RECORD_FILE):
                    versions[entry["Key"]] += 1
        statuses: Counter[str] = Counter()
        found: Counter[str] = Counter()
        twice = set()
        for key, count in versions.items():
            record = self._read(key)
            assert record is not None
            statuses[record["status"]] += 1
            found[record["source"]["key"]] += 1
            if count > 1:
                twice.add(record["source"]["key"])
        twice |= {key for key, count in found.items() if count > 1}
        prefix = f"s3://{INTAKE_BUCKET}/"
        failed = {entry["uri"].removeprefix(prefix) for entry in report["failures"]}
        poison = {key for key in self.keys if "poison" in key}
        return ArchiveTrialResult(
            images=len(self.keys),
            corrupt=dict(self.corrupt),
            records=dict(statuses),
            twice=tuple(sorted(twice)),
            unaccounted=tuple(sorted(self.keys - set(found) - failed)),
            both=tuple(sorted(set(found) & failed)),
            failures=report["reasons_of_failures"],
            poison_failed=poison <= failed,
            faults=self.counts,
            runs=self.runs,
            seconds=seconds,
            report=report,
        )
