"""`cxr models show`: what the models are, from their bundles, and whether they load."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cxr.analyser import load_pair
from cxr.keys import shown
from lambdas.report.words import RESEARCH_ONLY
from lambdas.shared.bundle import Bundle, model_set
from lambdas.shared.errors import ModelMismatchError

_COPIED = (
    "task",
    "name",
    "version",
    "architecture",
    "labels",
    "input",
    "operating_point",
    "calibration",
    "metrics",
    "trained_on",
    "precision",
    "parity",
    "gate",
    "code_version",
    "sha256",
    "intended_use",
)
"""Facts that are shown as model.json has them."""


def describe_models(folder: Path) -> dict[str, Any]:
    """Everything there is to say about the pair of bundles in a folder.

    The digest of each graph is checked; the graph is opened and compared with model.json.

    Raises:
        ContractError: A bundle is missing, malformed, or not the file that model.json describes.
    """
    pair = load_pair(folder)
    models = [_describe(bundle) for bundle in pair]
    return {
        "folder": str(folder),
        "model_set": model_set(*pair),
        "usable": all(model["graph_problem"] is None for model in models),
        "models": models,
    }


def print_models(description: dict[str, Any], console: Console) -> None:
    """Print the description for a person."""
    _line(console, f"Models in {shown(description['folder'])}", "bold")
    _line(console, f"Model set {description['model_set']}: names results made with this pair")
    for model in description["models"]:
        _line(console, "")
        _line(console, f"{model['task'].capitalize()}: {model['name']} {model['version']}", "bold")
        for warning in model["warnings"]:
            _line(console, f"Warning: {warning}", "yellow")
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _rows(model):
            table.add_row(Text(name), Text(shown_lines(value)))
        console.print(table)
        _line(console, f"sha256 {model['sha256']} (checked)")  # not wrapped: to be copied
        if model["metrics"]:
            console.print(_metrics_table(model["metrics"]))
        else:
            _line(console, "No metrics: this model has not been measured.")
    _line(console, "")
    _line(console, RESEARCH_ONLY)


def shown_lines(text: str) -> str:
    """As `shown`, but with its line breaks."""
    return "\n".join(shown(line) for line in text.split("\n"))


def _describe(bundle: Bundle) -> dict[str, Any]:
    # here: opening a graph imports onnxruntime, which the rest of the command does without
    from lambdas.shared.onnx_model import OnnxModel

    problem = None
    try:
        OnnxModel(bundle, threads=1)
    except ModelMismatchError as error:
        problem = str(error)
    return {
        **{name: bundle.facts.get(name) for name in _COPIED},
        "warnings": list(bundle.warnings),
        "size_bytes": sum(path.stat().st_size for path in bundle.folder.iterdir()),
        "sha256_checked": True,  # load_bundle refuses any other
        "graph_problem": problem,
    }


def _rows(model: dict[str, Any]) -> list[tuple[str, str]]:
    source, parity = model["input"], model["parity"]
    return [
        ("Architecture", model["architecture"]),
        ("Intended use", model["intended_use"]),
        ("Trained on", f"{model['trained_on']['kind']}: {model['trained_on']['description']}"),
        ("Labels", "\n".join(_label(label) for label in model["labels"])),
        (
            "Input",
            f"{source['width_px']} x {source['height_px']} px, {source['channels']} "
            f"{'channel' if source['channels'] == 1 else 'channels'}, {source['resize']}",
        ),
        ("Operating point", _operating_point(model["operating_point"])),
        *([("Calibration", _calibration(model["calibration"]))] if _is_triage(model) else []),
        ("Precision", model["precision"]),
        ("Parity", _parity(parity) if parity else "not measured"),
        *([("int8 beside float32", _gate(model["gate"]))] if model.get("gate") else []),
        ("Size on disk", f"{model['size_bytes'] / 1e6:.1f} MB"),
        ("Code version", model["code_version"]),
        ("Graph", model["graph_problem"] or "loads, and agrees with model.json"),
    ]


def _is_triage(model: dict[str, Any]) -> bool:
    return bool(model["task"] == "classification")


def _label(label: dict[str, Any]) -> str:
    code = label["code"]
    if code is None:
        return f"{label['name']} (no public code)"
    return f"{label['name']} ({code['system']} {code['value']}, {code['meaning']})"


def _operating_point(point: dict[str, Any]) -> str:
    lines = []
    if "threshold" in point:
        lines.append(f"{point['positive_label']} from {point['threshold']:g}")
    lines += [f"{label} from {value:g}" for label, value in point.get("thresholds", {}).items()]
    if "max_findings" in point:
        lines.append(f"at most {point['max_findings']} findings for one image")
    for name in ("sensitivity", "specificity"):
        if point.get(name) is not None:
            lines.append(f"{name} {point[name]:.3f}")
    lines.append(f"chosen by: {point['chosen_by']}")
    return "\n".join(lines)


def _calibration(calibration: dict[str, Any] | None) -> str:
    if calibration is None:
        return "none: its number is a score, not a probability"
    return f"temperature {calibration['temperature']:g}, fitted on {calibration['fitted_on']}"


def _parity(parity: dict[str, Any]) -> str:
    differences = ", ".join(
        f"{name} {value:.2g}" for name, value in parity["max_abs_difference"].items()
    )
    return f"largest difference from {parity['reference']} on {parity['n']} images: {differences}"


def _gate(gate: dict[str, Any]) -> str:
    return (
        f"{gate['figure']} {gate['float32']:.3f} in float32, {gate['quantised']:.3f} in int8 on "
        f"{gate['data']}; fall at most {max(gate['fall_at_most'], 0):.4f} ({gate['margin']:g} is "
        f"allowed), {gate['agreement']:.1%} of the decisions agree"
    )


def _metrics_table(metrics: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Metric", overflow="fold")
    table.add_column("Value", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("Data", overflow="fold")
    for metric in metrics:
        interval = metric["interval_95"]
        table.add_row(
            Text(shown(metric["name"])),
            f"{metric['value']:.3f}",
            f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "not given",
            str(metric["n"]),
            Text(shown(metric["data"])),
        )
    return table


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
