"""cdk-nag, cfn-lint, and what the app says of settings that are wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.config import Settings
from tests.infra.synthesis import (
    REPOSITORY,
    Synthesis,
    read_synthesis,
    require_cdk,
    synthesise,
)

PACKS = {"AwsSolutions", "HIPAA.Security"}

IGNORED = {"W3005": "CDK writes a DependsOn beside each reference to a role"}
"""Findings of cfn-lint that are CDK's own doing."""


def reports(synthesis: Synthesis) -> dict[str, dict[str, Any]]:
    return {report["pluginName"]: report for report in synthesis.report["pluginReports"]}


def assert_answered(synthesis: Synthesis) -> None:
    """Every finding of both packs has a reason that a person can judge."""
    found = reports(synthesis)
    assert set(found) >= PACKS
    for pack in PACKS:
        assert found[pack]["conclusion"] == "success"
        assert found[pack].get("violations", []) == []
        for answered in found[pack].get("suppressedViolations", []):
            assert len(answered["reason"].split()) >= 5, answered["ruleName"]


def lint(template: Path) -> list[str]:
    """Errors and warnings of cfn-lint."""
    from cfnlint.api import lint_all

    found = lint_all(template.read_text())
    return [
        str(match)
        for match in found
        if match.rule.severity != "informational" and match.rule.id not in IGNORED
    ]


def test_no_finding_is_without_an_answer(synthesis: Synthesis) -> None:
    assert_answered(synthesis)


def test_the_packs_do_look(synthesis: Synthesis) -> None:
    """A pack that finds nothing at all has not run: some findings have answers."""
    for pack in PACKS:
        assert reports(synthesis)[pack]["suppressedViolations"]


def test_answers_name_the_finding_and_the_construct(synthesis: Synthesis) -> None:
    for pack in PACKS:
        for answered in reports(synthesis)[pack]["suppressedViolations"]:
            assert answered["acknowledgedId"] == f"{pack}::{answered['ruleName']}"
            for construct in answered["violatingConstructs"]:
                assert construct["constructPath"].startswith(answered["acknowledgedAt"])


def test_nothing_is_answered_for_the_whole_stack(synthesis: Synthesis) -> None:
    """An answer there would silence every later resource as well."""
    for pack in PACKS:
        for answered in reports(synthesis)[pack]["suppressedViolations"]:
            assert "/" in answered["acknowledgedAt"], answered["ruleName"]


@pytest.mark.slow
def test_a_finding_without_an_answer_stops_synthesis(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_cdk()
    monkeypatch.setattr("infra.queues.acknowledge", lambda scope, reasons: None)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        synthesise(settings, tmp_path)
    violations = reports(read_synthesis(tmp_path / "cdk.out"))["AwsSolutions"]["violations"]
    assert [violation["ruleName"] for violation in violations] == ["AwsSolutions-SQS3"]


@pytest.mark.slow
def test_template_is_what_cloudformation_takes(synthesis: Synthesis) -> None:
    (template,) = synthesis.folder.glob("*.template.json")
    assert lint(template) == []


@pytest.mark.slow
def test_lint_does_look(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(
        '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"A": 1}}}}'
    )
    assert lint(wrong)


def test_app_names_what_is_wrong_with_the_settings(tmp_path: Path) -> None:
    require_cdk()
    done = subprocess.run(
        [sys.executable, "-m", "infra.app", "nowhere"],
        cwd=REPOSITORY,
        env=os.environ | {"CDK_OUTDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"no environment 'nowhere'.*choose from dev, prod", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "module",
    [
        *("config", "setting_readers", "pipeline", "prices", "cost_at_rest"),
        *("bulk", "archive_definition", "archive_costs", "measure_batch", "local_archive"),
    ],
)
def test_module_needs_no_cdk(module: str) -> None:
    """The `cxr` command and the embedded cloud import it, without node or CDK."""
    code = f"import sys, infra.{module}; sys.exit('aws_cdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
