import pytest

from lambdas.shared.flow import next_stage


@pytest.mark.parametrize(
    ("stage", "state", "following"),
    [
        ("classify", {"positive": True}, "detect"),
        ("classify", {}, "report"),
        ("classify", {"detect_all": True}, "detect"),
        ("classify", {"rejected": True}, "report"),
        ("classify", {"rejected": True, "detect_all": True}, "report"),
        ("detect", {"positive": True}, "report"),
        ("detect", {"rejected": True}, "report"),
        ("report", {"positive": True}, None),
    ],
)
def test_order(stage: str, state: dict[str, bool], following: str | None) -> None:
    assert next_stage(stage, **state) == following  # type: ignore[arg-type]
