"""Runs that end before they are done: Ctrl-C, SIGTERM, kill -9; and the run that follows."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lambdas.shared.records import record_validator
from tests.conftest import REPOSITORY
from tests.cxr.conftest import Run
from tests.cxr.fakes import image

pytestmark = pytest.mark.slow

Write = Callable[[Mapping[str, bytes]], None]

SCRIPT = """
import sys
from cxr.cli import main
from tests.cxr.fakes import make_fake
sys.exit(main(["analyze", "s", "--out", "out", "--workers", "2"], make_analyser=make_fake))
"""


def start() -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def check_whole(folder: Path) -> int:
    """Every record is valid and has its files; returns how many there are."""
    records = list(folder.rglob("record.json"))
    for path in records:
        record = json.loads(path.read_bytes())
        record_validator().validate(record)
        for name in record["outputs"].values():
            assert (path.parent / name).stat().st_size > 0
    return len(records)


def films(write: Write, *, seconds: float) -> None:
    """Forty quick images, and then one that takes its time and says that it has begun."""
    write({f"s/{n:02}.png": image("abnormal") for n in range(40)})
    write({"s/20.png": image(f"sleep {seconds} {Path('begun').absolute()}")})


def test_ctrl_c_finishes_what_is_in_hand_and_says_how_to_go_on(run: Run, write: Write) -> None:
    films(write, seconds=1.0)
    write({f"s/{n:03}.png": image("sleep 0.05 x") for n in range(100, 200)})
    process = start()
    wait_for(Path("begun"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in out + err
    assert "Finishing the images in hand" in err
    assert "Run the same command again" in out
    assert Path("out/20.png/record.json").is_file()
    done = check_whole(Path("out"))
    assert 21 <= done < 140
    assert len(Path("out/summary.csv").read_text().splitlines()) == done + 1
    assert Path("out/index.html").is_file()
    code, summary = run("s", "--out", "out", workers=2)
    assert (code, summary["already_done"]) == (0, done)
    assert check_whole(Path("out")) == 140


def test_a_second_ctrl_c_stops_at_once(run: Run, write: Write) -> None:
    films(write, seconds=60.0)
    process = start()
    wait_for(Path("begun"))
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 20
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not Path("out/20.png/record.json").exists()
    check_whole(Path("out"))


def test_sigterm_is_answered_like_ctrl_c(write: Write, run: Run) -> None:
    films(write, seconds=0.5)
    write({f"s/{n:03}.png": image("sleep 0.05 x") for n in range(100, 200)})
    process = start()
    wait_for(Path("begun"))
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert check_whole(Path("out")) < 140


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2])
def test_kill_9_leaves_nothing_half_written_and_the_next_run_goes_on(
    run: Run, write: Write, seconds: float
) -> None:
    write({f"s/{n:03}.png": image("abnormal") for n in range(300)})
    process = start()
    wait_for(Path("out/005.png/record.json"))
    time.sleep(seconds)
    process.kill()
    process.communicate(timeout=30)
    done = check_whole(Path("out"))
    assert 0 < done < 300
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*/record.json")}
    code, summary = run("s", "--out", "out", workers=2)
    assert (code, summary["already_done"]) == (0, done)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert check_whole(Path("out")) == 300
    assert [path.name for path in Path("out/.cxr-partial").iterdir()] == ["lock"]
