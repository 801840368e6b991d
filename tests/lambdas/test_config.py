from pathlib import Path

import pytest

from infra.pipeline import STAGES, Resources, StageSpec, stage_environment
from lambdas.shared.config import StageSettings
from lambdas.shared.errors import ConfigError

RESOURCES = Resources(
    "intake", "results", {stage.name: f"https://q/{stage.name}" for stage in STAGES}
)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_functions_read_what_the_pipeline_sets(stage: StageSpec) -> None:
    environment = stage_environment(stage, RESOURCES, detect_all=True, formats="fhir")
    settings = StageSettings.from_env(environment)
    assert settings.stage == stage.name
    assert settings.models == Path("/var/task/models")
    assert (settings.detect_all, settings.formats) == (True, "fhir")
    assert settings.queue_urls == RESOURCES.queue_urls
    assert settings.image_seconds == stage.image_seconds


def test_every_fault_is_told_at_once() -> None:
    environment = stage_environment(STAGES[0], RESOURCES) | {
        "CXR_STAGE": "print",
        "CXR_IMAGE_SECONDS": "soon",
        "CXR_DETECT_ALL": "perhaps",
        "CXR_PASSTHROUGH": "PatientName",
    }
    del environment["CXR_EVENT_BUS"]
    with pytest.raises(ConfigError) as caught:
        StageSettings.from_env(environment)
    for part in ("CXR_EVENT_BUS is missing", "'print'", "'soon'", "'perhaps'", "'PatientName'"):
        assert part in str(caught.value)
