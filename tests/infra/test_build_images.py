"""infra/build_images.py: what an engine is asked, with a stand-in that writes it down."""

from pathlib import Path

import pytest

from infra.build_images import build_image, find_builder, main
from infra.images import IMAGES
from lambdas.shared.errors import ConfigError

ENGINE = """\
#!/bin/sh
echo "$DOCKER_BUILDKIT" "$@" >> "{log}"
case "$1" in
  info) exit {info} ;;
  image) echo 123456789 ;;
  build) echo "step that fails"; exit {build} ;;
esac
"""


def engine(folder: Path, name: str, *, info: int = 0, build: int = 0) -> Path:
    """A program that answers as told; returns its log."""
    program, log = folder / name, folder / f"{name}.log"
    program.write_text(ENGINE.format(log=log, info=info, build=build))
    program.chmod(0o755)
    return log


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that programs are looked for in."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_an_engine_that_does_not_answer_is_passed_over(programs: Path) -> None:
    engine(programs, "docker", info=1)
    engine(programs, "podman")
    assert find_builder() == "podman"


def test_without_an_engine_one_is_told_to_install_one(programs: Path) -> None:
    with pytest.raises(ConfigError, match="neither docker nor podman; install"):
        find_builder()
    engine(programs, "docker", info=1)
    with pytest.raises(ConfigError, match="docker found, not running"):
        find_builder()


def test_a_certificate_reaches_the_build_as_a_secret_alone(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = engine(programs, "docker")
    bundle = programs / "authority.pem"
    bundle.touch()
    monkeypatch.setenv("PIP_CERT", str(bundle))
    build_image(["docker"], programs, tag="image", arguments={"BASE": "mirror/python:3.13"})
    assert log.read_text() == (
        f"1 build --tag image --build-arg BASE=mirror/python:3.13 "
        f"--secret id=ca_bundle,src={bundle} {programs}\n"
    )


def test_a_failed_build_shows_what_the_engine_said(programs: Path) -> None:
    engine(programs, "docker", build=1)
    with pytest.raises(ConfigError, match="step that fails"):
        build_image(["docker"], programs, tag="image", arguments={})


def test_every_image_is_built_for_the_platform_and_its_size_shown(
    programs: Path,
    tiny_models_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = engine(programs, "docker")
    monkeypatch.chdir(programs)
    arguments = ["--models", str(tiny_models_folder), "--platform", "linux/arm64"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    built = [line for line in log.read_text().splitlines() if " build " in line]
    assert len(built) == len(IMAGES)
    for image, line in zip(IMAGES, built, strict=True):
        assert f"--tag cxr-{image.function} --platform linux/arm64" in line
        assert line.endswith(f"build/images/{image.function}")
        assert f"cxr-{image.function}" in shown
    assert "123 MB" in shown


def test_a_fault_is_one_sentence(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine(programs, "docker")
    assert main(["--models", str(programs / "none")]) == 1
    assert "build_images: model bundle" in capsys.readouterr().err
