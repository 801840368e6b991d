"""From checkpoints to bundles.

    python -m export efficientnet_b4_best.pth final_model.pth --out models/mine
    python -m export s3://bucket/final_model.pth --out models/mine --size 512 --weights float32

Each checkpoint becomes models/mine/classifier or models/mine/detector, by what is in it.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambdas.shared.errors import ConfigError, CxrError

if TYPE_CHECKING:
    import onnx

    from export.checkpoints import Checkpoint
    from export.package import OperatingPoint
    from lambdas.shared.bundle import Bundle

Thresholds = dict[str | None, float]
"""By label; None for every label without its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Export every checkpoint; the exit code is 0 when all bundles are written."""
    options = _parser().parse_args(arguments)
    unused = {label for label, _ in options.thresholds if label}
    try:
        for source in options.checkpoints:
            bundle = _export(source, options)
            unused -= set(bundle.label_names)
            difference = bundle.facts["parity"]["max_abs_difference"]
            sys.stdout.write(
                f"{bundle.folder}: {bundle.facts['architecture']}, "
                f"{', '.join(bundle.label_names)}; {bundle.facts['precision']}, "
                f"{bundle.graph_path.stat().st_size / 1e6:.1f} MB; differs from torch by "
                f"{', '.join(f'{name} {value:.2g}' for name, value in difference.items())}\n"
            )
        if unused:
            raise ConfigError(f"--thresholds names {sorted(unused)}, which no exported model has")
    except CxrError as error:
        sys.stderr.write(f"export: {error}\n")
        return 1
    return 0


def _export(source: str, options: argparse.Namespace) -> "Bundle":
    """One checkpoint to one bundle."""
    from export.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(source)
    if options.task and checkpoint.task != options.task:
        raise ConfigError(f"checkpoint {source} is for {checkpoint.task}, not {options.task}")
    if checkpoint.task == "classification":
        return _export_classifier(checkpoint, options)
    return _export_detector(checkpoint, options)


def _export_classifier(checkpoint: "Checkpoint", options: argparse.Namespace) -> "Bundle":
    from export import classifier_graph, parity
    from export.checkpoints import build_from, label_names
    from export.package import classifier_facts
    from lambdas.shared.labels import ABNORMAL, TRIAGE_LABELS
    from training.classifier import INPUT_SIZE_PX

    size = options.classifier_size or checkpoint.size_px or INPUT_SIZE_PX
    labels = label_names(checkpoint, options.labels, usual={2: TRIAGE_LABELS})
    positive = ABNORMAL if ABNORMAL in labels else labels[-1]
    model = build_from(checkpoint, size=size, architecture=options.architecture)
    graph = classifier_graph.classifier_graph(model, size=size, labels=labels)
    facts = classifier_facts(
        labels=labels,
        size=size,
        input_name=classifier_graph.INPUT,
        output_name=classifier_graph.OUTPUT,
        point=_operating_point((positive,), dict(options.thresholds)),
        resize=options.resize,
    )
    reference = parity.classifier_reference(model, output=classifier_graph.OUTPUT)
    return _finish("classifier", graph, facts, reference, "EfficientNet-B4", options)


def _export_detector(checkpoint: "Checkpoint", options: argparse.Namespace) -> "Bundle":
    from export import detector_graph, parity
    from export.checkpoints import build_from, label_names
    from export.package import detector_facts
    from lambdas.shared.labels import DETECTOR_LABELS
    from training.detector import INPUT_SIZE_PX

    size = options.size or checkpoint.size_px or INPUT_SIZE_PX
    labels = label_names(checkpoint, options.labels, usual=DETECTOR_LABELS)
    model: Any = build_from(
        checkpoint, size=size, proposals=options.proposals, norm_eps=options.norm_eps
    )
    graph = detector_graph.detector_graph(model, labels=labels)
    facts = detector_facts(
        labels=labels,
        size=size,
        input_name=detector_graph.INPUT,
        output_names=detector_graph.OUTPUTS,
        point=_operating_point(labels, dict(options.thresholds)),
        resize=options.resize,
    )
    reference = parity.detector_reference(model)
    architecture = f"Faster R-CNN ResNet-50 FPN, {options.proposals} proposals"
    return _finish("detector", graph, facts, reference, architecture, options)


def _finish(
    part: str,
    graph: "onnx.ModelProto",
    facts: dict[str, Any],
    reference: Any,
    architecture: str,
    options: argparse.Namespace,
) -> "Bundle":
    """Prove the float32 graph equal to torch, then write the bundle in the precision asked for."""
    import numpy as np

    from export import parity, quantize
    from export.package import Origin, write_bundle
    from export.pictures import picture
    from lambdas.shared.onnx_model import OnnxModel
    from training.code_version import code_version

    generator = np.random.default_rng(0)
    size = facts["input"]["height_px"]
    images = [picture(generator, size)[None, None] for _ in range(options.parity_images)]
    origin = Origin(
        name=options.name or f"{options.out.name}-{part}",
        version=options.version,
        architecture=architecture,
        trained_on=options.trained_on,
        description=options.description,
        code_version=code_version(),
    )
    with tempfile.TemporaryDirectory() as scratch:
        exact = write_bundle(
            Path(scratch) / part,
            graph=graph,
            facts=facts,
            origin=origin,
            precision=quantize.FLOAT32,
            parity=None,
        )
        found = parity.measure(reference, OnnxModel(exact), images)
    report = parity.check(found, model=origin.name, images=len(images))
    precision = quantize.FLOAT32
    if options.weights == "int8":
        graph, precision = quantize.quantize_weights(graph), quantize.INT8_WEIGHTS
        report["measured_on"] = "the graph before its weights were rounded to int8"
    return write_bundle(
        options.out / part,
        graph=graph,
        facts=facts,
        origin=origin,
        precision=precision,
        parity=report,
    )


def _operating_point(labels: Sequence[str], thresholds: "Thresholds") -> "OperatingPoint":
    """The labels' thresholds; 0.5 where nothing is said."""
    from export.package import OperatingPoint

    usual = thresholds.get(None, 0.5)
    chosen_by = "given at export" if thresholds else "0.5 for want of validation data at export"
    return OperatingPoint(
        thresholds={label: thresholds.get(label, usual) for label in labels}, chosen_by=chosen_by
    )


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
    add("--weights", choices=("int8", "float32"), default="int8", help="stored as; default int8")
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
    add("--version", default="1", help="of the model")
    add("--trained-on", choices=("nothing", "phantoms", "patients"), default="patients")
    add("--description", default="not described at export", help="of the training data")
    add("--parity-images", type=int, default=3, help="pictures to compare with torch on")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
