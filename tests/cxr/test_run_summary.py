import io
from pathlib import Path

from rich.console import Console

from cxr.discover import Omission
from cxr.run_summary import MOST_LINES, MOST_ROWS, RunSummary, print_failures, print_summary
from tests.cxr.fakes import MODEL_SET, WARNING
from tests.cxr.results_examples import result


def summary(count: int = 3, **changes: object) -> RunSummary:
    kinds = ("normal", "abnormal", "rejected")
    values: dict[str, object] = {
        "out": Path("out"),
        "model_set": MODEL_SET,
        "results": tuple(result(f"{n:03}.png", kinds[n % 3]) for n in range(count)),
        "already_done": 0,
        "replaced": 0,
        "skipped": (),
        "failed": (),
        "pending": 0,
        "warnings": (WARNING,),
        "elapsed_s": 2.0,
        "exit_code": 0,
    }
    return RunSummary(**values | changes)  # type: ignore[arg-type]


def printed(run: RunSummary, *, width: int = 100) -> str:
    text = io.StringIO()
    print_summary(run, Console(file=text, width=width))
    return text.getvalue()


def test_few_images_are_shown_one_by_one() -> None:
    lines = printed(summary()).splitlines()
    assert any("001.png" in line and "Abnormal" in line and "0.90" in line for line in lines)
    assert any("002.png" in line and "no image; send the radiograph" in line for line in lines)
    assert (
        "3 images have a record: 1 normal, 1 abnormal, 1 rejected; 3 in 2.0 s, 1.5 images/s"
        in lines
    )
    assert f"Warning: {WARNING}" in lines
    assert "Look at out/index.html" in lines


def test_many_images_are_only_counted() -> None:
    text = printed(summary(MOST_ROWS + 2))
    assert "001.png" not in text
    assert "27 images have a record: 9 normal, 9 abnormal, 9 rejected" in text
    assert "9 rejected: not an image" in text


def test_a_long_list_of_failures_is_cut_and_says_so() -> None:
    failed = tuple(Omission(f"{n}.png", "cannot be read") for n in range(MOST_LINES + 5))
    text = printed(summary(failed=failed, exit_code=1))
    assert "Failed, without a record: 15" in text
    assert "and 5 more; --json lists all" in text


def test_names_cannot_write_to_the_terminal_nor_become_markup() -> None:
    hostile = result("\x1b[31m[red]x[/red]\n.png")
    text = printed(summary(results=(hostile,), skipped=(Omission("\x1b]0;x\a", "text"),)))
    assert "\x1b" not in text
    assert r"\x1b[31m[red]x[/red]\x0a.png" in text


def test_all_done_before_gives_no_rate() -> None:
    text = printed(summary(already_done=3, elapsed_s=0.0))
    assert "; 3 already done" in text
    assert "images/s" not in text


def test_quiet_prints_failures_alone() -> None:
    text = io.StringIO()
    print_failures(summary(), Console(file=text))
    assert text.getvalue() == ""
    print_failures(summary(failed=(Omission("1.png", "gone"),)), Console(file=text))
    assert text.getvalue() == "Failed, without a record: 1\n  1.png: gone\n"
