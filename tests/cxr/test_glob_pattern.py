import pytest

from cxr.glob_pattern import split_pattern


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("s/*.dcm", "1.dcm", True),
        ("s/*.dcm", "1.png", False),
        ("s/*.dcm", "a/1.dcm", False),
        ("s/**/*.dcm", "1.dcm", True),  # ** stands for no folder, too
        ("s/**/*.dcm", "a/b/1.dcm", True),
        ("s/**/*.dcm", "a/b/1.png", False),
        ("s/**", "a/b/1.png", True),
        ("s/p[12]/*", "p1/x", True),
        ("s/p[12]/*", "p3/x", False),
        ("s/p?", "p1/deep/x", True),  # a folder that matches means all that is below it
        ("s/*.DCM", "1.dcm", False),
    ],
)
def test_pattern(pattern: str, path: str, *, matches: bool) -> None:
    split = split_pattern(pattern)
    assert split is not None
    assert str(split.base) == "s"
    assert split.matches(path.split("/")) is matches


def test_folders_that_cannot_hold_a_match_are_not_entered() -> None:
    split = split_pattern("s/a*/x/*.png")
    assert split is not None
    admitted = [
        path
        for path in ("a1", "b", "a1/x", "a1/y", "a1/x/z")
        if split.admits_folder(path.split("/"))
    ]
    assert admitted == ["a1", "a1/x"]


def test_no_wildcard_no_pattern() -> None:
    assert split_pattern("s/1.dcm") is None


def test_a_pattern_may_start_at_the_root_or_here() -> None:
    absolute, relative = split_pattern("/data/*/x.png"), split_pattern("*.png")
    assert absolute is not None
    assert relative is not None
    assert (str(absolute.base), absolute.parts) == ("/data", ("*", "x.png"))
    assert (str(relative.base), relative.parts) == (".", ("*.png",))
