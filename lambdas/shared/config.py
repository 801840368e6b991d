"""Settings of the streaming functions, from environment variables, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from lambdas.shared.errors import ConfigError, InvalidRequestError
from lambdas.shared.flow import Stage
from lambdas.shared.passthrough import parse_passthrough

_STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
_BOOLEANS: Final = {"true": True, "false": False}
_OPTIONAL: Final = {"CXR_DETECT_ALL": "false", "CXR_FORMATS": "", "CXR_PASSTHROUGH": ""}
_REQUIRED: Final = (
    "CXR_STAGE",
    "CXR_MODELS",
    "CXR_RESULTS_BUCKET",
    "CXR_EVENT_BUS",
    "CXR_IMAGE_SECONDS",
    *(f"CXR_{stage.upper()}_QUEUE" for stage in _STAGES),
)


@dataclass(frozen=True, slots=True)
class StageSettings:
    """What a stage's function must know.

    Attributes:
        stage: Its own name.
        models: Folder of the bundles.
        results_bucket: Where records go.
        queue_urls: Of every stage: the next, and the first, where an image starts again when the
            models have changed under it.
        event_bus: Where the report stage tells that an image is done.
        image_seconds: The longest one image may take; with less time left none is begun.
        detect_all: Whether findings are wanted for negative images as well.
        formats: Further formats of results, comma separated, as the operator wrote them.
        passthrough: DICOM attributes that go into the record; none by default.
    """

    stage: Stage
    models: Path
    results_bucket: str
    queue_urls: Mapping[Stage, str]
    event_bus: str
    image_seconds: int
    detect_all: bool = False
    formats: str = ""
    passthrough: frozenset[str] = frozenset()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "StageSettings":
        """Read and check the variables.

        Raises:
            ConfigError: Lists every variable that is missing or has a wrong value.
        """
        problems = [f"{name} is missing" for name in _REQUIRED if not environ.get(name)]
        values = _OPTIONAL | {
            name: environ[name] for name in (*_REQUIRED, *_OPTIONAL) if name in environ
        }
        stage = next((name for name in _STAGES if name == values.get("CXR_STAGE")), None)
        if values.get("CXR_STAGE") and stage is None:
            problems.append(f"CXR_STAGE is {values['CXR_STAGE']!r}, expected one of {_STAGES}")
        seconds = values.get("CXR_IMAGE_SECONDS", "")
        if seconds and not (seconds.isdecimal() and int(seconds) > 0):
            problems.append(f"CXR_IMAGE_SECONDS is {seconds!r}, expected whole seconds from 1")
        if values["CXR_DETECT_ALL"] not in _BOOLEANS:
            problems.append(f"CXR_DETECT_ALL is {values['CXR_DETECT_ALL']!r}, expected true, false")
        passthrough: frozenset[str] = frozenset()
        try:
            passthrough = parse_passthrough(values["CXR_PASSTHROUGH"])
        except InvalidRequestError as error:
            problems.append(f"CXR_PASSTHROUGH: {error.message}")
        if problems or stage is None:
            raise ConfigError("environment of the function: " + "; ".join(problems))
        return cls(
            stage=stage,
            models=Path(values["CXR_MODELS"]),
            results_bucket=values["CXR_RESULTS_BUCKET"],
            queue_urls={name: values[f"CXR_{name.upper()}_QUEUE"] for name in _STAGES},
            event_bus=values["CXR_EVENT_BUS"],
            image_seconds=int(seconds),
            detect_all=_BOOLEANS[values["CXR_DETECT_ALL"]],
            formats=values["CXR_FORMATS"],
            passthrough=passthrough,
        )
