"""One construct in a stack of its own, synthesised with the same checks as the whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.config import read_context
from tests.infra.synthesis import Synthesis, read_synthesis, require_cdk


def synthesise_alone(folder: Path, make: Callable[[Any], object]) -> Synthesis:
    """Offline; raises if a check has a finding without an answer.

    Args:
        folder: For the cloud assembly.
        make: Defines constructs in the stack that it is given.
    """
    require_cdk()
    from aws_cdk import App, Stack, Validations
    from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks

    app = App(context=read_context(), outdir=str(folder), analytics_reporting=False)
    make(Stack(app, "trial"))
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), HIPAASecurityChecks(app))
    app.synth()
    return read_synthesis(folder)
