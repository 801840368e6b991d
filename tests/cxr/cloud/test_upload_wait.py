"""`cxr upload --wait`: what becomes of images whose stages do as a test says."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cxr.upload_object import Outcome
from cxr.upload_wait import QUEUES_S, Awaited, wait_for_records
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import Source, result_key, to_json
from tests.cxr.cloud.conftest import MODEL_SET, Place
from tests.cxr.fakes import record_of

PNG = b"\x89PNG\r\n\x1a\n"

Write = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def uploaded(place: Place, write: Write) -> list[ImageRef]:
    """Three images, as the waiting finds them."""
    return [place.upload(f"images/{name}.png", PNG + name.encode()) for name in ("a", "b", "c")]


def outcome(image: ImageRef) -> Outcome:
    return Outcome(
        image.key.removeprefix("images/"),
        "uploaded",
        key=image.key,
        version_id=image.version_id,
        etag=image.etag,
    )


def finish(place: Place, image: ImageRef, kind: str) -> None:
    source = Source(image.bucket, image.key, image.version, "b" * 64)
    record = record_of(source, kind) | {"model_set": MODEL_SET}
    place.client("s3").put_object(
        Bucket=place.deployment.results_bucket,
        Key=result_key(MODEL_SET, source.image_id, "record.json"),
        Body=to_json(record),
    )


class Clock:
    """Passes only while somebody waits; does something at each pause."""

    def __init__(self, deeds: list[Callable[[], Any]]) -> None:
        self.seconds = 0.0
        self.deeds = deeds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        if self.deeds:
            self.deeds.pop(0)()

    def now(self) -> float:
        return self.seconds


def wait(place: Place, images: list[ImageRef], clock: Clock, **options: Any) -> Awaited:
    return wait_for_records(
        place.deployment,
        [outcome(image) for image in images],
        **{"stop": lambda: False, "tell": lambda done, lost: None} | options,
        pause=clock.pause,
        now=clock.now,
    )


def test_records_come_one_after_the_other(place: Place, uploaded: list[ImageRef]) -> None:
    finish(place, uploaded[1], "rejected")
    clock = Clock(
        [
            lambda: finish(place, uploaded[2], "normal"),
            lambda: None,
            lambda: finish(place, uploaded[0], "abnormal"),
        ]
    )
    told: list[tuple[int, int]] = []
    found = wait(place, uploaded, clock, tell=lambda done, lost: told.append((done, lost)))
    assert [record.result.kind for record in found.records] == ["rejected", "normal", "abnormal"]
    assert (found.given_up, found.pending, found.why) == ((), (), None)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_image_that_is_given_up_is_not_waited_for(place: Place, uploaded: list[ImageRef]) -> None:
    place.give_up("report", place.upload("images/of-somebody-else.png"))
    clock = Clock(
        [
            lambda: finish(place, uploaded[0], "normal"),
            lambda: place.give_up("detect", uploaded[1]),
            lambda: finish(place, uploaded[2], "normal"),
        ]
    )
    found = wait(place, uploaded, clock)
    assert len(found.records) == 2
    assert found.given_up == (("b.png", "detect"),)
    assert (found.pending, found.why) == ((), None)


def test_while_something_is_on_its_way_there_is_hope(
    place: Place, uploaded: list[ImageRef]
) -> None:
    """Its message is hidden after a failure: for half an hour, on AWS."""
    sqs = place.client("sqs")
    sqs.send_message(QueueUrl=place.queue("detect"), MessageBody="x")
    sqs.receive_message(QueueUrl=place.queue("detect"), VisibilityTimeout=1_800)
    rounds = int(1_200 / QUEUES_S)
    clock = Clock([lambda: None] * rounds + [lambda: finish(place, uploaded[0], "normal")])
    found = wait(place, uploaded[:1], clock)
    assert len(found.records) == 1
    assert clock.seconds > rounds


def test_where_nothing_is_on_its_way_waiting_ends(place: Place, uploaded: list[ImageRef]) -> None:
    finish(place, uploaded[0], "normal")
    clock = Clock([])
    found = wait(place, uploaded, clock)
    assert found.pending == ("b.png", "c.png")
    assert found.why == "no image is on its way any more; what became of one: cxr logs KEY"
    assert 2 * QUEUES_S <= clock.seconds < 4 * QUEUES_S


def test_whoever_stops_waiting_is_told_what_is_left(place: Place, uploaded: list[ImageRef]) -> None:
    turns = iter((False, False, True))
    found = wait(place, uploaded, Clock([]), stop=lambda: next(turns))
    assert found.pending == ("a.png", "b.png", "c.png")
    assert found.why is None


def test_summary_of_what_was_waited_for(
    place: Place, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages do their work while the command looks for the first time."""
    from cxr import upload_wait

    root = write({"a.png": PNG + b"a", "ward 3/b.png": PNG + b"b", "c.png": PNG + b"c"})
    ask = wait_for_records

    def working(deployment: Any, outcomes: Any, **options: Any) -> Awaited:
        kinds = iter(("abnormal", "rejected"))
        for each in outcomes:
            image = ImageRef("cxr-intake", each.key, each.version_id, each.etag)
            if (kind := next(kinds, None)) is not None:
                finish(place, image, kind)
            else:
                place.give_up("detect", image)
        clock = Clock([])
        return ask(deployment, outcomes, **options, pause=clock.pause, now=clock.now)

    monkeypatch.setattr(upload_wait, "wait_for_records", working)
    code, out, _ = place.run("upload", str(root), "--wait")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].startswith("3 images are in s3://cxr-intake/images/: 3 uploaded")
    assert any(re.match(r" images/a\.png +Abnormal", line) for line in lines)
    assert any(re.match(r" images/c\.png +Rejected", line) for line in lines)
    assert "2 of 3 have a record: 1 abnormal, 1 rejected" in lines
    assert "  given up by detect: ward 3/b.png" in lines
    place_of_results = rf"{place.endpoint}/cxr-results/results/{MODEL_SET}"
    assert re.fullmatch(rf"images/a\.png: {place_of_results}/[0-9a-f]{{32}}/report\.pdf", lines[-2])
    found = place.json("upload", str(root), "--wait")
    assert {each["status"] for each in found["records"]} == {"analysed", "rejected"}
    assert found["given_up"] == [{"name": "ward 3/b.png", "by": "detect"}]
    assert found["exit_code"] == 1
