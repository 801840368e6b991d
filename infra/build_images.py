"""Build the functions' images as a deployment does, and say how large they are.

    python -m infra.build_images [--models DIR] [--base IMAGE] [--platform linux/arm64]

`make deploy` builds and pushes them by itself; this is for looking at them. Behind a private
certificate authority, the bundle that PIP_CERT, SSL_CERT_FILE or REQUESTS_CA_BUNDLE names reaches
pip as a build secret. --base puts another image in the place of AWS's, from a mirror for instance.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from infra.config import load_settings
from infra.images import IMAGES, stage_context
from lambdas.shared.errors import ConfigError, CxrError

ENGINES: Final = ("docker", "podman")
"""In the order of preference; either can build, and CDK asks for docker."""

CONTEXTS: Final = Path("build") / "images"

PLATFORMS: Final = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}

_CA_BUNDLE_VARIABLES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def find_builder() -> str:
    """The first engine that answers.

    Raises:
        ConfigError: None does.
    """
    found = [name for name in ENGINES if shutil.which(name)]
    for name in found:
        if subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    tried = f"{' and '.join(found)} found, not running" if found else "neither docker nor podman"
    raise ConfigError(f"no engine can build images: {tried}; install or start one of them")


def build_image(
    engine: Sequence[str],
    context: Path,
    *,
    tag: str,
    arguments: Mapping[str, str],
    options: Sequence[str] = (),
) -> None:
    """Build one image; unchanged steps come from the cache.

    Args:
        engine: Command of docker or podman, with the options that it needs.
        context: As `stage_context` writes it.
        tag: Name of the image.
        arguments: Build arguments.
        options: Further options of `build`.

    Raises:
        ConfigError: A step failed; holds the last lines that the engine printed.
    """
    command = [*engine, "build", "--tag", tag, *options]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    if bundle := _ca_bundle():
        command += ["--secret", f"id=ca_bundle,src={bundle}"]
    built = subprocess.run(
        [*command, str(context)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"DOCKER_BUILDKIT": "1"},
        text=True,
        check=False,
    )
    if built.returncode != 0:
        last = "\n".join(built.stdout.splitlines()[-15:])
        raise ConfigError(f"image {tag} cannot be built; the engine's last lines:\n{last}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command-line entry."""
    parser = argparse.ArgumentParser(prog="python -m infra.build_images", description=__doc__)
    parser.add_argument("--models", type=Path, metavar="DIR", help="default: cdk.json's")
    parser.add_argument("--base", metavar="IMAGE", help="default: the AWS base image")
    parser.add_argument("--platform", help="default: that of cdk.json's architecture")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        _build_all(
            models=options.models or settings.models,
            base=options.base,
            platform=options.platform or PLATFORMS[settings.architecture],
        )
    except CxrError as error:
        sys.stderr.write(f"build_images: {error}\n")
        return 1
    return 0


def _build_all(*, models: Path, base: str | None, platform: str) -> None:
    engine = find_builder()
    table = Table("Image", "Size", "Built in")
    for image in IMAGES:
        began = time.monotonic()
        context = stage_context(image.function, models=models, out=CONTEXTS)
        tag = f"cxr-{image.function}"
        build_image(
            [engine],
            context,
            tag=tag,
            arguments={"BASE": base} if base else {},
            options=["--platform", platform],
        )
        asked = [engine, "image", "inspect", "--format", "{{.Size}}", tag]
        size = int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
        table.add_row(tag, f"{size / 1e6:.0f} MB", f"{time.monotonic() - began:.0f} s")
    Console().print(table)


def _ca_bundle() -> Path | None:
    """Certificates of a private authority, if this machine names any."""
    for name in _CA_BUNDLE_VARIABLES:
        if (value := os.environ.get(name)) and Path(value).is_file():
            return Path(value)
    return None


if __name__ == "__main__":
    sys.exit(main())
