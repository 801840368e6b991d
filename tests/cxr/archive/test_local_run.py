"""A job in the embedded cloud, run by the command: what its functions print can be read."""

from pathlib import Path

import pytest

from cxr.archive.files import JobFiles
from cxr.archive.local_run import LocalRun
from tests.cxr.cloud.conftest import Place as CloudPlace


@pytest.mark.slow
def test_what_the_functions_print_is_in_the_clouds_logs(
    place: CloudPlace, tiny_models_folder: Path
) -> None:
    files = JobFiles(place.client("s3"), place.deployment.results_bucket)
    run = LocalRun(place.deployment, files, "missing", ran=0, models=tiny_models_folder, workers=1)
    run.start()
    run.join(timeout=120)
    assert not run.is_alive()
    assert run.error is not None  # there is no such job, which the planner says in its log
    group = place.deployment.outputs["PlannerLogGroup"]
    events = place.client("logs").filter_log_events(logGroupName=group)["events"]
    assert [event for event in events if "missing" in event["message"]], events
