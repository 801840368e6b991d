"""The stack, synthesised as `make synth` does, and a reader of its template."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.config import Settings, read_context

REPOSITORY = Path(__file__).parents[2]

Template = dict[str, Any]
Statement = dict[str, Any]


@dataclass(frozen=True)
class Synthesis:
    """A cloud assembly.

    Attributes:
        folder: As cdk.out.
        template: Of the one stack.
        report: Of the checks, as written beside it.
    """

    folder: Path
    template: Template
    report: dict[str, Any]


def require_cdk() -> None:
    pytest.importorskip("aws_cdk", reason="the CDK is not installed; pip install -e '.[infra]'")
    if shutil.which("node") is None:
        pytest.skip("node is missing, which the CDK runs on; install node 20 or newer")


def synthesise(settings: Settings, folder: Path) -> Synthesis:
    """Offline, without docker and credentials; raises if a check has a finding without an answer.

    Args:
        settings: Of the environment.
        folder: To write the assembly and the images' contexts below.
    """
    require_cdk()
    from aws_cdk import App

    from infra.app import build

    app = App(context=read_context(), outdir=str(folder / "cdk.out"), analytics_reporting=False)
    build(app, settings, contexts=folder / "contexts")
    app.synth()
    return read_synthesis(folder / "cdk.out")


def synthesise_by_command(environment: str, folder: Path) -> Synthesis:
    """As `make synth` does, with node alone on the PATH, no credentials and no network.

    Args:
        environment: Of cdk.json.
        folder: To write the assembly below.
    """
    require_cdk()
    programs = folder / "programs"
    programs.mkdir()
    (programs / "node").symlink_to(Path(shutil.which("node") or "").resolve())
    nothing = str(folder / "nothing")
    done = subprocess.run(
        [sys.executable, "-m", "infra.app", environment],
        cwd=REPOSITORY,
        env={
            "PATH": str(programs),
            "HOME": str(Path.home()),  # below it node's packages are unpacked
            "CDK_OUTDIR": str(folder / "cdk.out"),
            "AWS_CONFIG_FILE": nothing,
            "AWS_SHARED_CREDENTIALS_FILE": nothing,
            "AWS_EC2_METADATA_DISABLED": "true",
            # nobody listens there
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return read_synthesis(folder / "cdk.out")


def read_synthesis(folder: Path) -> Synthesis:
    (template,) = folder.glob("*.template.json")
    return Synthesis(
        folder,
        json.loads(template.read_text()),
        json.loads((folder / "validation-report.json").read_text()),
    )


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Properties of the resources of a type, by name without the hash."""
    return {
        bare(name): resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def bare(text: str) -> str:
    """Without the hashes that CDK appends to names."""
    return re.sub(r"(?<=[a-z0-9])[0-9A-F]{8}\b", "", text)


def plain(value: Any) -> Any:
    """A value with its references as readable text: `<StorageIntake.Arn>/images/*`."""
    match value:
        case {"Ref": name}:
            return f"<{bare(name)}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{bare(name)}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return separator.join(plain(part) for part in parts)
        case {"Fn::Sub": str(text)}:
            return text
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
    return value


def statements(template: Template) -> Iterator[tuple[str, Statement]]:
    """Every policy statement anywhere in the template, with the name of its resource."""
    for name, resource in template["Resources"].items():
        for statement in _statements_within(resource["Properties"]):
            yield bare(name), plain(statement)


def _statements_within(value: Any) -> Iterator[Statement]:
    if isinstance(value, Mapping):
        if "Effect" in value and "Action" in value:
            yield dict(value)
        else:
            for item in value.values():
                yield from _statements_within(item)
    elif isinstance(value, list):
        for item in value:
            yield from _statements_within(item)


def listed(value: Any) -> list[Any]:
    """IAM writes a list of one as the one."""
    return value if isinstance(value, list) else [value]
