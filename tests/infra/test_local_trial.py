"""Images through the embedded cloud on its worst day: one record each, none lost, none twice."""

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.local_chaos import ChaosCounts, Killer, TroubledQueue
from infra.local_trial import main, table
from infra.local_trial_run import TrialResult, TrialSettings, run_trial
from lambdas.shared.errors import ConfigError
from tests.builders import dicom, film, jpeg, png, tiff, to_8_bit
from tests.infra.waiting import wait_for

IMAGES = 60


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few files of every kind, normal, abnormal and rejected."""
    folder = tmp_path_factory.mktemp("films")
    dark = film()
    bright = np.where(dark > 1500, 4000, dark).astype(np.uint16)
    files = {
        "a.png": png(dark),
        "b.dcm": dicom(bright),
        "c.jpg": jpeg(to_8_bit(dark)),
        "d.tif": tiff(bright),
        "e.txt": b"not an image",
        "f.dcm": dicom(dark, ViewPosition="LL"),
        "g.png": png(dark)[:4000],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_done_twice(films: Path, tiny_models_folder: Path) -> None:
    settings = TrialSettings(
        folder=films,
        images=IMAGES,
        models=tiny_models_folder,
        seed=1,
        workers=1,
        kills_per_minute=60,
        visibility_seconds=5,
    )
    result = run_trial(settings)
    shown = table(result, settings)
    assert result.lost == (), shown
    assert result.twice == (), shown
    assert result.untold == 0, shown
    assert result.differing == 0, shown
    assert result.records == IMAGES, shown
    assert result.ok
    # the day was as bad as it should be
    assert result.chaos.copies > 0
    assert result.chaos.delays > 0
    assert result.killed_in_work > 0


def good(**changes: Any) -> TrialResult:
    result = TrialResult(
        images=2,
        files=1,
        records=2,
        lost=(),
        twice=(),
        untold=0,
        told=3,
        differing=0,
        chaos=ChaosCounts(copies=1, delays=2, kills=3),
        killed_in_work=1,
        redriven=0,
        seconds=4.0,
        server_bytes=100 * 2**20,
        functions_bytes=None,
    )
    return dataclasses.replace(result, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": ("images/a",), "records": 1},
        {"twice": ("images/a",), "records": 3},
        {"records": 1},
        {"untold": 1},
        {"differing": 1},
    ],
)
def test_trial_fails_where_a_single_image_went_wrong(changes: dict[str, Any]) -> None:
    assert good().ok
    assert not good(**changes).ok


def test_table_names_every_image_that_went_wrong() -> None:
    settings = TrialSettings(folder=Path(), images=2, models=Path())
    shown = table(good(lost=("images/a",), twice=("images/b",)), settings)
    assert "lost: images/a\n" in shown
    assert "twice: images/b\n" in shown
    assert "0.50 images/s" in shown


def test_folder_without_files_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="has no files; `make demo`"):
        run_trial(TrialSettings(folder=tmp_path, images=1, models=tmp_path))
    assert main(["--from", str(tmp_path)]) == 2
    assert "has no files" in capsys.readouterr().err


class Queue:
    """SQS, as far as it is asked: everything at once, delays noted."""

    def __init__(self, bodies: list[str]) -> None:
        self.waiting = [{"Body": body, "ReceiptHandle": body} for body in bodies]
        self.delayed: list[tuple[str, int]] = []
        self.deleted: list[str] = []

    def receive_message(self, **arguments: Any) -> dict[str, Any]:
        messages, self.waiting = self.waiting, []
        return {"Messages": messages}

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int) -> None:
        assert QueueUrl == "url"
        assert 1 <= DelaySeconds <= 5
        assert MessageBody not in self.deleted, "sent before it is deleted: never lost"
        self.delayed.append((MessageBody, DelaySeconds))

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:
        self.deleted.append(ReceiptHandle)


@pytest.mark.parametrize(("copied", "delayed"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.3, 0.3)])
def test_troubled_queue_gives_every_message_at_least_once(copied: float, delayed: float) -> None:
    bodies = [str(number) for number in range(200)]
    queue, counts = Queue(bodies), ChaosCounts()
    troubled = TroubledQueue(
        queue, chances=random.Random(1), counts=counts, copied=copied, delayed=delayed
    )
    given = [m["Body"] for m in troubled.receive_message(QueueUrl="url")["Messages"]]
    later = [body for body, _ in queue.delayed]
    assert Counter(given + later) >= Counter(bodies)
    assert set(queue.deleted) == set(bodies) - set(given)
    assert len(later) == counts.copies + counts.delays
    assert counts.copies == len(set(given) & set(later)) == pytest.approx(copied * 200, abs=25)
    assert counts.delays == len(queue.deleted) == pytest.approx(delayed * 200, abs=25)
    assert given != sorted(given, key=int) or not given, "out of order"


def test_same_seed_makes_the_same_trouble() -> None:
    def run(seed: int) -> list[tuple[str, int]]:
        queue = Queue([str(number) for number in range(50)])
        TroubledQueue(
            queue, chances=random.Random(seed), counts=ChaosCounts(), copied=0.2, delayed=0.2
        ).receive_message(QueueUrl="url")
        return queue.delayed

    assert run(1) == run(1) != run(2)


class Victim:
    def __init__(self) -> None:
        self.kills = 0

    def kill(self) -> bool:
        self.kills += 1
        return self.kills % 2 == 0  # every other time it was not running


def test_killer_counts_those_that_were_alive_and_ends() -> None:
    victims, counts = [Victim(), Victim()], ChaosCounts()
    hosts: Any = victims
    with Killer(hosts, per_minute=60_000, seed=1, counts=counts):
        wait_for(lambda: all(victim.kills >= 10 for victim in victims))
    tried = [victim.kills for victim in victims]
    assert counts.kills == sum(kills // 2 for kills in tried)
    assert tried == [victim.kills for victim in victims]
