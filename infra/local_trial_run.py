"""One trial of the embedded cloud: sends images, waits, and counts what came out."""

import json
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.event_source import Delivery
from infra.local import EmbeddedCloud, LocalSettings
from infra.local_chaos import ChaosCounts, Killer, troubled
from infra.local_results import ResultWatcher
from infra.pipeline import STAGES
from infra.runtime_api import EXITED
from lambdas.shared.errors import ConfigError
from lambdas.shared.flow import Stage
from lambdas.shared.records import RECORD_FILE

COPIED: Final = 0.1
"""Share of messages that come twice."""

DELAYED: Final = 0.1
"""Share of messages that are held back for seconds."""

VISIBILITY_SECONDS: Final = 20
"""A killed function's messages come back after this; the stack's own would be 8 to 31 minutes."""

UPLOADERS: Final = 4
PROGRESS_S: Final = 10.0
_KEYS: Final = ("{n:04d} {name}", "a+b/{n:04d} {name}", "Müller/{n:04d}%20{name}", "{n:04d}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """What to send through what.

    Attributes:
        folder: Files to take images from, in turn.
        images: How many to send, each under a key of its own.
        models: Folder with the bundles `classifier` and `detector`.
        seed: Of all that is left to chance; the clock of the machine is not.
        workers: Processes of each stage.
        kills_per_minute: On average.
        visibility_seconds: Until the messages of a killed function come back.
        patience_s: Longest time without any change before it is given up.
    """

    folder: Path
    images: int
    models: Path
    seed: int = 1
    workers: int = 2
    kills_per_minute: float = 20.0
    visibility_seconds: int = VISIBILITY_SECONDS
    patience_s: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What came out.

    Attributes:
        images: Sent.
        files: Different files among them.
        records: Final records, all versions of all.
        lost: Keys of images without a record.
        twice: Keys of images with more than one.
        untold: Records whose event never came.
        told: Events, repeated ones included.
        differing: Files whose copies did not all get the same answer.
        chaos: What was done to them.
        killed_in_work: Batches whose function was killed.
        redriven: Messages that were given up and sent back.
        seconds: From the first upload to the last record.
        server_bytes: Most memory of this process, in which all objects lie.
        functions_bytes: Most memory of the functions' processes together; None if unknown.
    """

    images: int
    files: int
    records: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    untold: int
    told: int
    differing: int
    chaos: ChaosCounts
    killed_in_work: int
    redriven: int
    seconds: float
    server_bytes: int
    functions_bytes: int | None

    @property
    def ok(self) -> bool:
        """Whether every image has one record, told and right."""
        wrong = self.lost or self.twice or self.untold or self.differing
        return not wrong and self.records == self.images


def run_trial(
    settings: TrialSettings, tell: Callable[[str], None] = lambda line: None
) -> TrialResult:
    """Run it.

    Args:
        settings: What to send through what.
        tell: Told how far it is, now and then.

    Raises:
        ConfigError: There are no files, or no models.
    """
    contents = {
        path: path.read_bytes() for path in sorted(settings.folder.rglob("*")) if path.is_file()
    }
    if not contents:
        raise ConfigError(f"{settings.folder} has no files; `make demo` draws some")
    return _Trial(settings, contents, tell).run()


class _Trial:
    def __init__(
        self,
        settings: TrialSettings,
        contents: Mapping[Path, bytes],
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._contents = contents
        self._tell = tell
        self._counts = ChaosCounts()
        self._killed_in_work = self._redriven = 0
        self._functions_bytes = 0
        paths = list(contents)
        self._uploads = {
            "images/" + _KEYS[n % len(_KEYS)].format(n=n, name=paths[n % len(paths)].name): paths[
                n % len(paths)
            ]
            for n in range(settings.images)
        }

    def run(self) -> TrialResult:
        settings = self._settings
        local = LocalSettings(
            models=settings.models,
            workers=settings.workers,
            visibility_seconds=settings.visibility_seconds,
            watch=self._watch,
            wrap_queue=troubled(settings.seed, self._counts, copied=COPIED, delayed=DELAYED),
        )
        with EmbeddedCloud(local) as cloud:
            killer = Killer(
                cloud.hosts(),
                per_minute=settings.kills_per_minute,
                seed=settings.seed,
                counts=self._counts,
            )
            watcher, s3 = cloud.watcher(), cloud.client("s3")
            begun = time.monotonic()
            with killer, ThreadPoolExecutor(UPLOADERS) as pool:
                uploads = [
                    pool.submit(self._upload, s3, cloud.intake_bucket, key)
                    for key in self._shuffled()
                ]
                self._wait(cloud, watcher, begun)
                for upload in uploads:
                    upload.result()
            return self._count(cloud, watcher, time.monotonic() - begun)

    def _shuffled(self) -> list[str]:
        keys = list(self._uploads)
        random.Random(self._settings.seed).shuffle(keys)
        return keys

    def _upload(self, s3: Any, bucket: str, key: str) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=self._contents[self._uploads[key]])

    def _watch(self, stage: Stage, delivery: Delivery) -> None:
        error = delivery.outcome.error
        if error is not None and error.type == EXITED:
            self._killed_in_work += 1

    def _wait(self, cloud: EmbeddedCloud, watcher: ResultWatcher, begun: float) -> None:
        """Until every image was told of and every queue is empty, or nothing changes any more."""
        changed = said = time.monotonic()
        last: object = None
        while True:
            for _ in watcher.read(wait_s=1):
                pass
            counts = cloud.counts()
            now = time.monotonic()
            busy = any(each.waiting or each.in_work or each.set_aside for each in counts.values())
            if not busy and any(each.dead for each in counts.values()):
                self._redrive(cloud)
            elif not busy and len(watcher.told) == self._settings.images:
                return
            state = (len(watcher.told), counts)
            if state != last:
                last, changed = state, now
            if now - changed > self._settings.patience_s:
                self._tell(f"nothing has changed for {self._settings.patience_s:g} s")
                return
            self._functions_bytes = max(self._functions_bytes, _functions_bytes(cloud))
            if now - said >= PROGRESS_S:
                said = now
                self._tell(
                    f"{len(watcher.told)}/{self._settings.images} images after {now - begun:.0f} s;"
                    f" {self._counts.kills} kills"
                )

    def _redrive(self, cloud: EmbeddedCloud) -> None:
        """Send what was given up back: what an operator does with `cxr redrive`."""
        sqs = cloud.client("sqs")
        for stage in STAGES:
            dead = cloud.outputs[f"{stage.name.capitalize()}DeadLetterQueue"]
            while messages := sqs.receive_message(QueueUrl=dead).get("Messages"):
                for message in messages:
                    url = cloud.resources.queue_urls[stage.name]
                    sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
                    sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
                    self._redriven += 1

    def _count(self, cloud: EmbeddedCloud, watcher: ResultWatcher, seconds: float) -> TrialResult:
        s3 = cloud.client("s3")
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=cloud.results_bucket)
        versions = Counter(
            entry["Key"]
            for page in pages
            for entry in page.get("Versions", ())
            if entry["Key"].endswith("/" + RECORD_FILE)
        )
        records = [
            json.loads(s3.get_object(Bucket=cloud.results_bucket, Key=key)["Body"].read())
            for key in versions
        ]
        found = Counter(record["source"]["key"] for record in records)
        again = {
            record["source"]["key"]
            for key, record in zip(versions, records, strict=True)
            if versions[key] > 1
        }
        addresses = {f"s3://{cloud.results_bucket}/{key}" for key in versions}
        return TrialResult(
            images=len(self._uploads),
            files=len(set(self._uploads.values())),
            records=versions.total(),
            lost=tuple(sorted(set(self._uploads) - set(found))),
            twice=tuple(sorted(again | {key for key, count in found.items() if count > 1})),
            untold=len(addresses - set(watcher.told)),
            told=sum(watcher.told.values()),
            differing=self._differing(records),
            chaos=self._counts,
            killed_in_work=self._killed_in_work,
            redriven=self._redriven,
            seconds=seconds,
            server_bytes=_own_bytes(),
            functions_bytes=self._functions_bytes or None,
        )

    def _differing(self, records: Sequence[Mapping[str, Any]]) -> int:
        """A film's copies must get one answer, whatever happened to the process that gave it."""
        answers: dict[Path, set[str]] = defaultdict(set)
        for record in records:
            answer = [record[part] for part in ("status", "rejection", "triage", "findings")]
            answers[self._uploads[record["source"]["key"]]].add(json.dumps(answer))
        return sum(len(different) > 1 for different in answers.values())


def _functions_bytes(cloud: EmbeddedCloud) -> int:
    return sum(host.peak_memory_bytes() or 0 for host in cloud.hosts())


def _own_bytes() -> int:
    """The system counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
