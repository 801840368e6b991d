"""What an archive of a given size takes and costs, from measured figures and list prices.

An image takes `image_cpu_ms` of processor time, measured, over the processors of where it runs;
waiting for S3 overlaps with it. Every assumption is a constant here.
"""

import math
from dataclasses import dataclass
from typing import Final

from infra import prices
from infra.bulk import BATCH_IMAGES, BATCH_SIZE, FILES_PER_IMAGE, PLANNER_SIZE, wave_batches
from infra.measure_batch import Figures
from infra.setting_readers import Architecture
from lambdas.batch.budget import TRANSITIONS_PER_BATCH

MB_A_VCPU: Final = 1769
"""Memory at which a function has one processor (Lambda developer guide, "Memory and computing
power")."""

READS_AN_IMAGE: Final = 2
"""Is there a record, and the image; a retry comes on top."""

TRANSITIONS_A_WAVE: Final = 3
EVENTS_A_WAVE: Final = 12
"""Of the history: five of the planner's task, two of the choice, five of the map run at most."""

LOG_BYTES_A_BATCH: Final = 8_000
"""Assumed: a dozen lines of state machine, function and platform, half a kilobyte each."""

LIST_S: Final = 0.3
OUTCOME_S: Final = 0.05 / 24
"""Assumed of S3: a page of 1,000 keys, and one small file with 24 read side by side."""

EXPRESS_GB: Final = 64 / 1024
"""Smallest memory that an Express child is billed for."""

SPOT_VCPUS: Final = 2
SPOT_GB: Final = 4
SPOT_REPEATED: Final = 0.05
"""Assumed: share of the work that interruptions make be done again."""

GPU_FASTER: Final = 20
"""Assumed, not measured: the models on a T4 against one processor."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One archive.

    Attributes:
        images: To be analysed.
        figures: Measured.
        architecture: Of the functions; an arm processor is taken to be as fast as an x86 one.
        concurrency: Batches at a time.
        batch_images: In a batch.
    """

    images: int
    figures: Figures
    architecture: Architecture = "x86_64"
    concurrency: int = 100
    batch_images: int = BATCH_IMAGES

    @property
    def image_s(self) -> float:
        """Of the function, for one image."""
        return self.figures.image_cpu_ms / 1000 / (BATCH_SIZE.memory_mb / MB_A_VCPU)

    @property
    def batch_s(self) -> float:
        """Of a child."""
        return self.image_s * self.batch_images

    @property
    def batches(self) -> int:
        """Children."""
        return math.ceil(self.images / self.batch_images)

    @property
    def waves(self) -> int:
        """Map runs."""
        return math.ceil(self.batches / wave_batches(self.images))

    @property
    def planning_s(self) -> float:
        """Of one wave."""
        batches = self.batches / self.waves
        listed = batches * self.batch_images / 1000 * LIST_S
        return self.figures.planning_ms / 1000 + listed + batches * OUTCOME_S

    @property
    def hours(self) -> float:
        """From start to end: each wave in rounds of children, the last of them perhaps few."""
        rounds = math.ceil(self.batches / self.waves / self.concurrency)
        wave_s = rounds * self.batch_s + self.planning_s
        return (self.figures.cold_ms / 1000 + self.waves * wave_s) / 3600

    @property
    def images_a_second(self) -> float:
        """While a wave runs."""
        return min(self.concurrency, self.batches / self.waves) / self.image_s

    def usd(self) -> dict[str, float]:
        """By part; results are kept for a month."""
        return {
            "compute": self._compute(),
            "requests": self._requests(),
            "orchestration": self._orchestration(),
            "logs": (self.batches + self.waves) * LOG_BYTES_A_BATCH / 1e9 * prices.LOG_GB.usd,
            "results in S3, a month": self.images
            * (self.figures.result_bytes + self.figures.job_bytes)
            / 1e9
            * prices.S3_GB_MONTH.usd,
        }

    @property
    def express_usd(self) -> float:
        """Of the children, were they Express."""
        duration = self.batch_s * EXPRESS_GB * prices.EXPRESS_GB_SECOND.usd
        return self.batches * (prices.EXPRESS_REQUEST.usd + duration)

    @property
    def standard_usd(self) -> float:
        """Of the children as they are."""
        return self.batches * TRANSITIONS_PER_BATCH * prices.STATE_TRANSITION.usd

    def _compute(self) -> float:
        batch_gb, planner_gb = (size.memory_mb / 1024 for size in (BATCH_SIZE, PLANNER_SIZE))
        seconds = self.images * self.image_s + self.concurrency * self.figures.cold_ms / 1000
        gb_seconds = seconds * batch_gb + self.waves * self.planning_s * planner_gb
        return gb_seconds * prices.LAMBDA_GB_SECOND[self.architecture].usd

    def _requests(self) -> float:
        reads = self.images * READS_AN_IMAGE + self.batches
        writes = self.images * FILES_PER_IMAGE + self.batches + 2 * self.waves + self.images / 1000
        return (
            reads * prices.S3_READ.usd
            + writes * prices.S3_WRITE.usd
            + (self.batches + self.waves) * prices.LAMBDA_REQUEST.usd
        )

    def _orchestration(self) -> float:
        waves = self.waves * TRANSITIONS_A_WAVE * prices.STATE_TRANSITION.usd
        return self.standard_usd + waves


def spot_usd(figures: Figures, images: int) -> float:
    """Processor time of the same images on Fargate Spot."""
    share = prices.FARGATE_SPOT_SHARE * (1 + SPOT_REPEATED)
    hourly = (
        SPOT_VCPUS * prices.FARGATE_VCPU_HOUR.usd + SPOT_GB * prices.FARGATE_GB_HOUR.usd
    ) * share
    return images * figures.image_cpu_ms / 1000 / SPOT_VCPUS / 3600 * hourly


def model_share(figures: Figures) -> float:
    """Of an image's time that its models take."""
    models = sum(figures.step_ms.get(name, 0.0) for name in ("classify_ms", "detect_ms"))
    return models / sum(figures.step_ms.values())


def gpu_images_a_second(figures: Figures, faster: float = GPU_FASTER) -> float:
    """Of one GPU instance: its processors read and report, its GPU runs the models."""
    cpu_s = figures.image_cpu_ms / 1000
    models_s = cpu_s * model_share(figures)
    return min(prices.GPU_VCPUS / (cpu_s - models_s), faster / models_s)


def gpu_usd(figures: Figures, images: int, faster: float = GPU_FASTER) -> float:
    """The same images on GPU instances."""
    return images / gpu_images_a_second(figures, faster) / 3600 * prices.GPU_HOUR.usd
