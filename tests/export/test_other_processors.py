"""int8 on a processor without VNNI, emulated: the same bits, not only the same decisions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.images import film_inputs
from export.pictures import picture
from lambdas.shared.bundle import load_bundle
from lambdas.shared.onnx_model import OnnxModel

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "models" / "demo"
EMULATOR = "qemu-x86_64"

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from lambdas.shared.bundle import load_bundle
from lambdas.shared.onnx_model import OnnxModel
model = OnnxModel(load_bundle(Path(sys.argv[1])), threads=1)
outputs = [model.run(image) for image in np.load(sys.argv[2])]
json.dump([{k: v.tolist() for k, v in o.items()} for o in outputs], open(sys.argv[3], "w"))
"""


def answers(bundle, images, *, folder, emulate):
    """Outputs by image from a process of its own, on a Haswell (AVX2, no VNNI) if emulated."""
    np.save(folder / "images.npy", np.stack(images))
    path = folder / f"answers-{emulate}.json"
    # the interpreter itself: the emulator does not start a virtual environment's link
    command = [os.path.realpath(sys.executable), "-c", PROGRAM]
    command += [str(bundle), str(folder / "images.npy"), str(path)]
    paths = os.pathsep.join([str(REPOSITORY), *(entry for entry in sys.path if entry)])
    emulator = [EMULATOR, "-cpu", "Haswell"] if emulate else []
    subprocess.run(
        [*emulator, *command],
        env=os.environ | {"PYTHONPATH": paths},
        check=True,
        capture_output=True,
        timeout=280,
    )
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", ["classifier", "detector"])
def test_the_demo_models_answer_alike_without_vnni(part, tmp_path):
    if shutil.which(EMULATOR) is None:
        pytest.skip(f"{EMULATOR} is not installed (Debian: qemu-user)")
    bundle = load_bundle(DEMO / part)
    if not bundle.facts["precision"].startswith("int8, calibrated"):
        pytest.skip(f"{part}: computes in float32, there is nothing to compare")
    size = bundle.facts["input"]["height_px"]
    images = [picture(np.random.default_rng(4), size)[None, None]]
    demo = REPOSITORY / "build" / "demo" / "images"
    images += film_inputs([demo], bundle)[:1] if demo.is_dir() else []
    native = answers(DEMO / part, images, folder=tmp_path, emulate=False)
    emulated = answers(DEMO / part, images, folder=tmp_path, emulate=True)
    model = OnnxModel(bundle, threads=1)
    for image, here, there in zip(images, native, emulated, strict=True):
        assert here.keys() == there.keys()
        for name in here:
            np.testing.assert_allclose(here[name], model.run(image)[name], atol=1e-6)
            np.testing.assert_allclose(here[name], there[name], atol=1e-3)
