"""An engine, images on the stand-in base, and a network of loopback alone; or a skip that says why.

Building takes a minute or two the first time and is cached under build/containers.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambdas.shared.errors import ConfigError
from tests.containers.cloud import Cloud, loopback_cloud
from tests.containers.engine import Engine, NoEngineError, find_engine
from tests.containers.function import FunctionContainer
from tests.containers.images import BuiltImage, build_function_image, prepare_base
from tests.containers.loopback import Loopback, loopback_only

FAULTS = (Path(__file__).with_name("faults.py"), "/var/task/faults.py")


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        found = find_engine()
        prepare_base(found)
    except NoEngineError as error:
        pytest.skip(str(error))
    except (ConfigError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the stand-in for the AWS base image cannot be made: {error}")
    return found


@pytest.fixture(scope="session")
def image(engine: Engine) -> Callable[[str], BuiltImage]:
    built: dict[str, BuiltImage] = {}

    def of(function: str) -> BuiltImage:
        if function not in built:
            built[function] = build_function_image(engine, function)
        return built[function]

    return of


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with loopback_only() as watched:
        yield watched


@pytest.fixture
def cloud(loopback: Loopback) -> Iterator[Cloud]:
    with loopback_cloud() as opened:
        yield opened


@pytest.fixture
def misbehaving(
    engine: Engine, image: Callable[[str], BuiltImage], loopback: Loopback
) -> Callable[..., FunctionContainer]:
    """Starts the classify image with another handler in the place of its own."""

    def start(handler: str, *, memory_mb: int = 512, timeout_s: float = 30) -> FunctionContainer:
        return FunctionContainer(
            engine,
            image("classify").name,
            memory_mb=memory_mb,
            timeout_s=timeout_s,
            command=handler,
            mounts=[FAULTS],
        )

    return start
