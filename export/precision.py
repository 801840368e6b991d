"""The fastest form of a graph that is still right, and how that was found.

With prepared data (training images to calibrate on, validation to judge on) a graph that computes
in int8 is made and put through `export.gate`. Where it does not pass, or there is no data, weights
alone are stored in int8, which changes neither answers nor speed, only the size of the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx

from export import quantize
from export.gate import Verdict, judge
from export.images import training_inputs
from export.package import Origin, write_bundle
from export.static_int8 import INT8, quantize_static
from lambdas.shared.bundle import Bundle
from lambdas.shared.errors import ContractError

CALIBRATION_IMAGES: Final = 128
"""Training images that activation ranges are measured on; twice as many change no range by much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The graph to ship.

    Attributes:
        graph: In its precision.
        precision: As model.json names it.
        gate: What int8 was judged by, whichever way it went; None where it was not tried.
        reason: Why this precision, a sentence.
    """

    graph: onnx.ModelProto
    precision: str
    gate: Verdict | None
    reason: str


def choose_precision(
    graph: onnx.ModelProto,
    exact: Bundle,
    *,
    wanted: str,
    data: Path | None,
    origin: Origin,
    scratch: Path,
    workers: int = 1,
) -> Chosen:
    """Make the graph in the precision that is asked for.

    Args:
        graph: In float32.
        exact: Its bundle, in float32.
        wanted: One of `export.bundles.PRECISIONS`.
        data: Prepared folder; None where there is none.
        origin: For the candidate's bundle, which lives as long as `scratch`.
        scratch: A folder to write into.
        workers: Processes that answer the validation films.

    Raises:
        ContractError: int8 is demanded and does not pass, or there is no data to calibrate on.
    """
    if wanted == "float32":
        return Chosen(graph=graph, precision=quantize.FLOAT32, gate=None, reason="asked for")
    if wanted == "int8-weights":
        return _weights_only(graph, None, "asked for")
    if data is None:
        if wanted == "int8":
            raise ContractError(
                "--precision int8 needs --data, a folder of training.prepare: images to calibrate "
                "on, and validation to prove that the answers stay"
            )
        return _weights_only(graph, None, "without --data nothing can be calibrated or proven")
    inputs = training_inputs(data, exact, count=CALIBRATION_IMAGES)
    candidate = quantize_static(graph, inputs)
    faster = write_bundle(
        scratch / "int8",
        graph=candidate,
        facts=_facts(exact),
        origin=origin,
        precision=INT8,
        parity=None,
    )
    verdict = judge(exact, faster, data=data, workers=workers)
    if verdict.passed:
        reason = (
            f"{verdict.figure} {verdict.float32:.4f} in float32, {verdict.candidate:.4f} in int8; "
            f"{verdict.agreement:.1%} of the decisions agree"
        )
        return Chosen(graph=candidate, precision=INT8, gate=verdict, reason=reason)
    refusal = "int8 does not pass: " + "; ".join(verdict.reasons)
    if wanted == "int8":
        raise ContractError(f"{refusal}; use --precision auto for the fastest that does")
    return _weights_only(graph, verdict, refusal)


def _weights_only(graph: onnx.ModelProto, gate: Verdict | None, reason: str) -> Chosen:
    small = quantize.quantize_weights(graph)
    return Chosen(graph=small, precision=quantize.INT8_WEIGHTS, gate=gate, reason=reason)


def _facts(bundle: Bundle) -> Mapping[str, Any]:
    """The part of model.json that does not depend on the precision."""
    names = ("task", "labels", "input", "output", "operating_point")
    return {name: bundle.facts[name] for name in names}
