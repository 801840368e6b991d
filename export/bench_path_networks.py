"""The networks of the whole-path benchmark, built once for each state of the code."""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from lambdas.shared.bundle import BUNDLE_TASKS, CLASSIFIER, DETECTOR, FACTS_FILE, GRAPH_FILE

REPOSITORY: Final = Path(__file__).parents[1]

BOXES: Final = 2
"""Drawn in both ways, as many as the film has findings; seeded scores would give dozens."""

DIGEST_HEX: Final = 16
"""Length of a folder's name."""

BUILDERS: Final = (
    "export/bench_networks.py",
    "export/classifier_graph.py",
    "export/detector_graph.py",
    "export/graph_edits.py",
    "export/package.py",
    "export/activation_ranges.py",
    "export/static_int8.py",
    "export/pictures.py",
    "export/bench_path_networks.py",
    "training/classifier.py",
    "training/detector.py",
)
"""Files that decide what a network here is; another word in one of them builds all anew."""


def networks(
    folder: Path,
    *,
    classifier_px: int,
    detector_px: tuple[int, ...],
    proposals: int,
    int8: Collection[str],
    tell: Callable[[str], None],
) -> dict[int, Path]:
    """Folders with `pair` (our bundles) and both `weights`, by the detector's input size.

    Args:
        folder: For the networks of this and earlier runs; those of other code are removed.
        classifier_px: Side of the classifier's input.
        detector_px: Sides of the detectors' inputs.
        proposals: Regions that our detectors look at.
        int8: Tasks that run in int8; the others in float32.
        tell: Told what takes long.
    """
    kept = folder / _digest()
    for old in folder.glob("[0-9a-f]" * DIGEST_HEX):
        if old != kept:
            shutil.rmtree(old)
    classifier = kept / f"classifier-{classifier_px}"
    if not classifier.exists():
        tell(f"building a classifier of {classifier_px} px")
        from export.bench_networks import write_classifier

        _build(classifier, lambda new: write_classifier(new, classifier_px))
    found = {}
    for size in detector_px:
        detector = kept / f"detector-{size}-{proposals}"
        if not detector.exists():
            tell(f"building a detector of {size} px")
            from export.bench_networks import write_detector

            _build(detector, lambda new, size=size: write_detector(new, size, proposals=proposals))  # type: ignore[misc]
        forms = "".join(sorted(task[0] for task in int8)) or "none"
        pair = kept / f"pair-{classifier_px}-{size}-{proposals}-int8-{forms}"
        if not pair.exists():
            _build(pair, lambda new, parts=(classifier, detector): _pair(new, *parts, int8))  # type: ignore[misc]
        found[size] = pair
    return found


def precision(pair: Path) -> str:
    """What both graphs of a pair compute in, as model.json has it."""
    facts = [json.loads((pair / part / FACTS_FILE).read_text()) for part in BUNDLE_TASKS]
    return " and ".join(dict.fromkeys(str(fact["precision"]) for fact in facts))


def _build(folder: Path, write: Callable[[Path], object]) -> None:
    """Write beside and then put in place, so that a run that was killed leaves nothing half."""
    new = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    write(new)
    (new / "stock.onnx").unlink(missing_ok=True)  # for `export.bench` alone
    new.rename(folder)


def _pair(folder: Path, classifier: Path, detector: Path, int8: Collection[str]) -> None:
    """Our bundles and the weights of the other way, linked; the detector keeps `BOXES`."""
    for source, part in ((classifier, CLASSIFIER), (detector, DETECTOR)):
        form = "int8" if BUNDLE_TASKS[part] in int8 else "float32"
        bundle, new = (source / form).resolve(), folder / part
        new.mkdir()
        (new / GRAPH_FILE).symlink_to(bundle / GRAPH_FILE)
        facts = json.loads((bundle / FACTS_FILE).read_text())
        if part == DETECTOR:
            facts["operating_point"]["max_findings"] = BOXES
        (new / FACTS_FILE).write_text(json.dumps(facts))
        (folder / f"{part}.pth").symlink_to((source / "weights.pth").resolve())


def _digest() -> str:
    found = hashlib.sha256()
    for name in BUILDERS:
        path = REPOSITORY / name
        found.update(path.read_bytes() if path.exists() else b"absent")
    return found.hexdigest()[:DIGEST_HEX]
