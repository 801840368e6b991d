"""From one checkpoint, or one bundle, to one bundle: build, export, prove, make small and fast."""

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lambdas.shared.bundle import FACTS_FILE, Bundle, load_bundle
from lambdas.shared.errors import ConfigError

if TYPE_CHECKING:
    import onnx

    from export.checkpoints import Checkpoint
    from export.package import OperatingPoint, Origin

PRECISIONS: Final = ("auto", "int8", "int8-weights", "float32")
"""Of `--precision`; auto is int8 where it passes its gate, else int8-weights."""

Thresholds = dict[str | None, float]
"""By label; None for every label without its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        bundle: As loaded again.
        reason: Why it has its precision, a sentence.
    """

    bundle: Bundle
    reason: str


def export(source: str, options: argparse.Namespace) -> Exported:
    """Export one checkpoint, or give one bundle another precision.

    Args:
        source: Path of either, or s3:// address of a checkpoint.
        options: Of the command line.
    """
    if not source.startswith("s3://") and (Path(source) / FACTS_FILE).is_file():
        return _again(load_bundle(Path(source)), options)
    from export.checkpoints import load_checkpoint

    checkpoint = load_checkpoint(source)
    if options.task and checkpoint.task != options.task:
        raise ConfigError(f"checkpoint {source} is for {checkpoint.task}, not {options.task}")
    if checkpoint.task == "classification":
        return _export_classifier(checkpoint, options)
    return _export_detector(checkpoint, options)


def _export_classifier(checkpoint: "Checkpoint", options: argparse.Namespace) -> Exported:
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


def _export_detector(checkpoint: "Checkpoint", options: argparse.Namespace) -> Exported:
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


def _again(bundle: Bundle, options: argparse.Namespace) -> Exported:
    """A bundle in another precision; all its other facts stay, parity with torch among them."""
    from export.from_bundle import float32_graph
    from export.package import Origin

    if options.task and bundle.task != options.task:
        raise ConfigError(f"bundle {bundle.folder} is for {bundle.task}, not {options.task}")
    facts = bundle.facts
    origin = Origin(
        name=facts["name"],
        version=options.version or facts["version"],
        architecture=facts["architecture"],
        trained_on=facts["trained_on"]["kind"],
        description=facts["trained_on"]["description"],
        code_version=facts["code_version"],
        metrics=facts["metrics"],
        calibration=facts["calibration"],
    )
    kept = ("task", "labels", "input", "output", "operating_point", "operating_curve")
    own = {name: facts[name] for name in kept if name in facts}
    part = "classifier" if bundle.task == "classification" else "detector"
    return _write(part, float32_graph(bundle), own, origin, facts["parity"], options)


def _finish(
    part: str,
    graph: "onnx.ModelProto",
    facts: dict[str, Any],
    reference: Any,
    architecture: str,
    options: argparse.Namespace,
) -> Exported:
    """Prove the float32 graph equal to torch, then write the bundle in the precision asked for."""
    import numpy as np

    from export import parity
    from export.images import film_inputs
    from export.package import Origin, write_bundle
    from export.pictures import picture
    from export.quantize import FLOAT32
    from lambdas.shared.onnx_model import OnnxModel
    from training.code_version import code_version

    origin = Origin(
        name=options.name or f"{options.out.name}-{part}",
        version=options.version or "1",
        architecture=architecture,
        trained_on=options.trained_on,
        description=options.description,
        code_version=code_version(),
    )
    generator = np.random.default_rng(0)
    size = facts["input"]["height_px"]
    images = [picture(generator, size)[None, None] for _ in range(options.parity_images)]
    with tempfile.TemporaryDirectory() as scratch:
        exact = write_bundle(
            Path(scratch) / part,
            graph=graph,
            facts=facts,
            origin=origin,
            precision=FLOAT32,
            parity=None,
        )
        films = film_inputs(options.images, exact)
        found = parity.measure(reference, OnnxModel(exact), [*images, *films])
    report = parity.check(found, model=origin.name, images=len(images) + len(films))
    report |= {"synthetic": len(images), "films": len(films)}
    return _write(part, graph, facts, origin, report, options)


def _write(
    part: str,
    graph: "onnx.ModelProto",
    facts: Mapping[str, Any],
    origin: "Origin",
    parity: Mapping[str, Any] | None,
    options: argparse.Namespace,
) -> Exported:
    """Choose the precision and write the bundle."""
    from export.package import write_bundle
    from export.precision import choose_precision
    from export.quantize import FLOAT32

    with tempfile.TemporaryDirectory() as scratch:
        exact = write_bundle(
            Path(scratch) / "float32",
            graph=graph,
            facts=facts,
            origin=origin,
            precision=FLOAT32,
            parity=None,
        )
        chosen = choose_precision(
            graph,
            exact,
            wanted=options.precision,
            data=options.data,
            origin=origin,
            scratch=Path(scratch),
        )
    report = dict(parity) if parity else None
    if report and chosen.precision != FLOAT32:
        report["measured_on"] = "the graph in float32"
    bundle = write_bundle(
        options.out / part,
        graph=chosen.graph,
        facts=facts,
        origin=origin,
        precision=chosen.precision,
        parity=report,
        gate=chosen.gate.to_json() if chosen.gate else None,
    )
    return Exported(bundle, chosen.reason)


def _operating_point(labels: Sequence[str], thresholds: Thresholds) -> "OperatingPoint":
    """The labels' thresholds; 0.5 where nothing is said."""
    from export.package import OperatingPoint

    usual = thresholds.get(None, 0.5)
    chosen_by = "given at export" if thresholds else "0.5 for want of validation data at export"
    return OperatingPoint(
        thresholds={label: thresholds.get(label, usual) for label in labels}, chosen_by=chosen_by
    )
