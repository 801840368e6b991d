"""What the whole-path benchmark found, for a terminal and for a page."""

from collections.abc import Container, Sequence
from typing import Any, Final

HEAD: Final = ("Format", "MB", "Way", "Read", "Classify", "Detect", "Report", "Total ms", "Ratio")

PARTS: Final = ("read", "classify", "detect", "report", "total")

Row = tuple[str, ...]


def path_table(result: dict[str, Any]) -> str:
    """Tables in plain text, for a terminal 100 columns wide."""
    text = [_headline(result), "", *_aligned(_rows(result), left=(0, 2))]
    if result["jpeg2000"]:
        text += ["", _jpeg2000_title(result), "", *_aligned(_jpeg2000_rows(result), left=(0,))]
    return "\n".join([*text, "", *_notes(result)]) + "\n"


def path_markdown(result: dict[str, Any]) -> str:
    """The same tables in Markdown."""
    text = [_headline(result), "", *_piped(_rows(result), left=(0, 2))]
    if result["jpeg2000"]:
        text += ["", _jpeg2000_title(result), "", *_piped(_jpeg2000_rows(result), left=(0,))]
    return "\n".join([*text, "", *(f"- {note}" for note in _notes(result))]) + "\n"


def _headline(result: dict[str, Any]) -> str:
    others = "".join(
        f"; {ratio:.1f} x at {px} px"
        for px, ratio in result["path_ratios"].items()
        if px != str(result["detector_px"])
    )
    return (
        f"Whole path, {result['film_px']} px film: {result['path_ratio']:.1f} x the proof of "
        f"concept's way, detector at {result['detector_px']} px{others}"
    )


def _rows(result: dict[str, Any]) -> list[Row]:
    """Head, then for each format: ours, the seed's, and the pair that ships."""
    rows: list[Row] = [HEAD]
    for entry in result["formats"]:
        size = f"{entry['bytes'] / 1e6:.1f}"
        first = result["detector_px"]
        rows.append(_row(entry["format"], size, f"ours {first}", entry["ours_ms"], entry["ratio"]))
        rows.append(_row("", "", f"seed {first}", entry["seed_ms"]))
        for px, other in entry["others"].items():
            rows.append(_row("", "", f"ours {px}", other["ours_ms"], other["ratio"]))
            rows.append(_row("", "", f"seed {px}", other["seed_ms"]))
        rows.append(_row("", "", "shipped", entry["shipped_ms"]))
    return rows


def _row(
    name: str, size: str, way: str, parts_ms: dict[str, float], ratio: float | None = None
) -> Row:
    numbers = (f"{parts_ms[part]:.0f}" for part in PARTS)
    return (name, size, way, *numbers, "" if ratio is None else f"{ratio:.1f}")


def _jpeg2000_title(result: dict[str, Any]) -> str:
    return f"JPEG 2000 lossless, {result['film_px']} px, ms: whole, and the level that is used"


def _jpeg2000_rows(result: dict[str, Any]) -> list[Row]:
    found = result["jpeg2000"]
    names = [
        *found["full_ms"],
        *(name for name in found["reduced_ms"] if name not in found["full_ms"]),
    ]

    def cell(task: str, name: str) -> str:
        value = found[task].get(name)
        return "" if value is None else f"{value:.0f}"

    rows: list[Row] = [("Decoder", "Whole", "Level used")]
    return rows + [(name, cell("full_ms", name), cell("reduced_ms", name)) for name in names]


def _notes(result: dict[str, Any]) -> list[str]:
    shipped = result["shipped"]
    notes = [
        f"Medians of {result['repeats']}, {result['threads']} threads, classifier at "
        f"{result['classifier_px']} px. Parts need not sum to totals.",
        "The first line's ratios are medians over the formats.",
        f"ours: {result['precision']}, {result['proposals']} proposals. seed: torch eager, 1000 "
        "proposals, film reduced by torchvision.",
        f"shipped: {shipped['precision']}, detector at {shipped['detector_px']} px: less work, "
        "so without a ratio.",
    ]
    by_other = [
        entry["format"]
        for entry in result["formats"]
        if entry["seed_decoder"].startswith("imagecodecs")
    ]
    if by_other:
        notes.append(
            "The seed's way reads "
            + ", ".join(by_other)
            + " by imagecodecs: pydicom has no decoder for them here."
        )
    if result["jpeg2000"]:
        notes.append("Ours is timed with its LUTs; grok is left out, for it is AGPL.")
        if missing := result["jpeg2000"]["left_out"]:
            notes.append(f"Not installed, so not compared: {', '.join(missing)}.")
    return notes


def _aligned(rows: Sequence[Row], *, left: Container[int]) -> list[str]:
    """Columns under each other: those in `left` start alike, the others end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _piped(rows: Sequence[Row], *, left: Container[int]) -> list[str]:
    rule = "|".join("---" if index in left else "---:" for index in range(len(rows[0])))
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return [head, f"|{rule}|", *rest]
