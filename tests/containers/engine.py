"""Podman, as far as building and running a function's image needs it.

Everything it keeps lies under build/containers, so that `make clean` ends it and no image of
anybody else's is touched. Runs with runc and cgroupfs: neither systemd nor a daemon is needed.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.build_images import build_image

REPOSITORY: Final = Path(__file__).parents[2]
STORE: Final = REPOSITORY / "build" / "containers"

PROGRAMS: Final = ("podman", "runc", "mmdebstrap", "ip")
INSTALL: Final = "apt-get install podman runc mmdebstrap iproute2"


class NoEngineError(Exception):
    """This machine cannot build or run images; says what is missing."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A usable podman.

    Attributes:
        command: Its name and the options that every call needs.
    """

    command: tuple[str, ...]

    def build(
        self, context: Path, *, tag: str, arguments: Mapping[str, str], options: Sequence[str] = ()
    ) -> None:
        """Build an image from a staged context; unchanged steps come from the cache.

        Raises:
            ConfigError: A step failed.
        """
        own = ("--isolation", "chroot", "--format", "docker", "--layers", "--pull=never")
        build_image(self.command, context, tag=tag, arguments=arguments, options=(*own, *options))

    def inspect(self, image: str) -> dict[str, Any]:
        """What the engine knows of an image.

        Raises:
            KeyError: There is no such image.
        """
        found = self.output("image", "inspect", image, check=False)
        documents = json.loads(found or "[]")
        if not documents:
            raise KeyError(image)
        return dict(documents[0])

    def output(self, *arguments: str, check: bool = True) -> str:
        """Standard output of a podman command."""
        return subprocess.run(
            [*self.command, *arguments], check=check, capture_output=True, text=True
        ).stdout

    def run_command(self, image: str, *command: str, options: Sequence[str] = ()) -> str:
        """Standard output of one command in a container without any network, as root."""
        return self.output(
            "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024",
            "--ulimit", "nproc=1024:1024", "--read-only", "--user", "0", *options,
            "--entrypoint", command[0], image, *command[1:],
        )  # fmt: skip


def find_engine() -> Engine:
    """The engine of this machine.

    Raises:
        NoEngineError: Says what is missing, and how to get it.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise NoEngineError(f"no container engine: {', '.join(missing)} missing; {INSTALL}")
    if os.geteuid() != 0:
        raise NoEngineError("containers with limits and a network of their own need root here")
    engine = Engine(
        (
            "podman",
            "--root", str(STORE / "storage"),
            "--runroot", "/run/cxr-containers",
            "--cgroup-manager", "cgroupfs",
            "--runtime", "runc",
        )
    )  # fmt: skip
    asked = subprocess.run([*engine.command, "info"], capture_output=True, text=True)
    if asked.returncode != 0:
        raise NoEngineError(f"podman does not work here: {asked.stderr.strip()[-300:]}")
    return engine
