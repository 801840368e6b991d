"""Validators of other authors, and what each says that is known to be no fault.

dciodvfy (dicom3tools), dsrdump (dcmtk) and DicomSRValidator (pixelmed-apps) are Debian packages;
the npm packages `fhir` and `asl-validator` are looked for in the folder `node_modules` of
CXR_NODE_MODULES, of .venv/node or of the repository. A test whose validator is missing is skipped
and says so.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]

KNOWN = {
    "dciodvfy": {
        r"Unrecognized defined term <99CXRBATCH> .* <Coding Scheme Designator>": (
            "a private scheme starts with 99 (PS3.16 8) and is identified in the object itself"
        ),
        r"would be needed to build DICOMDIR - Study (ID|Time|Date)": (
            "the source has none, and type 2 may be empty"
        ),
        r"Missing attribute Type 2C Conditional Element=<Laterality> Module=<GeneralSeries>": (
            "required of a presentation state only if the body part is paired; the chest is not"
        ),
    },
    "dsrdump": {
        r"The VR checker does not support this Specific Character Set: ISO_IR 192": (
            "dcmtk 3.6.7 checks no UTF-8, which is used only where ASCII does not do"
        ),
    },
    "DicomSRValidator": {
        r"Code \(43468-8,LN,.* not found in context group 100": (
            "its tables are of 2022; the current context group 100 has the code"
        ),
        r"\(130400,DCM,\"Geometric purpose of region\"\): Content Item not in template": (
            "added to TID 1410 by CP-1852, after its tables"
        ),
        r"TEXT \(121106,DCM,\"Comment\"\): Content Item not in template": (
            "TID 1500 is extensible; comments say what every reader must know"
        ),
    },
}
"""By validator: a message as it says it, and why it is none of ours."""

_NODE_FOLDERS = (
    Path(os.environ.get("CXR_NODE_MODULES", "/nonexistent")),
    REPOSITORY / ".venv" / "node",
    REPOSITORY,
)

_FHIR_SCRIPT = """
const {Fhir} = require('fhir');
const resource = JSON.parse(require('fs').readFileSync(0));
process.stdout.write(JSON.stringify(new Fhir().validate(resource, {errorOnUnexpected: true})));
"""

_ASL_SCRIPT = """
const definition = JSON.parse(require('fs').readFileSync(0));
const said = require('asl-validator')(definition, {checkPaths: true, checkArn: true});
process.stdout.write(JSON.stringify(said));
"""


def dciodvfy(content: bytes, folder: Path) -> list[str]:
    """What the validator of object definitions has against a file."""
    said = _run("dciodvfy", content, folder)
    return _unknown("dciodvfy", [line for line in said if re.match(r"(Error|Warning) - ", line)])


def dsrdump(content: bytes, folder: Path) -> tuple[list[str], list[str]]:
    """A structured report as dcmtk reads it, line by line; and what dcmtk has against it."""
    said = _run("dsrdump", content, folder, "+Pl")
    faults = [line for line in said if re.match(r"[EFW]: ", line)]
    return [line for line in said if line not in faults], _unknown("dsrdump", faults)


def dicom_sr_validator(content: bytes, folder: Path) -> list[str]:
    """What the validator of report templates has against a file."""
    limits = ("TotalOpLimit", "ExprOpLimit", "ExprGrpLimit")
    options = " ".join(f"-Djdk.xml.xpath{limit}=0" for limit in limits)
    said = _run("DicomSRValidator", content, folder, JAVA_TOOL_OPTIONS=options)
    assert any("Root Template Validation Complete" in line for line in said), said
    return _unknown("DicomSRValidator", [line for line in said if re.match("Error|Warning", line)])


def npm_fhir(content: bytes) -> list[str]:
    """What the npm package `fhir` has against an R4 resource, but for value sets it lacks."""
    found = _node("fhir@4.12.0", _FHIR_SCRIPT, content)
    faults = [each for each in found["messages"] if each["severity"] in ("error", "fatal")]
    assert found["valid"] is (not faults)
    return [f"{each['location']}: {each['message']}" for each in faults]


def asl_validator(definition: dict[str, Any]) -> list[str]:
    """What the npm package `asl-validator` has against a state machine."""
    found = _node("asl-validator@4.0.0", _ASL_SCRIPT, json.dumps(definition).encode())
    faults = [each["Message"] for each in found["errors"]]
    assert found["isValid"] is (not faults)
    return faults


def _node(package: str, script: str, content: bytes) -> Any:
    """What a script says in JSON about content on its standard input."""
    name = package.partition("@")[0]
    folders = [folder for folder in _NODE_FOLDERS if (folder / "node_modules" / name).is_dir()]
    if not folders or not shutil.which("node"):
        pytest.skip(f"no node, or no npm package: npm install --prefix .venv/node {package}")
    answer = subprocess.run(
        ["node", "-e", script],
        input=content,
        cwd=folders[0],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(answer.stdout)


def _run(tool: str, content: bytes, folder: Path, *options: str, **environment: str) -> list[str]:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed: apt-get install dicom3tools dcmtk pixelmed-apps")
    path = folder / f"{tool}.dcm"
    path.write_bytes(content)
    done = subprocess.run(
        [tool, *options, path],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return (done.stdout + done.stderr).splitlines()


def _unknown(tool: str, messages: list[str]) -> list[str]:
    """Messages that are not among the known ones."""
    return [
        message
        for message in messages
        if not any(re.search(known, message) for known in KNOWN[tool])
    ]
