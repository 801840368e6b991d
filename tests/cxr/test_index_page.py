import re
import time
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import pytest

from cxr.index_page import index_page
from tests.cxr.fakes import MODEL_SET, WARNING
from tests.cxr.results_examples import result


class Page(HTMLParser):
    """Tags, attributes and text as a browser would find them."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]


def page(*keys: str, kind: str = "abnormal") -> Page:
    results = [result(key, kind) for key in keys]
    return Page(index_page(results, warnings=[WARNING, WARNING], model_set=MODEL_SET))


HOSTILE = [
    "<script>alert(1)<\\script>.png",
    "'\"><img src=x onerror=alert(1)>.png",
    "{{rows}}{{facts}}.png",
    "a&b&lt;.png",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_name_is_text_and_never_markup(key: str) -> None:
    plain, hostile = page("x.png"), page(key)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert key in hostile.text
    assert not [name for _, attributes in hostile.tags for name in attributes if name[:2] == "on"]


@pytest.mark.parametrize("key", [*HOSTILE, "100%#?x.png", "a:b/1 2.png", "caf\udce9.png", "ü.png"])
def test_links_lead_to_the_files_whatever_the_name(key: str) -> None:
    links = [link for link in page(key).attributes("href") if "record.json" in link]
    (link,) = links
    assert re.fullmatch(r"\./[A-Za-z0-9/._~%-]+", link)
    assert (
        unquote_to_bytes(link) == b"./" + key.encode("utf-8", "surrogateescape") + b"/record.json"
    )


def test_nothing_is_fetched_from_elsewhere() -> None:
    found = page("1.png")
    addresses = found.attributes("src") + found.attributes("href")
    assert len(addresses) == 5  # preview and its link, report, record, summary.csv
    assert all(address.startswith("./") for address in addresses)
    assert "http" not in index_page([], warnings=[], model_set=MODEL_SET).decode()


def test_warnings_stand_once_and_research_use_always() -> None:
    assert page("1.png").text.count(WARNING) == 1
    assert "Research use only" in page("1.png").text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("abnormal", ["Abnormal", "0.90", "Cardiomegaly", "0.91"]),
        ("normal", ["Normal", "0.10", "not looked for"]),
        ("rejected", ["Rejected", "no image; send the radiograph", "not an image", "no preview"]),
    ],
)
def test_a_row_says_what_became_of_the_image(kind: str, words: list[str]) -> None:
    found = page("1.png", kind=kind)
    assert [word for word in words if word not in found.text] == []


def test_an_uncalibrated_number_is_called_a_score() -> None:
    text = page("1.png").text
    assert "Score" in text
    assert "Probability" not in text


def test_five_thousand_rows_are_made_in_seconds_and_stay_small() -> None:
    results = [result(f"archive/{n:05}.dcm") for n in range(50)] * 100
    begun = time.monotonic()
    content = index_page(results, warnings=[WARNING], model_set=MODEL_SET)
    assert time.monotonic() - begun < 5
    assert len(content) < 8_000_000
    assert content.count(b"<tr ") == 5000
    assert content.count(b'loading="lazy"') == 5000
