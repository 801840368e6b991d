"""Which code made a checkpoint."""

import hashlib
import os
import subprocess
from pathlib import Path


def code_version() -> str:
    """Version of the training code: the commit where git knows it, else a digest of the sources."""
    root = Path(__file__).parent.parent
    told = os.environ.get("CXR_CODE_VERSION")
    if told:
        return told
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        digest = hashlib.sha256()
        for source in sorted((*root.glob("training/**/*.py"), *root.glob("lambdas/shared/*.py"))):
            digest.update(source.read_bytes())
        return f"sha256:{digest.hexdigest()[:12]}"
    return answer.stdout.strip()
