"""From checkpoints to bundles.

    python -m export efficientnet_b4_best.pth final_model.pth --out models/mine
    python -m export best.pth final_model.pth --out models/mine --data build/prepared
    python -m export s3://bucket/final_model.pth --out models/mine --size 512 --precision float32
    python -m export models/mine/detector --out models/faster --data build/prepared

Each checkpoint becomes models/mine/classifier or models/mine/detector, by what is in it. With a
folder of training.prepare as --data the graph is calibrated on its training split to compute in
int8, and ships so if its validation split shows the answers to stay. A bundle may stand for a
checkpoint, to be given another precision: all that is said about labels, size and training stays.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from export.bundles import PRECISIONS, Exported, export
from lambdas.shared.errors import ConfigError, CxrError


def main(arguments: Sequence[str] | None = None) -> int:
    """Export every checkpoint; the exit code is 0 when all bundles are written."""
    options = parse(arguments)
    unused = {label for label, _ in options.thresholds if label}
    try:
        for source in options.checkpoints:
            exported = export(source, options)
            bundle = exported.bundle
            unused -= set(bundle.label_names)
            sys.stdout.write(_summary(exported))
        if unused:
            raise ConfigError(f"--thresholds names {sorted(unused)}, which no exported model has")
    except CxrError as error:
        sys.stderr.write(f"export: {error}\n")
        return 1
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of `export.bundles.export`."""
    return _parser().parse_args(arguments)


def _summary(exported: Exported) -> str:
    """What was written, for a person."""
    bundle = exported.bundle
    parity = bundle.facts["parity"]
    difference = parity["max_abs_difference"] if parity else {}
    lines = [
        f"{bundle.folder}: {bundle.facts['architecture']}, {', '.join(bundle.label_names)}",
        f"  precision: {bundle.facts['precision']}, "
        f"{bundle.graph_path.stat().st_size / 1e6:.1f} MB ({exported.reason})",
    ]
    if difference:
        values = ", ".join(f"{name} {value:.2g}" for name, value in difference.items())
        lines.append(f"  float32 differs from torch by {values}, on {parity['n']} images")
    return "\n".join(lines) + "\n"


def _threshold(text: str) -> tuple[str | None, float]:
    """`LABEL=0.3`, or `0.3` for every label without its own."""
    label, _, number = text.rpartition("=")
    value = float(number)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not in [0, 1]")
    return label or None, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoints", nargs="+", metavar="CHECKPOINT", help="path or s3://bucket/key")
    add("--out", type=Path, required=True, help="folder of the pair, such as models/mine")
    add("--task", choices=("classification", "detection"), help="refuse anything else")
    add("--labels", type=_names, help="in the order of the outputs, comma-separated")
    add("--precision", choices=PRECISIONS, default="auto", help="default: int8 where it is right")
    add("--data", type=Path, help="prepared folder, to calibrate int8 on and to judge it by")
    add("--size", type=int, help="detector's input in px; default the checkpoint's, else 800")
    add("--classifier-size", type=int, help="likewise the classifier's; else 380")
    add("--proposals", type=int, default=300, help="regions the detector looks at; default 300")
    add("--resize", choices=("letterbox", "stretch"), default="letterbox", help="as in training")
    add("--architecture", help="efficientnet_b4 (default) or tf_efficientnet_b4: weights fit both")
    add("--norm-eps", type=float, help="epsilon of a detector's BatchNorm; default torchvision's")
    add(
        "--thresholds",
        nargs="+",
        type=_threshold,
        default=[],
        metavar="[LABEL=]NUMBER",
        help="of the positive label or of findings; default 0.5",
    )
    add("--name", help="of the model; default from --out")
    add("--version", help="of the model; default 1")
    add("--trained-on", choices=("nothing", "phantoms", "patients"), default="patients")
    add("--description", default="not described at export", help="of the training data")
    add("--parity-images", type=int, default=3, help="drawn pictures to compare with torch on")
    add("--images", nargs="+", type=Path, default=[], help="films to compare with torch on as well")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
