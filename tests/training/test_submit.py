"""training/submit.py: what is sent, and that moto and boto3's model of the API take it."""

import io
import json
import re
import subprocess
import tarfile

import pytest

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")

from botocore.stub import Stubber  # noqa: E402
from botocore.validate import ParamValidator  # noqa: E402

from lambdas.shared.errors import ConfigError  # noqa: E402
from tests.training.submission import FLAGS, KEY, MOMENT, ROLE, settings_of  # noqa: E402
from training import submit as submission  # noqa: E402
from training.sagemaker_code import code_archive, code_key  # noqa: E402
from training.sagemaker_jobs import metric_definitions  # noqa: E402
from training.submit import main, submit  # noqa: E402


@pytest.fixture(autouse=True)
def _no_account(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def services():
    with moto.mock_aws():
        clients = {
            name: boto3.client(name, region_name="eu-west-1")
            for name in ("s3", "sagemaker", "logs")
        }
        place = {"LocationConstraint": "eu-west-1"}
        clients["s3"].create_bucket(Bucket="hospital-models", CreateBucketConfiguration=place)
        yield clients


def _valid(operation, arguments):
    """Hold arguments against boto3's model of the API; a pipeline's references count as text."""
    client = boto3.client("sagemaker", region_name="eu-west-1")
    shape = client.meta.service_model.operation_model(operation).input_shape
    report = ParamValidator().validate(_filled_in(arguments), shape)
    assert not report.has_errors(), report.generate_report()


def _filled_in(value):
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            return "s3://filled/in"
        if set(value) == {"Std:Join"}:
            return "/".join(_filled_in(part) for part in value["Std:Join"]["Values"])
        return {key: _filled_in(part) for key, part in value.items()}
    return [_filled_in(part) for part in value] if isinstance(value, list) else value


def test_train_starts_one_job_for_each_model(services, capsys):
    settings = settings_of(detector_hyperparameters=["classes=8", "variant=balanced"])
    assert submit("train", settings, clients=lambda: services, moment=MOMENT) == 0
    names = ["cxr-classifier-20260102-030405", "cxr-detector-20260102-030405"]
    shown = capsys.readouterr().out
    assert all(f"job {name}\n" in shown for name in names)
    jobs = [services["sagemaker"].describe_training_job(TrainingJobName=name) for name in names]
    classifier, detector = jobs
    assert classifier["EnableManagedSpotTraining"] is True
    assert classifier["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 24 * 3600,
        "MaxWaitTimeInSeconds": 48 * 3600,
    }
    assert classifier["CheckpointConfig"] == {
        "S3Uri": f"s3://hospital-models/cxr-batch/training/checkpoints/{names[0]}",
        "LocalPath": "/opt/ml/checkpoints",
    }
    source = classifier["InputDataConfig"][0]
    assert source["ChannelName"] == "training"
    assert source["DataSource"]["S3DataSource"]["S3Uri"] == "s3://hospital-data/prepared"
    told = {k: json.loads(v) for k, v in detector["HyperParameters"].items()}
    assert told["sagemaker_program"] == "training/train_detector.py"
    assert (told["classes"], told["variant"]) == ("8", "balanced")
    # the code that the job names is where it says
    bucket, key = re.fullmatch(r"s3://([^/]+)/(.+)", told["sagemaker_submit_directory"]).groups()
    stored = services["s3"].get_object(Bucket=bucket, Key=key)["Body"].read()
    assert stored == code_archive()


def test_vpc_and_keys_reach_the_request():
    settings = settings_of(
        subnets=["subnet-1", "subnet-2"],
        security_groups=["sg-1"],
        kms_key=KEY,
        spot=False,
        instance_type="ml.p3.2xlarge",
    )
    calls = submission.training_calls(settings, archive=b"code", moment=MOMENT, version="v1")
    upload, job = calls[0][2], calls[1][2]
    assert upload["SSEKMSKeyId"] == KEY
    assert upload["ServerSideEncryption"] == "aws:kms"
    assert job["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    assert job["OutputDataConfig"]["KmsKeyId"] == KEY
    assert job["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    assert job["EnableManagedSpotTraining"] is False
    assert "MaxWaitTimeInSeconds" not in job["StoppingCondition"]
    assert job["Environment"]["CXR_CODE_VERSION"] == "v1"
    _valid("CreateTrainingJob", job)


def test_an_instance_with_its_own_disk_gets_no_volume_key():
    # SageMaker refuses VolumeKmsKeyId there: the disk is encrypted in hardware
    settings = settings_of(kms_key=KEY, instance_type="ml.g5.xlarge")
    job = submission.training_calls(settings, archive=b"", moment=MOMENT, version="v")[1][2]
    assert "VolumeKmsKeyId" not in job["ResourceConfig"]


def test_dry_run_prints_all_and_sends_nothing(capsys):
    def refuse():
        raise AssertionError("a client was made")

    settings = settings_of(dry_run=True)
    for command, calls in (
        ("train", ["s3.put_object", *["sagemaker.create_training_job"] * 2]),
        (
            "pipeline",
            [
                "s3.put_object",
                *["sagemaker.create_model_package_group"] * 2,
                "sagemaker.create_pipeline",
            ],
        ),
    ):
        assert submit(command, settings, clients=refuse, moment=MOMENT) == 0
        shown = json.loads(capsys.readouterr().out)
        assert [entry["call"] for entry in shown] == calls
        assert re.fullmatch(r"<\d+ bytes>", shown[0]["arguments"]["Body"])


@pytest.fixture
def definition(services):
    settings = settings_of(subnets=["subnet-1"], security_groups=["sg-1"], kms_key=KEY)
    assert submit("pipeline", settings, clients=lambda: services, moment=MOMENT) == 0
    found = services["sagemaker"].describe_pipeline(PipelineName="cxr-batch-training")
    assert found["RoleArn"] == ROLE
    return json.loads(found["PipelineDefinition"])


def test_the_pipeline_has_all_steps_in_an_order_that_can_run(definition):
    steps = {step["Name"]: step for step in definition["Steps"]}
    assert [(name, step["Type"]) for name, step in steps.items()] == [
        ("Prepare", "Processing"),
        ("TrainClassifier", "Training"),
        ("TrainDetector", "Training"),
        ("Evaluate", "Processing"),
        ("Export", "Processing"),
        ("RegisterClassifier", "RegisterModel"),
        ("RegisterDetector", "RegisterModel"),
    ]
    seen, parameters = set(), {entry["Name"] for entry in definition["Parameters"]}
    needs = {}
    for name, step in steps.items():
        told = json.dumps(step)
        needs[name] = set(re.findall(r'"Steps\.(\w+)\.', told)) | set(step.get("DependsOn", []))
        assert needs[name] <= seen, f"{name} needs a step that comes later"
        assert set(re.findall(r'"Parameters\.(\w+)"', told)) <= parameters
        seen.add(name)
    assert needs == {
        "Prepare": set(),
        "TrainClassifier": {"Prepare"},
        "TrainDetector": {"Prepare"},
        "Evaluate": {"Prepare", "TrainClassifier", "TrainDetector"},
        "Export": {"Prepare", "Evaluate", "TrainClassifier", "TrainDetector"},
        "RegisterClassifier": {"Export"},
        "RegisterDetector": {"Export"},
    }


def test_every_reference_names_an_output_that_exists(definition):
    outputs = {
        (step["Name"], output["OutputName"])
        for step in definition["Steps"]
        if step["Type"] == "Processing"
        for output in step["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    }
    named = set(
        re.findall(
            r"Steps\.(\w+)\.ProcessingOutputConfig\.Outputs\['(\w+)'\]", json.dumps(definition)
        )
    )
    assert named == {("Prepare", "prepared"), ("Export", "report"), ("Export", "bundles")}
    assert named <= outputs


def test_every_step_is_a_valid_request(definition):
    """boto3's model of the API judges each step's arguments, with the name a step may omit."""
    for step in definition["Steps"]:
        arguments = step["Arguments"]
        if step["Type"] == "Training":
            _valid("CreateTrainingJob", {"TrainingJobName": "x", **arguments})
            assert arguments["VpcConfig"]["Subnets"] == ["subnet-1"]
            assert arguments["OutputDataConfig"]["KmsKeyId"] == KEY
        elif step["Type"] == "Processing":
            _valid("CreateProcessingJob", {"ProcessingJobName": "x", **arguments})
            assert arguments["NetworkConfig"]["VpcConfig"]["SecurityGroupIds"] == ["sg-1"]
            assert arguments["ProcessingOutputConfig"]["KmsKeyId"] == KEY
            cluster = arguments["ProcessingResources"]["ClusterConfig"]
            assert cluster["VolumeKmsKeyId"] == KEY
        else:
            _valid("CreateModelPackage", arguments)


def test_every_step_runs_a_module_that_exists_with_paths_that_are_mounted(definition):
    with tarfile.open(fileobj=io.BytesIO(code_archive())) as archive:
        names = set(archive.getnames())
    for step in definition["Steps"]:
        if step["Type"] == "Training":
            program = json.loads(step["Arguments"]["HyperParameters"]["sagemaker_program"])
            assert program in names
        if step["Type"] != "Processing":
            continue
        module, *words = step["Arguments"]["AppSpecification"]["ContainerArguments"]
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__main__.py"} & names, module
        mounted = [i["S3Input"]["LocalPath"] for i in step["Arguments"]["ProcessingInputs"]]
        written = [
            o["S3Output"]["LocalPath"]
            for o in step["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        ]
        for word in words:
            if isinstance(word, str) and word.startswith("/opt/ml"):
                # a folder that is mounted or written, a file in one, or the folder of all inputs
                places = (*mounted, *written)
                assert word.startswith(places) or any(p.startswith(word + "/") for p in places), (
                    word
                )


def test_a_steps_shell_unpacks_what_came_in_and_runs_the_module(definition, tmp_path):
    """The Export step's own command line, with its folders moved and `python` only noting calls."""
    step = next(s for s in definition["Steps"] if s["Name"] == "Export")
    specification = step["Arguments"]["AppSpecification"]
    command = [*specification["ContainerEntrypoint"], *specification["ContainerArguments"]]
    for name, files in {
        "code": {"training/prepare.py": b"", "requirements.txt": b""},
        "classifier": {"efficientnet_b4_best.pth": b"weights"},
    }.items():
        folder = tmp_path / "input" / name
        folder.mkdir(parents=True)
        with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
            for path, content in files.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    (tmp_path / "output" / "bundles" / "classifier").mkdir(parents=True)
    (tmp_path / "output" / "bundles" / "classifier" / "model.json").write_text("{}")
    noting = tmp_path / "bin" / "python"
    noting.parent.mkdir()
    noting.write_text('#!/bin/sh\necho "$PWD: $*" >> "$CALLS"\n')
    noting.chmod(0o755)
    moved = [word.replace("/opt/ml/processing", str(tmp_path)) for word in command]
    environment = {"PATH": f"{noting.parent}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")}
    subprocess.run(moved, check=True, env=environment, timeout=60)
    source, made = tmp_path / "input", tmp_path / "output"
    assert (source / "classifier" / "efficientnet_b4_best.pth").read_bytes() == b"weights"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split(": ", 1)[0] for call in calls] == [str(source / "code")] * 3
    assert [call.split(": ", 1)[1] for call in calls] == [
        "-m pip install --quiet -r requirements.txt",
        f"-m export {source}/classifier/efficientnet_b4_best.pth "
        f"{source}/detector/final_model.pth --out {made}/bundles",
        f"-m training.evaluate --data {source}/prepared --models {made}/bundles "
        f"--out {made}/report --write-operating-point",
    ]
    with tarfile.open(made / "bundles" / "classifier.tar.gz") as archive:
        assert "./model.json" in archive.getnames()


def test_submitting_the_pipeline_again_updates_it(services, capsys):
    settings = settings_of()
    submit("pipeline", settings, clients=lambda: services, moment=MOMENT)
    other = settings_of(instance_type="ml.g6.2xlarge", start=True)
    assert submit("pipeline", other, clients=lambda: services, moment=MOMENT) == 0
    found = services["sagemaker"].describe_pipeline(PipelineName="cxr-batch-training")
    assert "ml.g6.2xlarge" in found["PipelineDefinition"]
    assert len(services["sagemaker"].list_pipelines()["PipelineSummaries"]) == 1
    runs = services["sagemaker"].list_pipeline_executions(PipelineName="cxr-batch-training")
    assert len(runs["PipelineExecutionSummaries"]) == 1
    groups = services["sagemaker"].list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert {g["ModelPackageGroupName"] for g in groups} == {
        "cxr-batch-classifier",
        "cxr-batch-detector",
    }


def test_a_refused_job_is_said_plainly(services):
    with Stubber(services["sagemaker"]) as refusing:
        refusing.add_client_error(
            "create_training_job", "ResourceLimitExceeded", "ml.g5.xlarge for spot: 0 instances"
        )
        with pytest.raises(ConfigError, match=r"create_training_job was refused.*0 instances"):
            submit("train", settings_of(), clients=lambda: services, moment=MOMENT)


def test_the_archive_is_what_script_mode_needs():
    with tarfile.open(fileobj=io.BytesIO(code_archive())) as archive:
        names = archive.getnames()
    for name in (
        "training/train_classifier.py",
        "training/train_detector.py",
        "lambdas/__init__.py",
        "lambdas/shared/preprocess.py",
        "lambdas/shared/record.schema.json",
        "requirements.txt",
    ):
        assert name in names
    # either would make the toolkit install a package instead of running the script
    assert not {"setup.py", "pyproject.toml"} & set(names)
    assert not [
        name for name in names if "__pycache__" in name or name.startswith("lambdas/classify")
    ]
    assert code_archive() == code_archive()
    assert code_key("p", code_archive()) != code_key("p", b"other")


@pytest.mark.parametrize("model", ["classifier", "detector"])
def test_metric_definitions_are_within_sagemakers_limits(model):
    found = metric_definitions(model)
    assert len(found) <= 40
    assert len({entry["Name"] for entry in found}) == len(found)
    for entry in found:
        assert re.compile(entry["Regex"]).groups == 1
        assert len(entry["Regex"]) <= 500


def test_settings_come_from_a_file_and_flags_go_before_it(tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**FLAGS, "spot": False, "volume_gb": 50}))
    assert main(["train", "--settings", str(path), "--dry-run", "--volume-gb", "70"]) == 0
    job = json.loads(capsys.readouterr().out)[1]["arguments"]
    assert job["ResourceConfig"]["VolumeSizeInGB"] == 70
    assert job["EnableManagedSpotTraining"] is False


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("not json", "is no readable JSON file"),
        ("[]", "holds no JSON object"),
        ('{"buckett": "x"}', "the settings file names unknown settings: buckett"),
        ("{}", "--role-arn is needed; --bucket is needed; --data is needed; --image is needed"),
    ],
)
def test_a_wrong_settings_file_gets_one_sentence(content, expected, tmp_path, capsys):
    path = tmp_path / "settings.json"
    path.write_text(content)
    assert main(["train", "--settings", str(path)]) == 1
    assert expected in capsys.readouterr().err


def test_without_a_command_the_usage_is_shown(capsys):
    assert main([]) == 2
    assert "python -m training.submit train" in capsys.readouterr().err
