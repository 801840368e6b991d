"""Names come from files: in HTML and in Markdown they are only text."""

import pytest

from cxr.web.markup import key_tag, markdown, scale, short, table, text
from lambdas.shared.findings import Triage


@pytest.mark.parametrize(
    ("name", "html"),
    [
        ("<b>&'\"", "&lt;b&gt;&amp;&#x27;&quot;"),
        ("a\nb\x1b[31m", "a\\x0ab\\x1b[31m"),
        ("\udcff", "\\xff"),  # a byte that is no text
        ("\u202egnp.exe", "\\u202egnp.exe"),  # would be read from right to left
    ],
)
def test_html(name: str, html: str) -> None:
    assert text(name) == html


def test_every_sign_that_markdown_knows_is_escaped() -> None:
    assert markdown("*a* _b_ [c](d) `e` $f$ :red[g] # h <i>") == (
        "\\*a\\* \\_b\\_ \\[c\\]\\(d\\) \\`e\\` \\$f\\$ \\:red\\[g\\] \\# h \\<i\\>"
    )


def test_long_names_lose_their_middle() -> None:
    name = "a" * 100 + "b" * 100
    assert len(short(name)) <= 120
    assert short(name).startswith("aaa")
    assert short(name).endswith("bbb")
    assert short("x") == "x"


def test_table_says_what_it_is() -> None:
    made = table(("A<", "B"), [("1", "2")], numbers=(1,), label="x<", marked=(0,))
    assert '<table aria-label="x&lt;">' in made
    assert '<th scope="col">A&lt;</th><th scope="col" class="n">B</th>' in made
    assert '<tr class="under"><td>1</td><td class="n">2</td></tr>' in made


def test_scale_marks_both_thresholds_where_they_differ() -> None:
    triage = Triage("Abnormal", "Abnormal", 0.75, 0.5, calibrated=True, positive=True)
    assert 'class="old"' not in scale(triage, recorded=0.5)
    moved = scale(triage, recorded=0.3)
    assert 'class="old" style="left:30.00%"' in moved
    assert "left:50.00%" in moved
    assert 'aria-label="0.75 of 1, threshold 0.50"' in moved


def test_number_has_the_colour_of_the_report() -> None:
    assert key_tag(1) == (
        '<span class="key" style="background:rgb(230, 159, 0);color:rgb(0, 0, 0)">1</span>'
    )
