"""What `cxr local` shows: how to use it, a line for each finished image, how much is to be done."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cxr.keys import shown
from cxr.results import Result
from cxr.run_summary import KIND_STYLES
from lambdas.report.words import RESEARCH_ONLY
from lambdas.shared.flow import Stage

if TYPE_CHECKING:
    from infra.event_source import Delivery
    from infra.local import EmbeddedCloud, QueueCounts
    from infra.local_results import Finished

EXAMPLE_IMAGE: Final = Path("build/demo/images/png/02_16_bit.png")
"""Drawn by `make local` and `make demo`; shown in the line to try if it is there."""

LINE_INTERVAL_S: Final = 10.0
"""Between two lines of counts where there is no terminal."""


MAX_REASON: Final = 200
"""Characters of an error's text; the whole stands in the logs."""


class LocalView:
    """Prints to standard output; a context manager.

    Args:
        console: Stands in for standard output, in tests.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._done = 0
        self._dead: dict[Stage, int] = {}
        self._last = ""
        self._said = time.monotonic()
        self._endpoint = self._prefix = ""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the counts down."""
        self._live.stop()

    def starting(self, models: Path) -> None:
        """Say what takes a moment."""
        here = Path.cwd()
        near = models.relative_to(here) if models.is_relative_to(here) else models
        self._print(f"Starting the cloud with the models in {shown(near)}")

    def welcome(self, cloud: "EmbeddedCloud") -> None:
        """Say how to use it."""
        self._endpoint, self._prefix = cloud.endpoint, cloud.intake_prefix
        place = f"s3://{cloud.intake_bucket}/{cloud.intake_prefix}"
        image = EXAMPLE_IMAGE if EXAMPLE_IMAGE.is_file() else Path("scan.dcm")
        access = " ".join(f"{name}={value}" for name, value in credentials().items())
        end = f"--endpoint-url {cloud.endpoint}"
        self._print(f"It runs at {cloud.endpoint}; any credentials will do.", style="bold")
        self._print("")
        self._print("In another terminal, drop an image into its bucket:")
        self._print(f"  {access} aws s3 cp {image} {place} {end}", style="cyan")
        self._print("a folder, without the AWS command line:")
        self._print(f"  .venv/bin/cxr upload DIR {place} {end}", style="cyan")
        self._print("and look after them with cxr status, cxr logs KEY and cxr redrive:")
        self._print(f"  .venv/bin/cxr status {end}", style="cyan")
        self._print("")
        self._print(f"Results come to s3://{cloud.results_bucket}/results/{cloud.model_set}/")
        for warning in (*cloud.pair.classifier.warnings, *cloud.pair.detector.warnings):
            self._print(f"Warning: {warning}", style="yellow")
        self._print(RESEARCH_ONLY)
        self._print("Ctrl-C ends it, and all that is in it is gone.")
        self._print("")
        if self._console.is_terminal:
            self._live.start()

    def finished(self, finished: "Finished") -> None:
        """One line for an image that has its record."""
        self._done += 1
        result = Result.from_record(dict(finished.record), folder="")
        line = Text()
        line.append(f"{shown(result.label or 'Rejected'):10}", style=KIND_STYLES[result.kind])
        line.append(f"{result.number_text:>5}  ")
        line.append(f"{shown(result.key.removeprefix(self._prefix))}  ")
        if result.rejection_code:
            line.append(f"{result.rejection_code.replace('_', ' ')}  ", style="dim")
        line.append(finished.report_url, style="underline")
        self._console.print(line, soft_wrap=True)

    def say(self, sentence: str) -> None:
        """A sentence about something that went wrong."""
        self._print(sentence, style="yellow")

    def counts(self, counts: "Mapping[Stage, QueueCounts]") -> None:
        """How much is to be done; says so aloud when a message is given up."""
        for stage, count in counts.items():
            if count.dead > self._dead.get(stage, 0):
                self._given_up(stage)
            self._dead[stage] = count.dead
        line = counts_line(counts, self._done)
        if line == self._last:
            return
        if self._live.is_started:
            self._last = line
            self._live.update(Text(line, style="dim"), refresh=True)
        elif time.monotonic() - self._said >= LINE_INTERVAL_S:
            self._said, self._last = time.monotonic(), line
            self._print(line)

    def farewell(self, keep: Path | None) -> None:
        """Say what is left."""
        self._live.stop()
        images = "1 image" if self._done == 1 else f"{self._done} images"
        left = f"kept in {shown(keep)}" if keep else "nothing is kept (--keep DIR would)"
        self._print(f"Ended after {images}; {left}.")

    def _given_up(self, stage: Stage) -> None:
        end = f"--endpoint-url {self._endpoint}"
        self._print(
            f"{stage}: an image is given up after several attempts. What happened to it: "
            f".venv/bin/cxr logs KEY {end}; after the fix: .venv/bin/cxr redrive {end}",
            style="bold red",
        )

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def counts_line(counts: "Mapping[Stage, QueueCounts]", done: int) -> str:
    """`3 waiting · 2 in work · 0 to try again · 14 done · 0 given up`."""
    total = list(counts.values())
    return " · ".join(
        (
            f"{sum(each.waiting for each in total)} waiting",
            f"{sum(each.in_work for each in total)} in work",
            f"{sum(each.set_aside for each in total)} to try again",
            f"{done} done",
            f"{sum(each.dead for each in total)} given up",
        )
    )


def failure_sentence(stage: Stage, delivery: "Delivery") -> str | None:
    """What went wrong with a batch; None if nothing did."""
    if not delivery.failed:
        return None
    images = "1 image" if len(delivery.failed) == 1 else f"{len(delivery.failed)} images"
    error = delivery.outcome.error
    reason = f" ({error.type}: {error.message})" if error else ""
    return f"{stage}: {images} failed, to be tried again{shown(reason)[:MAX_REASON]}"


def credentials(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which any AWS client reaches the embedded cloud as the line is pasted."""
    from infra.local_server import ACCESS_KEY, HOST, REGION

    proxied = any(name.lower() in ("http_proxy", "all_proxy") for name in environ)
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_DEFAULT_REGION": REGION,
    } | ({"NO_PROXY": HOST} if proxied else {})
