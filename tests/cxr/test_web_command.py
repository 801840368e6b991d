"""How the page is started: on this machine alone, silent towards all others."""

import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from streamlit import config
from websockets import InvalidStatus, Origin
from websockets.sync.client import connect

from cxr.cli import main
from cxr.web_command import streamlit_options
from lambdas.shared.limits import MAX_FILE_BYTES, MIB
from tests.cxr.web.server import served
from tests.lambdas.test_no_connections import CI_VARIABLES


def test_page_answers_on_this_machine_alone() -> None:
    options = streamlit_options(host="127.0.0.1", port=8501)
    assert options["server.address"] == "127.0.0.1"
    assert options["browser.gatherUsageStats"] == "false"
    assert options["server.fileWatcherType"] == "none"
    assert options["client.showErrorDetails"] == "none"
    assert options["server.allowedHosts"] == ("localhost", "127.0.0.1")
    assert options["server.maxUploadSize"] == str(MAX_FILE_BYTES // MIB)


def test_who_opens_it_to_others_names_the_hosts_elsewhere() -> None:
    assert streamlit_options(host="0.0.0.0", port=8501)["server.allowedHosts"] == ()


def test_streamlit_knows_every_option() -> None:
    known = config.get_config_options()
    assert [name for name in streamlit_options(host="x", port=1) if name not in known] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nowhere"], "there are no models at nowhere"),
        (["--results", "nowhere"], "there are no results at nowhere"),
        (["--results", "s3://"], "names no bucket"),
        (["--formats", "gif"], "unknown format"),
        (["--port", "http"], "is not a whole number"),
    ],
)
def test_what_cannot_be_followed_is_said_before_anything_is_served(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_page_opens_no_connection_and_leaves_nothing(
    tiny_models_folder: Path, tmp_path: Path
) -> None:
    """Traced by the system's own calls, also while a page of another origin knocks."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed (apt install strace)")
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if name not in CI_VARIABLES
    } | {"HOME": str(home)}
    before = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
    with served(
        f"--models={tiny_models_folder}",
        log=tmp_path / "log",
        before=before,
        environment=environment,
    ) as url:
        stream = url.replace("http:", "ws:") + "/_stcore/stream"
        with connect(stream, origin=Origin(url), open_timeout=30):
            pass
        port = int(url.rpartition(":")[2])
        foreign = f"elsewhere.example:{port}"
        rebound = socket.create_connection(("127.0.0.1", port))  # its name made to lead here
        for address, knocking in ((stream, None), (f"ws://{foreign}/_stcore/stream", rebound)):
            with (
                pytest.raises(InvalidStatus) as refused,
                connect(
                    address, sock=knocking, origin=Origin(f"http://{foreign}"), open_timeout=30
                ),
            ):
                pass
            assert refused.value.response.status_code == 403
        rebound.close()
    calls = trace.read_text()
    inward = re.compile(r'sin_addr=inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')
    outward = [line for line in re.findall(r".*AF_INET.*", calls) if not inward.search(line)]
    assert outward == []
    assert "The page is at http://localhost:" in (tmp_path / "log").read_text()
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_port_that_is_taken_is_said(
    host: str, tiny_models_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        arguments = ["--models", str(tiny_models_folder), "--host", host, "--port", str(port)]
        assert main(["web", *arguments]) == 2
    assert f"port {port}: Address already in use; name another" in capsys.readouterr().err


def test_address_of_another_machine_is_said(
    tiny_models_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--models", str(tiny_models_folder), "--host", "192.0.2.1"]  # RFC 5737
    assert main(["web", *arguments]) == 2
    assert "the page cannot answer on 192.0.2.1" in capsys.readouterr().err
