"""`cxr local`: what it prints, how it ends, and what it says where it cannot begin."""

import importlib.util
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from cxr.cli import main
from cxr.local_command import DEFAULT_PORT
from cxr.local_view import LocalView, counts_line, credentials, failure_sentence
from infra.event_source import Delivery
from infra.local import QueueCounts
from infra.local_results import Finished
from infra.local_server import make_client
from infra.runtime_api import FunctionError, Outcome
from lambdas.shared.flow import Stage
from lambdas.shared.records import Source
from tests.builders import film, png
from tests.conftest import REPOSITORY
from tests.cxr.fakes import record_of
from tests.infra.waiting import wait_for

NOTHING = QueueCounts(waiting=0, in_work=0, set_aside=0, dead=0)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto is not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "moto" else find(name)
    )


@pytest.mark.usefixtures("missing")
def test_without_its_packages_it_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local"]) == 2
    said = capsys.readouterr().err
    assert "not installed (moto)" in said
    assert "make local" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "not a port"),
        (["--port", "http"], "not a port"),
        (["--workers", "0"], "whole number from 1"),
        (["--visibility", "50000"], "1 to 43,200"),
        (["--formats", "jpeg"], "jpeg"),
        (["--passthrough", "PatientName"], "PatientName"),
        (["--models", "nowhere"], "nowhere"),
        (["--keep", "/dev/null/results"], "--keep /dev/null/results cannot be made"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_starts(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["local", *arguments]) == 2
    assert said in capsys.readouterr().err


def record(kind: str, key: str) -> dict[str, Any]:
    source = Source(bucket="cxr-intake", key=key, version="1", sha256="a" * 64)
    return dict(record_of(source, kind))


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def view(screen: io.StringIO) -> Iterator[LocalView]:
    with LocalView(Console(file=screen, width=60)) as opened:
        cloud: Any = SimpleNamespace(
            endpoint="http://127.0.0.1:5055",
            intake_bucket="cxr-intake",
            intake_prefix="images/",
            results_bucket="cxr-results",
            model_set="0" * 16,
            pair=SimpleNamespace(
                classifier=SimpleNamespace(warnings=("Not for patients.",)),
                detector=SimpleNamespace(warnings=()),
            ),
        )
        opened.welcome(cloud)
        yield opened


def test_line_to_try_is_one_line_that_any_shell_takes(view: LocalView, screen: io.StringIO) -> None:
    (line,) = (line for line in screen.getvalue().splitlines() if "aws s3 cp" in line)
    words = shlex.split(line)
    assignments = [word for word in words if re.match(r"[A-Z_]+=", word)]
    assert dict(word.split("=") for word in assignments) == credentials()
    assert words[len(assignments) :][:3] == ["aws", "s3", "cp"]
    assert words[-3:] == ["s3://cxr-intake/images/", "--endpoint-url", "http://127.0.0.1:5055"]


def test_warnings_are_shown_before_any_result(view: LocalView, screen: io.StringIO) -> None:
    assert "Warning: Not for patients." in screen.getvalue()
    assert "Not a medical device" in screen.getvalue()


def test_proxy_is_passed_by() -> None:
    assert "NO_PROXY" not in credentials({})
    assert credentials({"http_proxy": "http://proxy:3128"})["NO_PROXY"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("kind", "shows"),
    [
        ("abnormal", ["Abnormal", "0."]),
        ("normal", ["Normal", "0."]),
        ("rejected", ["Rejected"]),
    ],
)
def test_image_that_is_done_is_one_line_with_a_link(
    view: LocalView, screen: io.StringIO, kind: str, shows: list[str]
) -> None:
    url = "http://127.0.0.1:5055/cxr-results/results/" + "0" * 16 + "/" + "1" * 32 + "/report.pdf"
    key = "images/a folder/[bold]x\x1b[31m.dcm"
    before = len(screen.getvalue())
    view.finished(Finished(key, record(kind, key), url.replace("report.pdf", "record.json"), url))
    line = screen.getvalue()[before:]
    assert line.count("\n") == 1
    assert line.endswith(url + "\n")
    assert "a folder/[bold]x\\x1b[31m.dcm" in line, "as it is, but harmless"
    assert all(word in line for word in shows)


def delivery(*failed: str, error: FunctionError | None = None) -> Delivery:
    outcome = Outcome("1", b"", error, 0.0)
    return Delivery(({"MessageId": "1"}, {"MessageId": "2"}), outcome, frozenset(failed))


def test_failures_are_told_with_their_reason() -> None:
    assert failure_sentence("classify", delivery()) is None
    assert (
        failure_sentence("classify", delivery("1")) == "classify: 1 image failed, to be tried again"
    )
    killed = FunctionError("Runtime.ExitError", "signal: SIGKILL\x1b")
    sentence = failure_sentence("detect", delivery("1", "2", error=killed))
    assert sentence == (
        "detect: 2 images failed, to be tried again (Runtime.ExitError: signal: SIGKILL\\x1b)"
    )


def test_counts_are_of_all_stages() -> None:
    counts: dict[Stage, QueueCounts] = {
        "classify": QueueCounts(waiting=4, in_work=2, set_aside=1, dead=0),
        "detect": QueueCounts(waiting=1, in_work=1, set_aside=0, dead=2),
        "report": NOTHING,
    }
    assert counts_line(counts, 7) == (
        "5 waiting · 3 in work · 1 to try again · 7 done · 2 given up"
    )


def test_message_that_is_given_up_is_told_once_with_what_to_do(
    view: LocalView, screen: io.StringIO
) -> None:
    dead = QueueCounts(waiting=0, in_work=0, set_aside=0, dead=1)
    for count in (NOTHING, dead, dead, NOTHING, dead):
        view.counts({"detect": count})
    told = [line for line in screen.getvalue().splitlines() if "given up" in line]
    assert len(told) == 2, "once more after it was sent back and failed again"
    assert "cxr redrive --endpoint-url http://127.0.0.1:5055" in told[0]
    assert "cxr logs" in told[0]


def test_end_says_what_is_left(view: LocalView, screen: io.StringIO) -> None:
    view.farewell(None)
    view.farewell(Path("kept"))
    assert "nothing is kept (--keep DIR would)" in screen.getvalue()
    assert "Ended after 0 images; kept in kept." in screen.getvalue()


class Terminal:
    """`cxr local` in a process of its own, as from a shell."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        code = "import sys; from cxr.cli import main; sys.exit(main())"
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", code, "local", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for_line(self, pattern: str, limit_s: float = 90) -> str:
        deadline, tick = time.monotonic() + limit_s, threading.Event()
        while time.monotonic() < deadline:
            if found := [line for line in self.lines if re.search(pattern, line)]:
                return found[0]
            assert self.process.poll() is None, self.lines
            tick.wait(0.05)
        raise AssertionError(f"no line with {pattern}: {self.lines}")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for path in listed for word in path.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes that are left")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_upload_to_report_and_a_clean_end(
    tiny_models_folder: Path, tmp_path: Path, number: int
) -> None:
    terminal = Terminal(
        tmp_path, "--port", "0", "--models", str(tiny_models_folder), "--keep", "kept"
    )
    try:
        line = terminal.wait_for_line("aws s3 cp")
        words = shlex.split(line)
        make_client("s3", words[-1]).put_object(
            Bucket="cxr-intake", Key="images/scan.png", Body=png(film())
        )
        shown = terminal.wait_for_line("scan.png")
        with urllib.request.urlopen(shown.split()[-1]) as answer:
            assert answer.read(5) == b"%PDF-"
        (kept,) = (tmp_path / "kept").rglob("record.json")
        assert json.loads(kept.read_text())["source"]["key"] == "images/scan.png"
        started = children(terminal.process.pid)
        assert started
    finally:
        code = terminal.end(number)
    assert code == 0, terminal.lines
    assert terminal.lines[-1] == "Ended after 1 image; kept in kept."
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes that are left")
def test_functions_end_with_a_command_that_is_killed(
    tiny_models_folder: Path, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path, "--port", "0", "--models", str(tiny_models_folder))
    terminal.wait_for_line("Ctrl-C ends it")
    started = children(terminal.process.pid)
    assert started
    assert terminal.end(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), limit_s=30)


@pytest.mark.slow
def test_port_that_is_taken_is_told_at_once(
    tiny_models_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["local", "--port", port, "--models", str(tiny_models_folder)]) == 2
    assert f"port {port} cannot be used" in capsys.readouterr().err


def test_port_is_none_that_others_are_known_to_use() -> None:
    assert DEFAULT_PORT not in (4566, 5000, 8080, 8501)
