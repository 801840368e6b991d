"""The whole path, bytes to record.json and report.pdf, beside the proof of concept's way.

    python -m export.bench_path                 about six minutes on two cores
    python -m export.bench_path --repeats 1     less, but one slow moment decides

Every way runs in a process of its own that stays loaded; one works at a time, in turn, film by
film, so that what else the machine does falls on all alike. Both ways look for findings in every
film, as for an abnormal one. `path_ratio` is the median over the formats of (the seed's total /
ours), both with networks of the same input sizes, the detector's being torchvision's default, 800.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from export.bench_path_networks import REPOSITORY, networks, precision
from export.bench_path_table import path_markdown, path_table
from lambdas.shared.errors import ConfigError, CxrError

__all__ = ["measure_path", "path_markdown", "path_table"]

PARTS: Final = ("read", "classify", "detect", "report", "total")

THREADS: Final = 2
"""Of every network, and of decoders that take a number."""

Tell = Callable[[str], None]
Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PathPlan:
    """What is measured.

    Attributes:
        film_px: Long side of the film.
        formats: Names of `bench_path_films.WRITERS`; None for all.
        classifier_px: Side of the classifier's input.
        detector_px: Sides of the detector's input; the first gives `path_ratio`.
        proposals: Regions that our detector looks at; the seed's has torchvision's 1,000.
        work: Folder that keeps the networks.
    """

    film_px: int = 2500
    formats: tuple[str, ...] | None = None
    classifier_px: int = 380
    detector_px: tuple[int, ...] = (800, 512)
    proposals: int = 300
    work: Path = REPOSITORY / "build" / "bench" / "path"


def measure_path(
    *, models: Path, repeats: int, tell: Tell, plan: PathPlan | None = None
) -> dict[str, Any]:
    """Measure every format in both ways, and the decoders of JPEG 2000.

    Args:
        models: The pair that ships, measured beside the pairs of equal work.
        repeats: Turns of every way with every film, after one film that is not counted.
        tell: Told what is going on.
        plan: Other sizes; None for the real ones.

    Returns:
        Plain values for JSON; `path_table` shows them.

    Raises:
        ConfigError: `models` is no folder, repeats is less than 1, or a format is unknown.
    """
    plan = plan or PathPlan()
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}, expected at least 1")
    if not models.is_dir():
        raise ConfigError(f"no folder of bundles at {models}; name one with --models")
    from export.bench_networks import int8_tasks
    from export.bench_path_films import JPEG_2000, WRITERS, write_films

    if unknown := sorted(set(plan.formats or ()) - set(WRITERS)):
        raise ConfigError(f"no formats {unknown}; there are {', '.join(WRITERS)}")
    pairs = networks(
        plan.work,
        classifier_px=plan.classifier_px,
        detector_px=plan.detector_px,
        proposals=plan.proposals,
        int8=int8_tasks(models),
        tell=tell,
    )
    with tempfile.TemporaryDirectory(prefix="cxr-bench-path-") as scratch:
        films = write_films(
            Path(scratch), size_px=plan.film_px, formats=plan.formats or tuple(WRITERS)
        )
        paths = {film.format: film.path for film in films}
        answers = _in_turn(_ways(plan, pairs, models), paths, repeats, Path(scratch), tell)
        decoders: list[Answer] = []
        if JPEG_2000 in paths:
            only = {JPEG_2000: paths[JPEG_2000]}
            way = {"jpeg2000": {"kind": "jpeg2000", "threads": THREADS}}
            found = _in_turn(way, only, repeats, Path(scratch), tell)
            decoders = found["jpeg2000", JPEG_2000]
        sizes = {name: path.stat().st_size for name, path in paths.items()}
    result = summary(answers, sizes, detector_px=plan.detector_px)
    return result | {
        "film_px": plan.film_px,
        "repeats": repeats,
        "threads": THREADS,
        "classifier_px": plan.classifier_px,
        "proposals": plan.proposals,
        "precision": precision(pairs[plan.detector_px[0]]),
        "shipped": {"precision": precision(models), "detector_px": _input_px(models)},
        "jpeg2000": jpeg2000_summary(decoders),
    }


def summary(
    answers: Mapping[tuple[str, str], Sequence[Answer]],
    sizes: Mapping[str, int],
    *,
    detector_px: Sequence[int],
) -> dict[str, Any]:
    """Medians and ratios.

    Args:
        answers: Of the ways `ours N`, `seed N` (N of detector_px) and `shipped`, by way and format.
        sizes: Of the files in bytes, by format.
        detector_px: The first is the one whose ratio counts.

    Returns:
        `formats`, one entry each with `ours_ms`, `seed_ms` and `ratio`, and the other sizes and the
        shipped pair below `others`; `path_ratio` and `path_ratios` by size.
    """
    first, *rest = detector_px
    formats = []
    for name, size in sizes.items():
        ours, seed = (
            medians(answers[f"ours {first}", name]),
            medians(answers[f"seed {first}", name]),
        )
        one = answers[f"seed {first}", name][0]
        others = {}
        for px in rest:
            mine, theirs = (
                medians(answers[f"ours {px}", name]),
                medians(answers[f"seed {px}", name]),
            )
            others[str(px)] = {
                "ours_ms": mine,
                "seed_ms": theirs,
                "ratio": theirs["total"] / mine["total"],
            }
        formats.append(
            {
                "format": name,
                "bytes": size,
                "ours_ms": ours,
                "seed_ms": seed,
                "ratio": seed["total"] / ours["total"],
                "seed_decoder": one["decoder"],
                "boxes": {"ours": answers[f"ours {first}", name][0]["boxes"], "seed": one["boxes"]},
                "others": others,
                "shipped_ms": medians(answers["shipped", name]),
            }
        )
    ratios = {first: statistics.median(entry["ratio"] for entry in formats)}
    for px in rest:
        ratios[px] = statistics.median(entry["others"][str(px)]["ratio"] for entry in formats)
    return {
        "formats": formats,
        "detector_px": first,
        "path_ratio": ratios[first],
        "path_ratios": {str(px): ratio for px, ratio in ratios.items()},
    }


def medians(answers: Sequence[Answer]) -> dict[str, float]:
    """Median of each part in ms; the parts' medians need not sum to the total's."""
    return {part: statistics.median(answer["ms"][part] for answer in answers) for part in PARTS}


def jpeg2000_summary(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """Median of each decoder in ms, of the whole resolution and of the level that is used."""
    if not answers:
        return None

    def by_name(task: str) -> dict[str, float]:
        names = answers[0][task]
        return {name: statistics.median(answer[task][name] for answer in answers) for name in names}

    return {
        "full_ms": by_name("full_ms"),
        "reduced_ms": by_name("reduced_ms"),
        "left_out": answers[0]["left_out"],
    }


def _ways(plan: PathPlan, pairs: Mapping[int, Path], models: Path) -> dict[str, Answer]:
    """Arguments of every child, by name."""
    ways: dict[str, Answer] = {}
    for px, pair in pairs.items():
        ways[f"ours {px}"] = {"kind": "ours", "pair": str(pair), "threads": THREADS}
        ways[f"seed {px}"] = {
            "kind": "seed",
            "classifier": str(pair / "classifier.pth"),
            "classifier_px": plan.classifier_px,
            "detector": str(pair / "detector.pth"),
            "detector_px": px,
            "threads": THREADS,
        }
    ways["shipped"] = {"kind": "ours", "pair": str(models), "threads": THREADS}
    return ways


def _in_turn(
    ways: Mapping[str, Answer], films: Mapping[str, Path], repeats: int, logs: Path, tell: Tell
) -> dict[tuple[str, str], list[Answer]]:
    """Answers by way and format; the first film warms each way up and is not counted."""
    found: dict[tuple[str, str], list[Answer]] = {}
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(_Child(name, way, logs / f"{name}.log"))
            for name, way in ways.items()
        }
        # one film is enough: a format's own first time costs little, a network's much
        for child in children.values():
            child.measure(next(iter(films.values())))
        for turn in range(repeats):
            tell(f"round {turn + 1} of {repeats}: {', '.join(ways)}")
            for film, path in films.items():
                for name, child in _rotated(children.items(), turn):
                    found.setdefault((name, film), []).append(child.measure(path))
    return found


def _rotated(items: Iterable[tuple[str, "_Child"]], turn: int) -> list[tuple[str, "_Child"]]:
    """Another one first in each round."""
    listed = list(items)
    start = turn % len(listed)
    return listed[start:] + listed[:start]


def _input_px(models: Path) -> int:
    """Side of the detector's input."""
    facts = json.loads((models / "detector" / "model.json").read_text())
    return int(facts["input"]["height_px"])


class _Child:
    """A way that has been loaded in its own process; a context manager."""

    def __init__(self, name: str, way: Answer, log: Path) -> None:
        self._name, self._log = name, log
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "export.bench_path_child", json.dumps(way)),
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Self:
        try:
            ready = self._answer()
        except BaseException:
            self._end()
            raise
        if ready["torch"] and not self._name.startswith("seed"):
            self._end()
            raise ConfigError(f"torch is imported in the process that measures {self._name!r}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def measure(self, film: Path) -> Answer:
        """What the child says of a film."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `_answer` says why the child has ended
            self._process.stdin.write(f"{film}\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            last = self._log.read_text().strip().splitlines()[-1:] or ["no message"]
            raise ConfigError(f"the benchmark's process {self._name!r} ended: {last[0]}")
        answer: Answer = json.loads(line)
        return answer

    def _end(self) -> None:
        """Let it end by itself; the children that it has started end with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 0 unless something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bench_path",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", type=Path, default=REPOSITORY / "models" / "demo", help="the pair that ships")
    add("--repeats", type=int, default=5, help="turns of every way; default 5")
    add("--detector-px", type=int, nargs="+", default=[800, 512], help="default 800 512")
    add("--formats", nargs="+", metavar="NAME", help="as the table names them; default all")
    add("--json", type=Path, help="write the result there as well")
    options = parser.parse_args(arguments)
    plan = PathPlan(
        detector_px=tuple(options.detector_px),
        formats=tuple(options.formats) if options.formats else None,
    )
    try:
        result = measure_path(
            models=options.models,
            repeats=options.repeats,
            tell=_tell,
            plan=plan,
        )
    except CxrError as error:
        sys.stderr.write(f"bench_path: {error}\n")
        return 1
    if options.json:
        options.json.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    sys.stdout.write(path_table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
