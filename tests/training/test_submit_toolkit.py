"""The trainers under SageMaker's own training toolkit, in a simulated /opt/ml, killed and resumed.

The toolkit runs in an environment of its own, kept in build/sagemaker-toolkit, and borrows torch
and the rest from this one. Where it cannot be installed, the test says so and is skipped.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("boto3")

from training.checkpointing import load_plain  # noqa: E402
from training.config import parse  # noqa: E402
from training.sagemaker_code import code_archive  # noqa: E402
from training.sagemaker_jobs import SageMakerSettings, metric_definitions  # noqa: E402
from training.submit import training_calls  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).parents[2]
TOOLKIT = REPOSITORY / "build" / "sagemaker-toolkit"
VERSION = "5.1.4"

FLAGS = {
    "max-steps": 4,
    "image-size": 64,
    "batch-size": 4,
    "threads": 1,
    "checkpoint-steps": 1,
    "patience": 0,
}

CASES = {
    "classifier": ("efficientnet_b4_best.pth", {"localisation_weight": "1"}),
    "detector": ("final_model.pth", {"regions": "16", "classes": "5"}),
}


FRAMEWORK = """
from sagemaker_training import entry_point, environment


def main():
    env = environment.Environment()
    entry_point.run(
        env.module_dir, env.user_entry_point, env.to_cmd_args(), env.to_env_vars(),
        capture_error=True,
    )
"""
"""What AWS's PyTorch image puts between the toolkit and the script."""


@pytest.fixture(scope="module")
def toolkit():
    """The toolkit's `train` command."""
    TOOLKIT.parent.mkdir(exist_ok=True)
    # tests may run in several processes: one installs, the others wait
    with TOOLKIT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install()
    # behind the toolkit's own packages: torch, timm and what requirements.txt names
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    borrowed = TOOLKIT / "lib" / version / "site-packages" / "borrowed.pth"
    borrowed.write_text(sysconfig.get_paths()["purelib"] + "\n")
    return TOOLKIT / "bin" / "train"


def _install():
    if (TOOLKIT / "bin" / "train").exists():
        return
    pip = [str(TOOLKIT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(TOOLKIT)], check=True, timeout=120)
        subprocess.run(
            [*pip, f"sagemaker-training=={VERSION}"],
            check=True,
            timeout=600,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        told = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        pytest.skip(f"sagemaker-training {VERSION} cannot be installed: {told[-1]}")


@dataclass(frozen=True)
class Container:
    """A simulated /opt/ml with the job that `training.submit` would create."""

    root: Path
    command: Path

    def start(self):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SM_")
        }
        environment |= {
            "SAGEMAKER_BASE_DIR": str(self.root),
            "PATH": f"{self.command.parent}:{os.environ['PATH']}",
            "SAGEMAKER_TRAINING_MODULE": "framework:main",
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
            "CXR_CODE_VERSION": "toolkit-test",
        }
        # a session of its own: a lost machine takes toolkit and script with it
        return subprocess.Popen(
            [str(self.command)],
            env=environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self):
        process = self.start()
        output, _ = process.communicate(timeout=500)
        return process.returncode, output


def _container(root, command, model, flags, data):
    settings = parse(
        SageMakerSettings,
        [],
        environment={},
        given_by_file={
            "role_arn": "arn:aws:iam::123456789012:role/x",
            "bucket": "b",
            "data": "s3://b/data",
            "image": "image",
            "models": [model],
            f"{model}_hyperparameters": [
                f"{name}={value}"
                for name, value in {
                    **FLAGS,
                    **flags,
                    "checkpoint-dir": str(root / "checkpoints"),
                }.items()
            ],
        },
    )
    calls = training_calls(
        settings, archive=b"", moment=datetime(2026, 1, 1, tzinfo=UTC), version="v"
    )
    job = calls[-1][2]
    config = root / "input" / "config"
    config.mkdir(parents=True)
    archive = root / "sourcedir.tar.gz"
    archive.write_bytes(code_archive())
    # SageMaker would fetch the archive from S3; a path is taken as it is
    hyperparameters = job["HyperParameters"] | {
        "sagemaker_submit_directory": json.dumps(str(archive))
    }
    channel = job["InputDataConfig"][0]["ChannelName"]
    for name, content in {
        "hyperparameters": hyperparameters,
        "resourceconfig": {
            "current_host": "localhost",
            "hosts": ["localhost"],
            "network_interface_name": "lo",
        },
        "inputdataconfig": {
            channel: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
        },
    }.items():
        (config / f"{name}.json").write_text(json.dumps(content))
    (root / "input" / "data").mkdir()
    (root / "framework.py").write_text(FRAMEWORK)
    # SageMaker makes it; without it the toolkit hides a failure behind status 0
    (root / "output").mkdir()
    (root / "input" / "data" / channel).symlink_to(data, target_is_directory=True)
    return Container(root=root, command=command)


def _kill_after_first_checkpoint(container):
    process = container.start()
    state = container.root / "checkpoints" / "training_state.pt"
    deadline = time.monotonic() + 300
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output


@pytest.mark.parametrize("model", list(CASES))
def test_a_spot_job_that_is_interrupted_ends_as_one_that_was_not(
    model, toolkit, prepared_phantoms, tmp_path
):
    file_name, flags = CASES[model]
    whole, killed = (
        _container(tmp_path / name, toolkit, model, flags, prepared_phantoms)
        for name in ("whole", "killed")
    )
    status, output = whole.run()
    assert status == 0, output
    figure = "validation:auroc" if model == "classifier" else "train:loss"
    regex = next(d["Regex"] for d in metric_definitions(model) if d["Name"] == figure)
    assert re.findall(regex, output), output
    _kill_after_first_checkpoint(killed)
    assert not (killed.root / "model" / file_name).exists()
    status, output = killed.run()
    assert status == 0, output
    assert "resumed from" in output
    first, second = (load_plain(c.root / "model" / file_name) for c in (whole, killed))
    for name, value in first["model_state_dict"].items():
        assert torch.equal(value, second["model_state_dict"][name]), name
    assert first["code_version"] == "toolkit-test"
    assert (whole.root / "model" / "config.json").exists()
    assert (whole.root / "output" / "data" / "curves.png").exists()


def test_a_failing_job_leaves_its_reason_where_sagemaker_reads_it(
    toolkit, prepared_phantoms, tmp_path
):
    flags = {"backbone_weights": "absent.pth"}
    container = _container(tmp_path / "ml", toolkit, "classifier", flags, prepared_phantoms)
    status, output = container.run()
    assert status != 0
    told = "--backbone-weights: no file absent.pth"
    assert f"train_classifier: {told}" in output
    assert told in (container.root / "output" / "failure").read_text()
