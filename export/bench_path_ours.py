"""Our way, through the functions that production runs: bytes in, record.json and report.pdf out.

As bulk processing and `cxr analyze` have it: decoded once, in a process of its own.
"""

import hashlib
import time
from pathlib import Path
from typing import Any

from lambdas.batch.analyse import analyse, load_models
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import REPORT_FILE, Source, to_json

PARTS = ("read", "classify", "detect", "report")


class OurWay:
    """A pair of bundles, loaded; then films one after the other.

    Args:
        pair: Folder with `classifier` and `detector`.
        threads: Of each network.
    """

    def __init__(self, *, pair: Path, threads: int) -> None:
        self._models = load_models(pair, threads=threads)
        self._reader = IsolatedReader()
        self._reader.start()

    def __call__(self, path: Path) -> dict[str, Any]:
        """Durations in ms, by part, of one film, and its number of boxes."""
        data = path.read_bytes()
        begun = time.perf_counter()
        digest = hashlib.sha256(data).hexdigest()
        analysis = analyse(
            data,
            source=Source(None, "film", None, digest),
            models=self._models,
            reader=self._reader,
            detect_all=True,  # both ways look for findings, whatever seeded weights say
        )
        to_json(analysis.record)
        total_ms = (time.perf_counter() - begun) * 1e3
        record = analysis.record
        if record["status"] != "analysed":
            raise RuntimeError(f"the benchmark's film was rejected: {record['rejection']}")
        parts = {part: record["timings"][f"{part}_ms"] for part in PARTS}
        return {
            "ms": parts | {"total": total_ms},
            "boxes": len(record["findings"]),
            "pdf_bytes": len(analysis.files[REPORT_FILE]),
        }

    def close(self) -> None:
        """End the process that decodes."""
        self._reader.close()
