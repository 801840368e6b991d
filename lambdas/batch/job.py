"""What an archive job is made of, and where its files lie in the results bucket.

    jobs/<job>/job.json               the order: source, models, budget, prices; written once
    jobs/<job>/state.json             what the planner knows; written after each wave
    jobs/<job>/waves/00001.json       the wave's batches, a JSON array: the items of a map run
    jobs/<job>/outcomes/00001/00017.json   what became of one batch
    jobs/<job>/stop                   asks the planner to begin no further wave

Results themselves lie where the streaming pipeline puts them. Everything here is a pointer or a
count; keys of images stand in waves and outcomes, which are as confidential as the results.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from lambdas.shared.messages import ImageRef

JOB_VERSION: Final = 1
JOBS_PREFIX: Final = "jobs/"

SourceKind = Literal["prefix", "inventory", "csv"]
Status = Literal["running", "done", "budget", "stopped", "failed"]
"""`budget`: the next batch's worst case would not fit. `failed`: too many batches died."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the images are listed.

    Attributes:
        kind: A prefix of a bucket, the manifest.json of an S3 Inventory, or a CSV list.
        bucket: Of the images (prefix) or of the list (inventory, csv).
        key: The prefix, or the key of the list.
    """

    kind: SourceKind
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars, of the day that `dated` names.

    Attributes:
        dated: ISO date and region of the price table.
        gb_second: Lambda compute.
        invocation: One Lambda request.
        s3_put: One PUT, COPY, POST or LIST.
        s3_get: One GET or HEAD.
        transition: One state transition of a Standard workflow.
        event: One custom event on EventBridge.
    """

    dated: str
    gb_second: float
    invocation: float
    s3_put: float
    s3_get: float
    transition: float
    event: float


@dataclass(frozen=True, slots=True)
class FunctionSize:
    """What decides the cost of one attempt.

    Attributes:
        memory_mb: Of the function.
        timeout_seconds: After which Lambda kills it.
        attempts: Most invocations for one batch, the first included.
    """

    memory_mb: int
    timeout_seconds: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Job:
    """The order.

    Attributes:
        name: Of the job; letters, digits and hyphens.
        created_at: ISO 8601 with offset.
        source: Of the images.
        model_set: That the functions must have; another one fails the job.
        batch_images: Most images in a batch.
        wave_batches: Most batches in a wave.
        max_cost_usd: None for no limit.
        prices: Day's table.
        batch: Size of the function that analyses.
        planner: Size of the function that plans waves.
        files_per_image: Objects written for one image, for metering.
        events: Whether each image is told on the event bus.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Further formats of results, comma separated.
        tolerated_failure: Fraction of a wave's images that may fail before the job ends.
    """

    name: str
    created_at: str
    source: Source
    model_set: str
    batch_images: int
    wave_batches: int
    max_cost_usd: float | None
    prices: Prices
    batch: FunctionSize
    planner: FunctionSize
    files_per_image: int = 3
    events: bool = False
    detect_all: bool = False
    formats: str = ""
    tolerated_failure: float = 0.5
    job_version: int = JOB_VERSION

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Job":
        """Read job.json."""
        values = dict(document)
        return cls(
            **values
            | {
                "source": Source(**values["source"]),
                "prices": Prices(**values["prices"]),
                "batch": FunctionSize(**values["batch"]),
                "planner": FunctionSize(**values["planner"]),
            }
        )


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One batch: the input of a child of the map run. Pointers, never payloads.

    Attributes:
        job: Name of the job.
        jobs_bucket: Where the job's files lie.
        wave: From 1.
        number: Of the batch within its wave, from 0.
        images: To analyse.
        model_set: As the job has it.
        detect_all: As the job has it.
        formats: As the job has it.
        events: As the job has it.
    """

    job: str
    jobs_bucket: str
    wave: int
    number: int
    images: tuple[ImageRef, ...]
    model_set: str
    detect_all: bool = False
    formats: str = ""
    events: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BatchRequest":
        """Read a child's input; keys it does not know are left out."""
        known = {name: document[name] for name in cls.__slots__ if name in document}
        images = tuple(ImageRef(**image) for image in document["images"])
        return cls(**known | {"images": images})


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that has no record, and why; a later wave or `resume` may still give it one.

    Attributes:
        image: Pointer.
        image_id: 32 hex.
        reason: Name of the error's class.
        message: Sentence without the key.
    """

    image: ImageRef
    image_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one batch, as its function tells it.

    Attributes:
        wave: As in the request.
        number: As in the request.
        attempt: From 1; earlier attempts left no word of what they were billed.
        billed_ms: Of this attempt.
        analysed: Images with a new record.
        rejected: Images with a new record that says why not.
        already_done: Images that had a record for these models.
        gone: Images deleted or overwritten since they were listed.
        positive: Of the analysed.
        probability_tenths: Analysed images by tenth of their probability, ten counts.
        rejections: Count by reason code.
        slowest: (image_id, ms) of the slowest images.
        failures: Images without a record.
        left: Images not begun, since time ran short.
        peak_memory_mb: Of the function's process.
        downloaded_bytes: Of images.
        died: Whether the planner wrote this for a function that never answered.
    """

    wave: int
    number: int
    attempt: int = 1
    billed_ms: int = 0
    analysed: int = 0
    rejected: int = 0
    already_done: int = 0
    gone: int = 0
    positive: int = 0
    probability_tenths: tuple[int, ...] = (0,) * 10
    rejections: Mapping[str, int] = field(default_factory=dict)
    slowest: tuple[tuple[str, float], ...] = ()
    failures: tuple[Failure, ...] = ()
    left: tuple[ImageRef, ...] = ()
    peak_memory_mb: float = 0.0
    downloaded_bytes: int = 0
    died: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BatchOutcome":
        """Read an outcome file."""
        failures = tuple(
            Failure(
                ImageRef(**entry["image"]), entry["image_id"], entry["reason"], entry["message"]
            )
            for entry in document["failures"]
        )
        return cls(
            **dict(document)
            | {
                "failures": failures,
                "left": tuple(ImageRef(**image) for image in document["left"]),
                "slowest": tuple((name, ms) for name, ms in document["slowest"]),
                "probability_tenths": tuple(document["probability_tenths"]),
            }
        )

    @property
    def images(self) -> int:
        """Images this outcome accounts for."""
        settled = self.analysed + self.rejected + self.already_done + self.gone
        return settled + len(self.failures) + len(self.left)


def to_document(value: Any) -> dict[str, Any]:
    """A dataclass of this module as JSON has it."""
    return asdict(value)


def job_key(job: str) -> str:
    """Key of job.json."""
    return f"{JOBS_PREFIX}{job}/job.json"


def state_key(job: str) -> str:
    """Key of state.json."""
    return f"{JOBS_PREFIX}{job}/state.json"


def stop_key(job: str) -> str:
    """Key whose presence asks for no further wave."""
    return f"{JOBS_PREFIX}{job}/stop"


def wave_key(job: str, wave: int) -> str:
    """Key of a wave's batches."""
    return f"{JOBS_PREFIX}{job}/waves/{wave:05d}.json"


def outcome_key(job: str, wave: int, number: int) -> str:
    """Key of what became of one batch."""
    return f"{JOBS_PREFIX}{job}/outcomes/{wave:05d}/{number:06d}.json"
