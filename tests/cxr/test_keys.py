import pytest

from cxr.keys import check_distinct, join_key, result_folder, shown
from lambdas.shared.errors import InvalidRequestError


def unchanged(folder: str) -> str:
    return folder


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "a\0b"])
def test_a_part_that_is_no_name_is_refused(part: str) -> None:
    with pytest.raises(InvalidRequestError, match="not the name of a file"):
        join_key(["scans", part])


def test_names_that_only_look_dangerous_are_kept() -> None:
    parts = ["...", "..png", "~", "a\\..\\b", "-rf", "$(reboot)", "\udcff.png", "é" * 120]
    assert join_key(parts) == "/".join(parts)


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("a/1.png", "a/1.png"),
        ("index.html", "index.html_"),
        ("Summary.CSV/1.png", "Summary.CSV_/1.png"),  # one name where case is ignored
        (".cxr-partial", ".cxr-partial_"),
        ("a/index.html", "a/index.html"),  # only the top level has such files
    ],
)
def test_results_lie_under_their_key_unless_the_run_needs_the_name(key: str, folder: str) -> None:
    assert result_folder(key) == folder


def test_two_images_with_one_key_are_both_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"(?s)s1/x\.png.*s2/x\.png.*rename"):
        check_distinct({"x.png": ["s1/x.png", "s2/x.png"]}, fold=unchanged)


def test_case_matters_only_where_the_output_folder_ignores_it() -> None:
    origins = {"A.png": ["A.png"], "a.png": ["a.png"]}
    check_distinct(origins, fold=unchanged)
    with pytest.raises(InvalidRequestError, match=r"does not tell their names apart"):
        check_distinct(origins, fold=str.casefold)


@pytest.mark.parametrize("name", ["record.json", "report.pdf", "Thumbnail.jpg"])
def test_an_image_called_as_a_result_of_another_is_refused(name: str) -> None:
    key = f"a.png/{name}"
    with pytest.raises(InvalidRequestError, match="would share the name"):
        check_distinct({"a.png": ["s1/a.png"], key: [f"s2/{key}"]}, fold=unchanged)


def test_an_image_below_the_folder_of_another_is_fine() -> None:
    check_distinct({"a": ["s1/a"], "a/b.png": ["s2/a/b.png"]}, fold=unchanged)


def test_shown_text_cannot_move_the_cursor_and_keeps_accents() -> None:
    assert shown("Ünïcode\x1b[2J\n\udcff\u202e.png") == r"Ünïcode\x1b[2J\x0a\xff\u202e.png"
