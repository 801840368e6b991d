"""The archive of code that SageMaker runs: what the commands import, with its paths kept.

Requirements stand at the archive's root and there is no setup.py: the container's toolkit then runs
the entry in /opt/ml/code, which is on its path, rather than installing a package.

Sources: sagemaker-training-toolkit, `sagemaker_training/entry_point.py` and `modules.py`.
"""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
"""Of the repository."""

PARTS: Final = ("lambdas/__init__.py", "lambdas/shared", "training", "export")
"""What the commands of jobs and pipeline import."""

REQUIREMENTS: Final = "training/requirements.txt"

_KEPT: Final = frozenset({".py", ".json", ".txt", ".html", ".sh", ".css", ".svg"})


def code_archive() -> bytes:
    """A tar.gz of the code; the same sources give the same bytes."""
    files = {name.relative_to(ROOT).as_posix(): name for name in _sources()}
    files["requirements.txt"] = ROOT / REQUIREMENTS
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            data = files[name].read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    # no time stamp, or equal archives would differ
    return gzip.compress(plain.getvalue(), mtime=0)


def code_key(prefix: str, archive: bytes) -> str:
    """Where the archive lies in the bucket: by its content, so that a job's code never changes."""
    return f"{prefix}/code/{hashlib.sha256(archive).hexdigest()[:16]}/sourcedir.tar.gz"


def _sources() -> list[Path]:
    found: list[Path] = []
    for part in PARTS:
        path = ROOT / part
        found.extend([path] if path.is_file() else sorted(path.rglob("*")))
    return [p for p in found if p.is_file() and p.suffix in _KEPT and "__pycache__" not in p.parts]
