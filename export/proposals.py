"""What fewer proposals cost a detector: figures and time for several numbers of them.

    python -m export.proposals final_model.pth --data build/prepared --counts 1000 300 100

torchvision looks at 1,000 regions of an image, the export at 300 unless told otherwise. Each number
is compared with the first on the validation split, as `export.gate` compares precisions, and timed
in turns; graphs are in float32.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.gate import Verdict, judge
from export.images import training_inputs
from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ConfigError, CxrError

TIMED_IMAGES = 15


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one number of proposals.

    Attributes:
        proposals: The number.
        verdict: Beside the first number.
        median_ms: For one image.
    """

    proposals: int
    verdict: Verdict
    median_ms: float


def proposal_costs(source: str, *, data: Path, counts: Sequence[int]) -> list[Cost]:
    """Measure a detector with several numbers of proposals.

    Args:
        source: Checkpoint, as `export.checkpoints.load_checkpoint` takes it.
        data: Prepared folder.
        counts: The first is what the others are compared with.

    Raises:
        ConfigError: The checkpoint is no detector's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        bundles = [_bundle(source, count, Path(scratch) / str(count)) for count in counts]
        times = _times(bundles, data)
        return [
            Cost(count, judge(bundles[0], bundle, data=data), median)
            for count, bundle, median in zip(counts, bundles, times, strict=True)
        ]


def _bundle(source: str, count: int, folder: Path) -> Bundle:
    from export.__main__ import parse
    from export.bundles import export

    options = [source, "--out", str(folder), "--proposals", str(count), "--task", "detection"]
    return export(
        source, parse([*options, "--precision", "float32", "--parity-images", "1"])
    ).bundle


def _times(bundles: Sequence[Bundle], data: Path) -> list[float]:
    """Median milliseconds of each for one image, taken in turns."""
    from lambdas.shared.onnx_model import OnnxModel

    inputs = training_inputs(data, bundles[0], count=TIMED_IMAGES)
    models = [OnnxModel(bundle) for bundle in bundles]
    for model in models:
        model.run(inputs[0])
    taken: list[list[float]] = [[] for _ in models]
    for image in inputs:
        for model, times in zip(models, taken, strict=True):
            begun = time.perf_counter()
            model.run(image)
            times.append((time.perf_counter() - begun) * 1000)
    return [statistics.median(times) for times in taken]


def table(costs: Sequence[Cost]) -> str:
    """For a person."""
    lines = ["proposals   mean AP50   may have fallen by   same findings   ms"]
    for cost in costs:
        verdict = cost.verdict
        fall = max(0.0, verdict.fall_at_most)
        lines.append(
            f"{cost.proposals:9}   {verdict.candidate:9.4f}   {fall:18.4f}"
            f"   {verdict.agreement:13.1%}   {cost.median_ms:.0f}"
        )
    lines.append(f"on {costs[0].verdict.data}; the fall is the end of its one-sided 95 % interval")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m export.proposals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 300, 100])
    options = parser.parse_args(arguments)
    try:
        if min(options.counts) < 1:
            raise ConfigError("--counts are from 1 on")
        costs = proposal_costs(options.checkpoint, data=options.data, counts=options.counts)
    except CxrError as error:
        sys.stderr.write(f"proposals: {error}\n")
        return 1
    sys.stdout.write(table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
