"""What a result is to a program: record.json with types, and the files beside it.

`record` is the record itself (lambdas/shared/RECORD.md); the other attributes are what most
programs ask of it. All is read-only.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from lambdas.shared.boxes import PixelBox, UnitBox
from lambdas.shared.errors import ContractError, InvalidRequestError
from lambdas.shared.findings import Code
from lambdas.shared.records import RECORD_FILE, Record, to_json

Status = Literal["analysed", "rejected"]


@dataclass(frozen=True, slots=True)
class LocalisedFinding:
    """One finding with its box.

    Attributes:
        number: From 1, highest score first; as numbered in the report.
        label: The detector's.
        code: Public concept; None where there is none.
        score: The detector's, 0 to 1; no probability.
        threshold: Operating point that the score reached.
        box: Edges in pixels of the image as stored, origin top left.
        box_normalised: The same as fractions of width and height.
    """

    number: int
    label: str
    code: Code | None
    score: float
    threshold: float
    box: PixelBox
    box_normalised: UnitBox


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an image was not analysed.

    Attributes:
        code: One of `lambdas.shared.errors.REJECTION_CODES`.
        message: A sentence that says what to do.
    """

    code: str
    message: str


@dataclass(frozen=True)
class ImageResult:
    """What became of one image.

    Attributes:
        record: record.json as it is; do not change it.
        address: Where it lies: `s3://…/record.json`, or a path.
    """

    record: Record = field(repr=False)
    address: str
    _read: Callable[[str], bytes] = field(repr=False, compare=False)

    @property
    def image_id(self) -> str:
        """Names the image without saying anything of it; 32 hex."""
        return str(self.record["image_id"])

    @property
    def model_set(self) -> str:
        """Which models made it; 16 hex."""
        return str(self.record["model_set"])

    @property
    def status(self) -> Status:
        """`analysed`, or `rejected` with the reason in `rejection`."""
        status: Status = self.record["status"]
        return status

    @property
    def rejection(self) -> Rejection | None:
        """Why the image was not analysed; None if it was."""
        found = self.record["rejection"]
        return Rejection(**found) if found else None

    @property
    def label(self) -> str | None:
        """The classifier's word, such as `Abnormal`; None for a rejected image."""
        found: str | None = self._of_triage("label")
        return found

    @property
    def positive(self) -> bool | None:
        """Whether label is the positive one, whatever the models call it; None if rejected."""
        found: bool | None = self._of_triage("positive")
        return found

    @property
    def probability(self) -> float | None:
        """Of the positive label, 0 to 1; only a score unless `calibrated`. None if rejected."""
        found: float | None = self._of_triage("probability")
        return found

    @property
    def threshold(self) -> float | None:
        """Operating point: positive from this probability. None if rejected."""
        found: float | None = self._of_triage("threshold")
        return found

    @property
    def calibrated(self) -> bool | None:
        """Whether probability is one. None if rejected."""
        found: bool | None = self._of_triage("calibrated")
        return found

    @functools.cached_property
    def findings(self) -> tuple[LocalisedFinding, ...] | None:
        """Highest score first; None where nothing was looked for, which is not "none found"."""
        if not (self.record["detection"] or {}).get("performed"):
            return None
        return tuple(
            LocalisedFinding(
                number=number,
                label=found["label"],
                code=Code(**found["code"]) if found["code"] else None,
                score=found["score"],
                threshold=found["threshold"],
                box=PixelBox(**found["box"]),
                box_normalised=UnitBox(**found["box_normalised"]),
            )
            for number, found in enumerate(self.record["findings"], start=1)
        )

    @property
    def detectable(self) -> tuple[str, ...]:
        """Findings that the detector knows; any other is not assessed."""
        return tuple((self.record["detection"] or {}).get("detectable", ()))

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height as stored; None where the image could not be read so far."""
        image = self.record["image"]
        return (image["width_px"], image["height_px"]) if image else None

    @property
    def source_key(self) -> str:
        """Key or path of the image. It may name a patient: treat it as such."""
        return str(self.record["source"]["key"])

    @property
    def source_tags(self) -> Mapping[str, str]:
        """DICOM attributes that the operator chose to carry; by default none."""
        found: dict[str, str] = self.record.get("source_tags") or {}
        return found

    @property
    def finished_at(self) -> datetime:
        """When the record was made, with its offset from UTC."""
        return datetime.fromisoformat(self.record["timings"]["finished_at"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that every display of the result must show."""
        return tuple(self.record["warnings"])

    @property
    def outputs(self) -> Mapping[str, str]:
        """The other files by role: `report`, `thumbnail`, `fhir`, `dicom-sr` and so on."""
        found: dict[str, str] = self.record["outputs"]
        return found

    def read(self, role: str) -> bytes:
        """Content of one of `outputs`.

        Raises:
            InvalidRequestError: There is none of this role.
            TransientError: It cannot be read now.
        """
        if role not in self.outputs:
            known = ", ".join(self.outputs) or "none"
            raise InvalidRequestError(f"the result has no output {role!r}; it has {known}")
        name = PurePosixPath(self.outputs[role])
        if name.is_absolute() or ".." in name.parts:
            raise InvalidRequestError(f"output {role!r} lies outside of the result; not read")
        return self._read(self.outputs[role])

    def report(self) -> bytes:
        """The report, PDF."""
        return self.read("report")

    def save(self, folder: Path | str) -> Path:
        """Write record.json and all outputs below a folder named after the image_id.

        Returns:
            That folder.
        """
        place = Path(folder) / self.image_id
        for role, name in self.outputs.items():
            content = self.read(role)
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        place.mkdir(parents=True, exist_ok=True)
        (place / RECORD_FILE).write_bytes(to_json(self.record))
        return place

    def _of_triage(self, name: str) -> Any:
        return (self.record["triage"] or {}).get(name)


def parse_result(content: bytes, *, address: str, read: Callable[[str], bytes]) -> ImageResult:
    """A result from the content of its record.json.

    Args:
        content: Of the file.
        address: Where it lies.
        read: Gives a file beside it by name.

    Raises:
        ContractError: It is no record, or of a major version that this program does not know.
    """
    try:
        record = json.loads(content)
        major = record["schema_version"].split(".")[0]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ContractError("a file called record.json is no record") from None
    if major != "1":
        raise ContractError("a record has another major version; install the version that wrote it")
    return ImageResult(record, address, read)
