"""The program opens no connection: traced by the system's own calls, with CI variables unset.

onnxruntime is silent where it believes to run under CI or unit tests, so those are taken away.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import film, png, tiny_models, to_8_bit

CI_VARIABLES = (
    "CI",
    "GITHUB_ACTIONS",
    "TF_BUILD",
    "BUILD_ID",
    "JENKINS_URL",
    "PYTEST_CURRENT_TEST",
    "PYTEST_VERSION",
    "ORT_DISABLE_TELEMETRY",
)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed (apt install strace)"
)
def test_analysis_opens_no_connection(tmp_path: Path) -> None:
    tiny_models(tmp_path / "models")
    (tmp_path / "film.png").write_bytes(png(to_8_bit(film())))
    environment = {
        name: value for name, value in os.environ.items() if name not in CI_VARIABLES
    } | {"HOME": str(tmp_path / "home")}
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=connect,sendto,sendmsg",
        "-o",
        str(trace),
        str(Path(sys.executable).with_name("cxr")),
        "analyze",
        str(tmp_path / "film.png"),
        "--models",
        str(tmp_path / "models"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "film.png" / "record.json").exists()
    calls = trace.read_text()
    assert re.findall(r".*AF_INET.*", calls) == []
    left = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert left == [], "a device id or a cache was left in the home folder"
