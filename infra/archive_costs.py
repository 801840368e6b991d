"""The page of what a large archive takes and costs: ARCHIVE_COSTS.md, made from measured figures.

python -m infra.archive_costs             print the page
python -m infra.archive_costs --write     keep it
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Final

from infra import prices
from infra.archive_estimate import (
    EVENTS_A_WAVE,
    GPU_FASTER,
    LIST_S,
    LOG_BYTES_A_BATCH,
    MB_A_VCPU,
    SPOT_GB,
    SPOT_REPEATED,
    SPOT_VCPUS,
    Estimate,
    gpu_images_a_second,
    gpu_usd,
    model_share,
    spot_usd,
)
from infra.bulk import BATCH_SIZE, FILES_PER_IMAGE, MAP_CONCURRENCY, wave_batches
from infra.measure_batch import Figures, read_figures
from infra.setting_readers import REPOSITORY
from lambdas.batch.batching import INPUT_BYTES

PAGE: Final = REPOSITORY / "ARCHIVE_COSTS.md"

SIZES: Final = (1_000_000, 100_000_000)
CONCURRENCIES: Final = (100, 250, 500)
"""No more at a time than a wave has batches."""

ACCOUNT_CONCURRENCY: Final = 1_000
HISTORY_EVENTS: Final = 25_000
PAYLOAD_BYTES: Final = 256 * 1024
MAP_CHILDREN: Final = 10_000
S3_WRITES_A_SECOND: Final = 3_500
"""Quotas: Lambda and Step Functions developer guides; S3's is for one prefix (user guide)."""


def page(figures: Figures) -> str:
    """The page as Markdown."""
    small, large = (Estimate(images, figures) for images in SIZES)
    return (
        "\n\n".join(
            [
                _head(figures),
                "## Time and cost",
                _costs((small, large)),
                _orchestration(small),
                "## Faster, or on arm",
                _times(figures),
                _arm(small),
                "## Limits, and how they are met",
                _limits(large),
                "## When something else is cheaper",
                _others(figures),
                "## What is assumed",
                _assumed(figures),
            ]
        )
        + "\n"
    )


def _head(figures: Figures) -> str:
    return (
        "# A hospital's archive: time and cost\n\n"
        "Written by `python -m infra.archive_costs --write`; change the figures, not this page.\n\n"
        f"Measured {figures.date} by `python -m infra.measure_batch --write` on {figures.host}, "
        f"{figures.processors} processors, {figures.images} warm images of the demo "
        f"({figures.image_bytes / 1e6:.1f} MB on average; {figures.models}): "
        f"**{figures.image_cpu_ms:.0f} ms of processor time an image**, "
        f"{figures.image_ms:.0f} ms by the clock while {figures.load_before:.1f} other processes "
        f"ran, {figures.cold_ms / 1000:.1f} s more for the first batch, "
        f"{figures.peak_memory_mb:,.0f} MB at most. List prices of {prices.AS_OF}, "
        f"{prices.REGION}, without free tiers and tax. No figure comes from an AWS bill."
    )


def _costs(estimates: Sequence[Estimate]) -> str:
    parts = [estimate.usd() for estimate in estimates]
    rows = [[part, *(_usd(each[part]) for each in parts)] for part in parts[0]]
    rows.append(["**together**", *(f"**{_usd(sum(each.values()))}**" for each in parts)])
    rows.insert(0, ["time", *(_time(each.hours) for each in estimates)])
    rows.insert(1, ["batches, waves", *(f"{e.batches:,}, {e.waves:,}" for e in estimates)])
    head = [f"{MAP_CONCURRENCY} batches at a time, x86"]
    head += [f"{each.images / 1e6:,.0f} M images" for each in estimates]
    return _table(head, rows)


def _orchestration(small: Estimate) -> str:
    usd = small.usd()
    share = usd["orchestration"] / usd["compute"]
    break_even_s = small.standard_usd / small.express_usd * small.batch_s
    cheaper = "Express" if small.express_usd < small.standard_usd else "Standard"
    return (
        f"Orchestration is {share:.1%} of the compute at {small.images / 1e6:,.0f} M images: a "
        f"child of three transitions carries {small.batch_images} images and takes "
        f"{small.batch_s:.0f} s. As Standard executions the children cost "
        f"{_usd(small.standard_usd)} USD, as Express {_usd(small.express_usd)} USD; {cheaper} is "
        f"cheaper here, and they would cost the same at about {break_even_s:.0f} s a batch. They "
        "are Standard for other reasons than price: it starts a child once, where Express may do "
        "so more than once; it has no limit of five minutes; and it keeps a history to redrive "
        "from."
    )


def _times(figures: Figures) -> str:
    rows = []
    for concurrency in CONCURRENCIES:
        estimates = [Estimate(images, figures, concurrency=concurrency) for images in SIZES]
        rate = f"{estimates[0].images_a_second:,.0f}"
        rows.append([f"{concurrency:,}", rate, *(_time(each.hours) for each in estimates)])
    head = ["batches at a time", "images a second", *(f"{size / 1e6:,.0f} M" for size in SIZES)]
    return _table(head, rows)


def _arm(small: Estimate) -> str:
    arm = Estimate(small.images, small.figures, "arm64").usd()["compute"]
    x86 = small.usd()["compute"]
    return (
        f"Compute for {small.images / 1e6:,.0f} M images: {_usd(x86)} USD on x86, {_usd(arm)} USD "
        f"on arm if it is as fast, which is not measured. It pays as long as an image takes less "
        f"than {x86 / arm:.2f} times as long there."
    )


def _limits(large: Estimate) -> str:
    writes = large.images_a_second * FILES_PER_IMAGE
    events = large.waves * EVENTS_A_WAVE
    limits = [
        [
            "Lambda, functions at a time",
            f"{ACCOUNT_CONCURRENCY:,} an account",
            f"{MAP_CONCURRENCY} batches (`archive_concurrency`): the rest is for streaming",
        ],
        ["children of a map run", f"{MAP_CHILDREN:,} at a time", f"{MAP_CONCURRENCY}"],
        [
            "events of an execution's history",
            f"{HISTORY_EVENTS:,}",
            f"{events:,} for {large.images / 1e6:,.0f} M images: {large.waves:,} waves of "
            f"{wave_batches(large.images):,} batches; children have histories of their own",
        ],
        [
            "payload between states",
            f"{PAYLOAD_BYTES:,} bytes",
            "counts and keys of files; a batch of very long keys is cut before a child's input "
            f"has {INPUT_BYTES:,} bytes",
        ],
        [
            "function's time limit",
            "900 s",
            f"{BATCH_SIZE.timeout_seconds} s, for a batch of {large.batch_s:.0f} s; what is not "
            "begun in time goes into a later batch",
        ],
        [
            "S3 writes",
            f"{S3_WRITES_A_SECOND:,} a second and prefix",
            f"{writes:,.0f} a second at {large.concurrency} batches; names of results begin with a "
            "digest, so that S3 can divide them; slowing down is answered by trying again",
        ],
    ]
    return _table(["limit", "is", "and here"], limits, right=False)


def _others(figures: Figures) -> str:
    rows = []
    for images in SIZES:
        estimate = Estimate(images, figures)
        rows.append(
            [
                f"{images / 1e6:,.0f} M",
                _usd(estimate.usd()["compute"]),
                _usd(Estimate(images, figures, "arm64").usd()["compute"]),
                _usd(spot_usd(figures, images)),
                _usd(gpu_usd(figures, images)),
            ]
        )
    head = ["images, USD of compute", "Lambda x86", "Lambda arm", "Fargate Spot", "GPU instance"]
    million = SIZES[0]
    saved = Estimate(million, figures).usd()["compute"] - spot_usd(figures, million)
    endless = gpu_usd(figures, million, faster=10_000)
    return (
        f"{_table(head, rows)}\n\n"
        f"Fargate Spot ({SPOT_VCPUS} vCPU, {SPOT_GB} GB) costs less at any size and saves "
        f"{_usd(saved)} USD a million images. It needs a queue, a place to run and an answer to "
        "interruptions, none of which stands here: it pays once what it saves is more than what "
        f"that costs, for a thousand dollars of work from {1000 / saved:,.0f} M images on.\n\n"
        f"The models take {model_share(figures):.0%} of an image's time, the rest is decoding and "
        f"drawing, which a GPU does not do: a g4dn.xlarge comes to "
        f"{gpu_images_a_second(figures):.1f} images a second. However fast the GPU, a million "
        f"images cost {_usd(endless)} USD there, since its {prices.GPU_VCPUS} processors have to "
        f"keep up; Fargate Spot does it for {_usd(spot_usd(figures, million))}. A GPU pays with "
        "models many times as large as these."
    )


def _assumed(figures: Figures) -> str:
    vcpus = BATCH_SIZE.memory_mb / MB_A_VCPU
    slow = dataclasses.replace(figures, image_cpu_ms=figures.image_ms * vcpus)
    by_clock = Estimate(SIZES[0], slow).usd()["compute"]
    return "\n".join(
        [
            f"- A processor of Lambda, Fargate or g4dn is as fast as the measured one; a function "
            f"of {BATCH_SIZE.memory_mb:,} MB has {BATCH_SIZE.memory_mb / MB_A_VCPU:.2f} of them, "
            "and all of them are busy. If an image took as long there as it did by the clock here, "
            f"compute for a million would be {_usd(by_clock)} USD.",
            "- Images lie in S3 already; their storage and KMS are paid for anyway. Bucket keys "
            "make KMS requests few.",
            f"- Logs: {LOG_BYTES_A_BATCH:,} bytes a batch. Listing: {LIST_S} s for 1,000 keys.",
            f"- Spot costs {prices.FARGATE_SPOT_SHARE:.0%} of Fargate's usual price, the least "
            f"that AWS names; {SPOT_REPEATED:.0%} of the work is done again. A GPU instance is "
            f"paid on demand, {prices.GPU_HOUR.usd} USD an hour (list of {prices.GPU_HOUR.read}).",
            f"- The models run {GPU_FASTER} times as fast on a T4 as on one processor.",
            "- No further formats, no events, no retries.",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = True) -> str:
    """With columns of numbers but for the first, or of words."""
    lines = [head, ["---", *("---:" if right else "---" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _usd(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or keep the page."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.archive_costs", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--write", action="store_true", help=f"to {PAGE.name}")
    text = page(read_figures())
    if parser.parse_args(arguments).write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
