"""What a job has come to: counts, scores, rejections, failures, cost by wave, the slowest images.

Keys of failed images stand in it, so that somebody can look after them; so it is as confidential as
the results. `keys=False` leaves image ids alone.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cxr.archive.begin import failures_of
from cxr.archive.files import JobFiles, Run, load_runs, load_state, outcomes_prefix, plan_key
from cxr.archive.follow import settled
from cxr.archive.source import source_text
from lambdas.batch.budget import metered_usd
from lambdas.batch.job import JOBS_PREFIX, BatchOutcome, Failure, Job
from lambdas.batch.state import State, Tally, add

SLOWEST: Final = 20
"""Images named as the slowest."""

_CHUNK: Final = 2_000
"""Outcomes read at a time: a hundred million images have two million."""


@dataclass(slots=True)
class WaveSum:
    """One wave.

    Attributes:
        wave: From 1.
        batches: That left a word, or whose death was noticed.
        died: Of them.
        tally: Counts.
        billed_ms: Of the batches that told theirs.
        usd: Metered, planning left out.
        died_usd: Of that, what died batches are charged: their worst.
        seconds: From its planning to its last outcome.
        peak_memory_mb: Most of its functions' processes.
    """

    wave: int
    batches: int = 0
    died: int = 0
    tally: Tally = field(default_factory=Tally)
    billed_ms: int = 0
    usd: float = 0.0
    died_usd: float = 0.0
    seconds: float = 0.0
    peak_memory_mb: float = 0.0

    def add(self, job: Job, outcome: BatchOutcome) -> None:
        """Count one more batch."""
        self.batches += 1
        self.died += outcome.died
        self.tally = add(self.tally, outcome)
        self.billed_ms += outcome.billed_ms
        told = None if outcome.died else outcome
        usd = metered_usd(job, told, max(1, outcome.images))
        self.usd += usd
        self.died_usd += usd if outcome.died else 0.0
        self.peak_memory_mb = max(self.peak_memory_mb, outcome.peak_memory_mb)


@dataclass(frozen=True, slots=True)
class JobReport:
    """All of it.

    Attributes:
        job: The order.
        state: What the planner knows.
        made_at: ISO 8601 with offset.
        expected: plan.json; None where there is none.
        runs: Starts and resumptions.
        waves: In their order.
        tenths: Analysed images by tenth of their probability.
        rejections: Count by reason code, most frequent first.
        failures: Images without a record; key left empty where keys are left out.
        slowest: (image_id, ms), the slowest first.
        downloaded_bytes: Of images.
    """

    job: Job
    state: State
    made_at: str
    expected: Mapping[str, Any] | None
    runs: tuple[Run, ...]
    waves: tuple[WaveSum, ...]
    tenths: tuple[int, ...]
    rejections: Mapping[str, int]
    failures: tuple[Failure, ...]
    slowest: tuple[tuple[str, float], ...]
    downloaded_bytes: int

    @property
    def spent_usd(self) -> float:
        """Metered: as the planner counts, and the waves that it has not counted yet."""
        uncounted = sum(wave.usd for wave in self.waves if wave.wave > self.state.folded)
        return self.state.spent_usd + uncounted

    @property
    def tally(self) -> Tally:
        """Counts of all images; what failed is what is left without a record."""
        tally = self.state.tally
        return Tally(
            listed=tally.listed,
            analysed=sum(wave.tally.analysed for wave in self.waves),
            rejected=sum(wave.tally.rejected for wave in self.waves),
            already_done=sum(wave.tally.already_done for wave in self.waves),
            gone=sum(wave.tally.gone for wave in self.waves),
            failed=len(self.failures),
            positive=sum(wave.tally.positive for wave in self.waves),
        )

    @property
    def seconds(self) -> float:
        """Of all waves, without the time between a stop and its resumption."""
        return sum(wave.seconds for wave in self.waves)

    @property
    def images_per_s(self) -> float | None:
        """New records a second; None before there are any."""
        done = self.tally.analysed + self.tally.rejected
        return done / self.seconds if done and self.seconds else None

    @property
    def reasons(self) -> Mapping[str, int]:
        """Failures by reason, most frequent first."""
        return dict(Counter(failure.reason for failure in self.failures).most_common())


def make_report(files: JobFiles, job: Job) -> JobReport:
    """Read all outcomes of a job and sum them up."""
    state = load_state(files, job.name) or State()
    waves: dict[int, WaveSum] = {}
    last: dict[int, datetime] = {}
    tenths, rejections = [0] * 10, Counter[str]()
    slowest: list[tuple[str, float]] = []
    downloaded = 0
    listed = list(files.listed(outcomes_prefix(job.name)))
    for stored in listed:
        wave = int(stored.key.split("/")[-2])
        last[wave] = max(last.get(wave, stored.at), stored.at)
    for start in range(0, len(listed), _CHUNK):
        keys = [stored.key for stored in listed[start : start + _CHUNK]]
        for document in files.read_many(keys):
            if document is None:
                continue
            outcome = BatchOutcome.from_document(document)
            waves.setdefault(outcome.wave, WaveSum(outcome.wave)).add(job, outcome)
            tenths = [a + b for a, b in zip(tenths, outcome.probability_tenths, strict=True)]
            rejections.update(outcome.rejections)
            slowest += outcome.slowest
            downloaded += outcome.downloaded_bytes
        slowest = sorted(slowest, key=lambda entry: -entry[1])[:SLOWEST]
    for stored in files.listed(f"{JOBS_PREFIX}{job.name}/waves/"):
        wave = int(stored.key.split("/")[-1].removesuffix(".json"))
        if wave in waves:
            waves[wave].seconds = max(1.0, (last[wave] - stored.at).total_seconds())
    return JobReport(
        job=job,
        state=state,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        expected=files.read_json(plan_key(job.name)),
        runs=tuple(load_runs(files, job.name)),
        waves=tuple(waves[number] for number in sorted(waves)),
        tenths=tuple(tenths),
        rejections=dict(rejections.most_common()),
        failures=tuple(failures_of(files, job, state)),
        slowest=tuple(slowest),
        downloaded_bytes=downloaded,
    )


def as_json(report: JobReport, *, keys: bool = True) -> dict[str, Any]:
    """The report for a program.

    Args:
        report: Of the job.
        keys: Whether failures name their images.
    """
    job, tally, rate = report.job, report.tally, report.images_per_s
    return {
        "job": job.name,
        "source": source_text(job.source),
        "model_set": job.model_set,
        "status": report.state.status,
        "problem": report.state.problem,
        "created_at": job.created_at,
        "made_at": report.made_at,
        "listed": tally.listed,
        "settled": settled(tally),
        "analysed": tally.analysed,
        "positive": tally.positive,
        "rejected": tally.rejected,
        "already_done": tally.already_done,
        "gone": tally.gone,
        "failed": tally.failed,
        "probability_tenths": list(report.tenths),
        "rejections": dict(report.rejections),
        "reasons_of_failures": dict(report.reasons),
        "failures": [
            {
                "image_id": failure.image_id,
                **({"uri": f"s3://{failure.image.bucket}/{failure.image.key}"} if keys else {}),
                "reason": failure.reason,
                "message": failure.message,
            }
            for failure in report.failures
        ],
        "spent_usd": round(report.spent_usd, 6),
        "max_cost_usd": job.max_cost_usd,
        "prices": job.prices.dated,
        "planner_ms": report.state.planner_ms,
        "expected": report.expected,
        "seconds": round(report.seconds, 1),
        "images_per_s": None if rate is None else round(rate, 3),
        "downloaded_bytes": report.downloaded_bytes,
        "slowest": [{"image_id": name, "ms": ms} for name, ms in report.slowest],
        "runs": [{"number": run.number, "begun_at": run.begun_at} for run in report.runs],
        "waves": [
            {
                "wave": wave.wave,
                "batches": wave.batches,
                "died": wave.died,
                "analysed": wave.tally.analysed,
                "rejected": wave.tally.rejected,
                "already_done": wave.tally.already_done,
                "failed": wave.tally.failed,
                "billed_ms": wave.billed_ms,
                "usd": round(wave.usd, 6),
                "died_usd": round(wave.died_usd, 6),
                "seconds": round(wave.seconds, 1),
                "peak_memory_mb": wave.peak_memory_mb,
            }
            for wave in report.waves
        ],
    }
