"""The result for people: one table for each case, on the terminal and in Markdown."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

COLUMNS: Final = (
    "backend",
    "ms",
    "best ms",
    "x eager",
    "x eager, same proposals",
    "% of peak",
    "load s",
    "start s",
    "memory MB",
    "disk MB",
)

WIDTH: Final = 110
"""Characters of a line of the notes."""

MEANING: Final = (
    "ms: median for one image, in a warm process; best ms: the shortest. x eager: torch eager's "
    "median over this one. For detectors, torch eager runs as the proof of concept does, with "
    "torchvision's 1,000 proposals, ours with 300; the next column compares equal numbers.",
    "% of peak: operations of all convolutions and matrix products, over the time of the whole "
    "graph (the median), against the fastest run of any large product that "
    "onnxruntime ran in the same rounds: int8 for int8, float32 for the rest.",
    "load s: in a fresh process, from libraries imported to ready for the first image, files in "
    "the page cache; for compiled torch with the compilation. start s: likewise from nothing, "
    "imports included. memory MB: the most that the process ever held, libraries included.",
    "Compiled torch is inductor with frozen weights; of the detector, the networks are compiled "
    "and suppression and pooling of regions between them are not. Threads wait as every library "
    "has them wait: torch's spin, which is fastest on a quiet machine and far slower beside other "
    "work, so a loaded machine flatters us. Preprocessing is in nobody's time.",
    "Weights are drawn from a seed: speed depends on shapes alone. That int8 finds the same as "
    "float32 is not shown here: `python -m export` ships it only where AUROC and AP50 hold.",
    "Bulk analysis runs batches of one, one process for each processor: what a larger batch gives "
    "is shown, not used.",
)

Line = tuple[str, ...]


def terminal(result: Mapping[str, Any]) -> str:
    """The whole result, for a terminal at least 120 characters wide."""
    parts = [*_heading(result), ""]
    for case in result["cases"]:
        columns, lines = cells(case)
        parts += [case["title"], *_aligned(columns, lines), *_peak_line(case), ""]
    parts += [f"{name:28s} {text}" for name, text in summary(result)]
    notes = (textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in MEANING)
    return "\n".join([*parts, "", *notes]) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """The same for README."""
    parts = [*(f"{line}  " for line in _heading(result)), ""]
    for case in result["cases"]:
        columns, lines = cells(case)
        parts += [f"**{case['title']}**", ""]
        parts += [_row(columns), _row(["---", *["---:"] * (len(columns) - 1)])]
        parts += [_row(_bold_ours(line)) for line in lines]
        parts += ["", *_peak_line(case), ""]
    parts += [f"- {name}: {text}" for name, text in summary(result)]
    parts += ["", *(f"{line}  " for line in MEANING)]
    return "\n".join(parts).rstrip() + "\n"


def cells(case: Mapping[str, Any]) -> tuple[Line, list[Line]]:
    """Headings and lines of a case's table, without columns that would be empty."""
    lines = [
        (
            row["backend"],
            f"{row['median_ms']:.1f}",
            f"{row['min_ms']:.1f}",
            _number(row["ratio"], "{:.2f}"),
            _number(row["ratio_equal_proposals"], "{:.2f}"),
            _number(row["percent_of_peak"], "{:.0f}"),
            f"{row['load_s']:.2f}",
            f"{row['start_s']:.2f}",
            f"{row['peak_memory_mb']:.0f}",
            f"{row['disk_mb']:.1f}",
        )
        for row in case["rows"]
    ]
    filled = [place for place in range(len(COLUMNS)) if any(line[place] for line in lines)]
    return (
        tuple(COLUMNS[place] for place in filled),
        [tuple(line[place] for place in filled) for line in lines],
    )


def summary(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that the project is judged by, each with a name and in words."""
    found = []
    for part, ending, title in _parts(result):

        def value(name: str, form: str, part: str = part, ending: str = ending) -> str:
            return _number(result.get(f"{part}_{name}{ending}"), form)

        text = f"{value('ratio', '{:.2f}')} x torch eager"
        if equal := value("ratio_equal_proposals", "{:.2f}"):
            text += f" ({equal} x with as many proposals)"
        text += f", {value('percent_of_peak', '{:.0f}')} % of the machine's peak"
        text += f", {value('peak_memory_mb', '{:.0f}')} MB"
        text += f", loads in {value('load_s', '{:.2f}')} s"
        found.append((title, f"{text}; {result[f'{part}_form{ending}']}"))
    if result.get("path_ratio") is not None:
        found.append(("whole path", f"{result['path_ratio']:.2f} x the proof of concept's way"))
    return found


def _parts(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Beginning and ending of the headline's keys, and what they are about."""
    found = [("classifier", "", "classifier")] if "classifier_ratio" in result else []
    sizes = [case["size_px"] for case in result["cases"] if case["task"] == "detection"]
    return found + [
        ("detector", f"_{size}" if position else "", f"detector, {size} px")
        for position, size in enumerate(sizes)
    ]


def _heading(result: Mapping[str, Any]) -> list[str]:
    machine = result["machine"]
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items() if text)
    memory = f"{machine['memory_gb']:.0f} GB, " if machine["memory_gb"] else ""
    lines = [
        f"{result['date']}, {machine['cpu']} ({', '.join(machine['flags']) or 'flags unknown'}), "
        f"{machine['processors']} processors, {memory}{machine['system']}",
        f"Python {machine['python']}, {versions}; {result['rounds']} rounds in turn"
        + (" (quick: too few for figures to quote)" if result["quick"] else ""),
    ]
    lines += [f"WARNING: {text}" for text in result["warnings"]]
    return lines + [f"Left out: {text}" for text in result["left_out"]]


def _peak_line(case: Mapping[str, Any]) -> list[str]:
    if not case["peak_gops"]:
        return []
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in sorted(case["peak_gops"].items()))
    return [f"Machine's peak in these rounds, billion operations a second: {rates}"]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _aligned(columns: Line, lines: Sequence[Line]) -> list[str]:
    widths = [max(len(line[place]) for line in (columns, *lines)) for place in range(len(columns))]
    return ["  " + _fill(line, widths) for line in (columns, *lines)]


def _fill(line: Line, widths: Sequence[int]) -> str:
    first, *others = line
    return first.ljust(widths[0]) + "".join(
        "  " + text.rjust(width) for text, width in zip(others, widths[1:], strict=True)
    )


def _bold_ours(line: Line) -> list[str]:
    bold: Callable[[str], str] = lambda text: f"**{text}**" if text else text  # noqa: E731
    return [bold(text) for text in line] if line[0].startswith("ours") else list(line)


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"
