"""The CDK app: `python -m infra.app [ENVIRONMENT]` writes cdk.out/ENVIRONMENT, offline.

CDK's own command line runs it without an argument; there it is `-c environment=ENVIRONMENT`.
Synthesis fails on every finding of cdk-nag's AwsSolutions and HIPAA.Security without an answer.
"""

import os
import sys
from pathlib import Path
from typing import Final

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks

from infra.config import Settings, read_context
from infra.images import IMAGES, stage_context
from infra.stack import CxrStack
from lambdas.shared.bundle import load_pair
from lambdas.shared.errors import CxrError

CONTEXTS: Final = Path("build/images")
"""Where the images' build contexts are staged."""


def build(app: App, settings: Settings, *, contexts: Path) -> CxrStack:
    """Stage the images' contexts, and define the stack with its checks.

    Args:
        app: With the context of cdk.json: without its feature flags the stack is another.
        settings: Of the environment.
        contexts: Folder to stage the images' build contexts in.

    Raises:
        ConfigError, ModelMismatchError: A bundle or a file of an image is missing or wrong.
    """
    models = load_pair(settings.models)
    staged = {
        image.function: stage_context(image.function, models=settings.models, out=contexts)
        for image in IMAGES
    }
    stack = CxrStack(app, settings=settings, models=models, contexts=staged)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), HIPAASecurityChecks(app))
    return stack


def main(arguments: list[str]) -> int:
    """Synthesise one environment; 0 if it could be."""
    wanted = arguments[0] if arguments else None
    try:
        context = read_context()
        app = App(
            context=context,
            outdir=os.environ.get("CDK_OUTDIR", f"cdk.out/{wanted or context.get('environment')}"),
            analytics_reporting=False,
        )
        settings = Settings.from_context(context, wanted or app.node.try_get_context("environment"))
        build(app, settings, contexts=CONTEXTS)
    except CxrError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        sys.stderr.write("Mend each finding, or answer it (infra/acknowledge.py).\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
