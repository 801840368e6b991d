"""A function may be killed between any two of: compute, send, delete, files, record, event.

The same image is processed once for every such place; the redelivery must finish it. At every such
place, too, a second function may do all of the same message.
"""

import json
import random
from collections.abc import Callable

import pytest

from lambdas.batch.analyse import Models
from lambdas.shared.isolated_reader import IsolatedReader
from tests.builders import film, png
from tests.lambdas.streaming.world import Cloud, Killed, Pipeline, results_of, upload

FILM = png(film())

STEPS = {
    "analysed": (
        "record",  # classify: is it done?
        "fetch",
        "send detect",
        "delete",
        "record",
        "fetch",
        "send report",
        "delete",
        "record",
        "fetch",
        "put report.pdf",
        "put thumbnail.jpg",
        "put_first record.json",
        "event",
        "delete",
    ),
    "rejected": (
        "record",
        "fetch",
        "send report",
        "delete",
        "record",
        "put report.pdf",
        "put thumbnail.jpg",
        "put_first record.json",
        "event",
        "delete",
    ),
}
"""What the world sees of an image's way, in order; between fetch and send or put, models compute.
A kill may come before and after each."""


def finished(
    models: Models, reader: IsolatedReader, kill: Callable[[int, str], None], data: bytes = FILM
) -> Cloud:
    cloud = Cloud(kill=kill)
    upload(cloud, "images/a b+c.png", data)
    Pipeline(cloud, models, reader, detect_all=True).drain()
    return cloud


DATA = pytest.mark.parametrize(
    ("data", "steps"),
    [(FILM, STEPS["analysed"]), (b"no image at all", STEPS["rejected"])],
    ids=STEPS,
)


@DATA
def test_redelivery_finishes_whatever_was_killed(
    models: Models, reader: IsolatedReader, data: bytes, steps: tuple[str, ...]
) -> None:
    calm = finished(models, reader, lambda number, name: None, data)
    assert len(calm.told) == 1
    assert tuple(calm.calls) == steps
    expected = results_of(calm)
    for place in range(2 * len(steps)):
        killed_at: list[str] = []

        def kill(number: int, name: str, place: int = place, at: list[str] = killed_at) -> None:
            if number == place and not at:
                at.append(name)
                raise Killed(name)

        cloud = finished(models, reader, kill, data)
        assert killed_at, place
        assert results_of(cloud) == expected, killed_at
        assert set(cloud.results) == set(calm.results), killed_at
        assert set(cloud.first_writes.values()) == {1}, killed_at
        assert len(cloud.told) >= 1, killed_at
        assert all(detail == calm.told[0] for detail in cloud.told), killed_at
        assert not any(cloud.dead.values()), killed_at


@DATA
def test_same_message_handled_twice_at_once_gives_one_record(
    models: Models, reader: IsolatedReader, data: bytes, steps: tuple[str, ...]
) -> None:
    expected = results_of(finished(models, reader, lambda number, name: None, data))
    for place in range(2 * len(steps)):
        cloud = Cloud()
        pipeline = Pipeline(cloud, models, reader, detect_all=True)
        doing: list[tuple[str, str]] = []
        second: list[str] = []

        def meanwhile(
            number: int,
            name: str,
            place: int = place,
            cloud: Cloud = cloud,
            pipeline: Pipeline = pipeline,
            doing: list[tuple[str, str]] = doing,
            second: list[str] = second,
        ) -> None:
            if number == place:
                second.append(name)
                stage, body = doing[0]
                cloud.queues[stage].appendleft((body, 0))
                assert pipeline.deliver(stage), cloud.said

        cloud.kill = meanwhile
        upload(cloud, "images/a b+c.png", data)
        while waiting := [stage for stage, queue in cloud.queues.items() if queue]:
            doing[:] = [(waiting[0], cloud.queues[waiting[0]][0][0])]
            assert pipeline.deliver(waiting[0]), cloud.said
        assert second, place
        assert results_of(cloud) == expected, second
        assert set(cloud.first_writes.values()) == {1}, second
        (key,) = cloud.first_writes
        assert {detail["record"] for detail in cloud.told} == {cloud.uri(key)}, second
        assert len({json.dumps(detail) for detail in cloud.told}) == 1, second


@pytest.mark.parametrize("seed", range(12))
def test_duplicated_reordered_and_killed_at_random_every_image_has_one_record(
    models: Models, reader: IsolatedReader, seed: int
) -> None:
    chance = random.Random(seed)
    cloud = Cloud()
    films = {f"images/{n}.png": png(film(seed=n, height=220, width=210)) for n in range(4)}
    films["images/bad.dcm"] = b"DICM but not really"
    bodies = [upload(cloud, key, data) for key, data in films.items()]
    for body in chance.choices(bodies, k=4):
        cloud.queues["classify"].append((body, 0))

    kills = 6

    def kill(number: int, name: str) -> None:
        nonlocal kills
        if kills and chance.random() < 0.06:
            kills -= 1
            raise Killed(name)

    cloud.kill = kill
    pipeline = Pipeline(cloud, models, reader, detect_all=True)
    for _ in range(500):
        waiting = [stage for stage, queue in cloud.queues.items() if queue]
        if not waiting:
            break
        stage = chance.choice(waiting)
        cloud.queues[stage].rotate(chance.randrange(3))
        pipeline.deliver(stage)
    records = results_of(cloud)
    assert sorted(record["source"]["key"] for record in records.values()) == sorted(films)
    assert set(cloud.first_writes.values()) == {1}
    told = {detail["image_id"] for detail in cloud.told}
    assert told == {record["image_id"] for record in records.values()}
    assert not any(cloud.dead.values())
