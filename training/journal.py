"""What a run has reached so far: figures by epoch, the best of them, lines for eye and machine.

Every figure is written as `name=value;` on a line of its own: the form that SageMaker's metric
definitions in `training.sagemaker_jobs` look for. Curves are kept as CSV, JSON and a picture.
"""

import csv
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

PROGRESS_INTERVAL_S: Final = 10.0
"""Between two lines of progress: often enough for a person, seldom enough for a log."""

Row = dict[str, float]


class Journal:
    """Figures of a run.

    Args:
        figure: The validation figure to maximise; it stands in rows as `validation_<figure>`.
        total_steps: Of the whole run.
        batch_size: Images in a step.
    """

    def __init__(self, *, figure: str, total_steps: int, batch_size: int) -> None:
        self.best_name = f"validation_{figure}"
        self.rows: list[Row] = []
        self._total_steps = total_steps
        self._batch_size = batch_size
        self._losses: list[float] = []
        self._started = self._shown = time.monotonic()
        self._steps_here = 0

    @property
    def best(self) -> Row | None:
        """The row with the best figure; None before the first that is a number."""
        rows = [row for row in self.rows if math.isfinite(row[self.best_name])]
        return max(rows, key=lambda row: row[self.best_name], default=None)

    def add_step(self, loss: float, *, step: int, epoch: int, rate: float) -> None:
        """Take in one optimizer step; now and then say how far the run is."""
        self._losses.append(loss)
        self._steps_here += 1
        now = time.monotonic()
        if now - self._shown < PROGRESS_INTERVAL_S and step < self._total_steps:
            return
        self._shown = now
        pace = (now - self._started) / self._steps_here
        recent = self._losses[-50:]
        sys.stdout.write(
            f"epoch {epoch + 1} step {step}/{self._total_steps} "
            f"loss {sum(recent) / len(recent):.4f} rate {rate:.1e} "
            f"{self._batch_size / pace:.1f} images/s "
            f"{_clock(pace * (self._total_steps - step))} left\n"
        )
        sys.stdout.flush()

    def add_epoch(self, figures: Mapping[str, float], *, epoch: int, step: int) -> bool:
        """Take in an epoch's validation figures and write them as metric lines.

        Args:
            figures: By name; `validation_` is put before each.
            epoch: From 0.
            step: Optimizer steps taken.

        Returns:
            Whether this is the best epoch so far.
        """
        loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
        row: Row = {"epoch": float(epoch + 1), "step": float(step), "train_loss": loss}
        row.update({f"validation_{name}": float(value) for name, value in figures.items()})
        self._losses = []
        before = self.best
        self.rows.append(row)
        for name, value in row.items():
            sys.stdout.write(metric_line(name, value))
        sys.stdout.flush()
        figure = row[self.best_name]
        return math.isfinite(figure) and (before is None or figure > before[self.best_name])

    def epochs_since_best(self) -> int:
        """Epochs since the best one; all of them where none has a number."""
        best = self.best
        return len(self.rows) - (self.rows.index(best) + 1 if best else 0)

    def state_dict(self) -> dict[str, Any]:
        """Rows, and the losses of the epoch under way."""
        return {"rows": self.rows, "losses": self._losses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.rows = [dict(row) for row in state["rows"]]
        self._losses = list(state["losses"])

    def write_curves(self, folder: Path) -> None:
        """Write metrics.csv, metrics.json and curves.png."""
        folder.mkdir(parents=True, exist_ok=True)
        if not self.rows:
            return
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        (folder / "metrics.json").write_text(json.dumps(self.rows, indent=1) + "\n")
        _draw(self.rows, folder / "curves.png", best_name=self.best_name)


def metric_line(name: str, value: float) -> str:
    """One figure as SageMaker's metric definitions read it: `validation_auroc=0.9712;`."""
    return f"{name}={value:.6g};\n"


def slug(label: str) -> str:
    """A label as part of a figure's name."""
    return label.lower().replace(" ", "_")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0.0)), 60)
    return f"{minutes // 60:d}:{minutes % 60:02d}:{rest:02d}"


def _draw(rows: Sequence[Row], path: Path, *, best_name: str) -> None:
    """Loss on the left, validation figures on the right, over optimizer steps."""
    from matplotlib import colormaps  # slow to import, needed once an epoch
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [row["step"] for row in rows]
    marker = "o" if len(rows) < 40 else None
    left.plot(steps, [row["train_loss"] for row in rows], marker=marker, ms=3, color="#444444")
    left.set(xlabel="optimizer steps", title="Training loss", ylim=(0, None))
    names = [name for name in rows[0] if name.startswith("validation_")]
    for name, colour in zip(names, colormaps["tab20"].colors * len(names), strict=False):
        is_best = name == best_name
        values = [row.get(name, math.nan) for row in rows]
        # the lines of single labels carry the mean's name before theirs
        short = name if is_best else name.removeprefix(f"{best_name}_")
        right.plot(
            steps,
            values,
            marker=marker,
            ms=3,
            lw=2.6 if is_best else 1.1,
            color="black" if is_best else colour,
            label=short.removeprefix("validation_").replace("_", " "),
        )
    right.set(xlabel="optimizer steps", title="Validation")
    # beside the plot: with a line for each class there is no free corner
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=130)
