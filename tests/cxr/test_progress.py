import io

import pytest
from rich.console import Console

from cxr import progress
from cxr.progress import BarProgress, LineProgress, SilentProgress, duration, progress_display


def test_lines_for_a_log_come_now_and_then_and_without_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    text = io.StringIO()
    with progress_display(Console(file=text), total=30, workers=2, quiet=False) as display:
        assert isinstance(display, LineProgress)
        display.begin()
        for kind in ("normal", "abnormal", "rejected", "failed"):
            now += 3
            display.count(kind)
        now += 1
        display.tick()
    assert text.getvalue().splitlines() == [
        "Analysing 30 images in 2 processes",
        "4/30 1 normal, 1 abnormal, 1 rejected, 1 failed; 0.3 images/s, 1 min 18 s left",
    ]


def test_a_terminal_gets_a_bar_with_counts_and_rate() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with progress_display(console, total=2, workers=1, quiet=False) as display:
        assert isinstance(display, BarProgress)
        display.begin()
        display.count("abnormal")
        display.count("rejected")
        display._bar.refresh()
    assert "Loading models in 1 process" in text.getvalue()
    assert "0 normal, 1 abnormal, 1 rejected" in text.getvalue()
    assert "2/2" in text.getvalue()


def test_quiet_and_nothing_to_do_show_nothing() -> None:
    text = io.StringIO()
    for total, quiet in ((5, True), (0, False)):
        with progress_display(Console(file=text), total=total, workers=1, quiet=quiet) as display:
            assert type(display) is SilentProgress
            display.say("hello")
    assert text.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (65, "1 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
