import json
from importlib.metadata import version
from pathlib import Path

import pytest

from cxr.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND; see cxr --help"),
        (["analyze", "s"], "required: --out; see cxr analyze --help"),
        (["analyze", "--out", "o"], "required: PATH; see cxr analyze --help"),
        (["analyze", "s", "--out", "o", "--workers", "0"], "'0' is not a whole number from 1"),
        (["analyse", "s"], "invalid choice: 'analyse'"),
        (["models"], "required: ACTION; see cxr models --help"),
    ],
)
def test_wrong_arguments_say_what_to_do(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cxr {version('cxr-batch')}\n"
    assert main(["--help"]) == 0
    assert "cxr analyze scans/ --out results/" in capsys.readouterr().out
    assert main(["analyze", "--help"]) == 0
    assert "exit code" in capsys.readouterr().out


def test_missing_models_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    arguments = ["analyze", str(tmp_path), "--out", str(tmp_path / "o"), "--models", missing]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"cxr analyze: there are no models at {missing}; name a folder that holds the bundles "
        "classifier/ and detector/\n"
    )
    assert not (tmp_path / "o").exists()
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2
