"""An archive job's worst day on one machine; the large one: `python -m infra.archive_trial`."""

from pathlib import Path

import pytest

from infra.archive_faults import FaultCounts, FaultyS3
from infra.archive_trial import table
from infra.archive_trial_run import ArchiveTrialSettings, run_archive_trial
from infra.local_gate import Environ
from infra.trial_images import trial_images
from lambdas.shared.errors import ConfigError
from tests.builders import film, png, to_8_bit


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.png").write_bytes(png(to_8_bit(film(seed=number))))
    return folder


def test_images_are_distinct_and_the_same_for_a_seed(films: Path) -> None:
    made = list(trial_images(films, 30, seed=3, poison=1))
    assert len({image.content for image in made if image.corrupt != "empty"}) >= 28
    assert sum(image.corrupt is not None for image in made) in (2, 3)
    assert sum("poison" in image.key for image in made) == 1
    assert made == list(trial_images(films, 30, seed=3, poison=1))
    assert made != list(trial_images(films, 30, seed=4, poison=1))


def test_a_folder_without_films_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make demo"):
        list(trial_images(tmp_path, 1, seed=1, poison=0))


def test_faults_come_once_armed_and_poison_kills() -> None:
    counts, killed = FaultCounts(), []
    faulty = FaultyS3(1, counts, lambda: killed.append(True))
    statuses: list[str] = []
    serve = faulty(lambda environ, start: [b"fine"])
    environ: Environ = {
        "HTTP_AUTHORIZATION": "Credential=a/20260101/us-east-1/s3/aws4_request",
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/cxr-intake/archive/poison%20x.png",
    }
    chances = [list(serve(environ, lambda s, _: statuses.append(s))) for _ in range(300)]
    assert set(map(tuple, chances)) == {(b"fine",)}
    faulty.armed = True
    for _ in range(300):
        list(serve(environ, lambda s, _: statuses.append(s)))
    assert 0 < len(statuses) == counts.answers < 100
    assert len(killed) == 300 - counts.answers
    assert {status[:3] for status in statuses} <= {"500", "503"}


@pytest.mark.slow
def test_every_image_of_a_troubled_job_comes_to_one_end(
    films: Path, tiny_models_folder: Path
) -> None:
    settings = ArchiveTrialSettings(
        folder=films,
        images=60,
        models=tiny_models_folder,
        seed=1,
        poison=1,
        kills_per_minute=6,
        interruptions_per_minute=4,
    )
    result = run_archive_trial(settings)
    text = table(result, settings)
    assert result.ok, text
    assert sum(result.records.values()) + sum(result.failures.values()) == 60
    assert result.faults.answers
    assert result.faults.poisoned
    assert result.failures.get("BatchDied")
