"""A machine without an engine is told what to do; nothing passes there unseen."""

import os
import shutil

import pytest

from tests.containers.engine import NoEngineError, find_engine


def test_missing_programs_are_named_with_the_way_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "runc" else f"/bin/{name}")
    with pytest.raises(NoEngineError, match=r"runc missing; apt-get install podman runc"):
        find_engine()


def test_an_ordinary_user_is_told_that_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NoEngineError, match="need root"):
        find_engine()
