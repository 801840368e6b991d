"""The stack of cdk.json's development environment, synthesised once for a whole test run."""

import fcntl
from pathlib import Path

import pytest

from infra.config import Settings, load_settings
from tests.infra.synthesis import (
    Synthesis,
    Template,
    read_synthesis,
    require_cdk,
    synthesise_by_command,
)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """What the template was made from."""
    return load_settings("dev")


@pytest.fixture(scope="session")
def synthesis(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Synthesis:
    """By the command, offline, without docker; the workers of one run share it."""
    require_cdk()
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "synthesis"
    folder.mkdir(exist_ok=True)
    with Path(folder, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            synthesise_by_command(settings.environment, folder)
            (folder / "done").touch()
    return read_synthesis(folder / "cdk.out")


@pytest.fixture(scope="session")
def template(synthesis: Synthesis) -> Template:
    """The CloudFormation template that `make deploy` sends."""
    return synthesis.template
