import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.shared.boxes import UnitBox
from lambdas.shared.errors import ContractError
from lambdas.shared.findings import Code, Finding, Triage
from lambdas.shared.messages import ImageMessage, ImageRef, parse_message

text = st.text(min_size=1, max_size=40)
unit = st.floats(0, 1)
codes = st.none() | st.builds(Code, text, text, text)
boxes = st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1))
findings = st.builds(Finding, text, codes, unit, unit, boxes.map(lambda edges: UnitBox(*edges)))
messages = st.builds(
    ImageMessage,
    image=st.builds(
        ImageRef, text, text, st.none() | text, st.none() | text, st.none() | st.integers(0)
    ),
    model_set=st.none() | text,
    sha256=st.none() | text,
    triage=st.none() | st.builds(Triage, text, text, unit, unit, st.booleans(), st.booleans()),
    rejection=st.none() | st.tuples(text, text),
    findings=st.none() | st.lists(findings, max_size=3).map(tuple),
    timings=st.dictionaries(text, st.floats(0, 1e6), max_size=3),
)


@given(messages)
def test_message_comes_out_as_it_went_in(message: ImageMessage) -> None:
    body = message.to_body()
    assert parse_message(body) == message
    assert body.isascii(), "SQS refuses some characters that a key may hold"
    assert all(character >= " " for character in body)


def event(**created: Any) -> str:
    return json.dumps(
        {
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "intake"}, "object": {"key": "images/a.png", **created}},
        }
    )


@pytest.mark.parametrize(
    ("created", "version"),
    [
        ({"version-id": "v1", "etag": "e"}, "v1"),
        ({"etag": '"quoted"'}, "quoted"),
        ({"version-id": "", "etag": "e"}, "e"),
        ({"version-id": "null", "etag": "e"}, "e"),  # versioning is suspended
        ({}, None),
    ],
)
def test_event_gives_version_else_etag(created: dict[str, Any], version: str | None) -> None:
    assert parse_message(event(**created)).image.version == version


def test_key_of_an_event_is_taken_as_it_is() -> None:
    assert parse_message(event(key="images/a+b%20c")).image.key == "images/a+b%20c"


def test_largest_message_fits_a_queue() -> None:
    finding = Finding(
        "x" * 60, Code("s" * 20, "v" * 20, "m" * 80), 0.1234, 0.5, UnitBox(0, 0, 1, 1)
    )
    message = ImageMessage(
        ImageRef("b" * 63, "\u0800" * 341, "v" * 1024, "e" * 64, 2**40), findings=(finding,) * 300
    )
    assert len(message.to_body()) < 256 * 1024, "the smallest limit SQS has had"


@pytest.mark.parametrize(
    "body",
    ["", "null", "{", '{"message_version": 2, "image": {}}', '{"detail-type": "Object Deleted"}']
    + [event(key=value) for value in ("", None, 3)],
)
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(ContractError):
        parse_message(body)
