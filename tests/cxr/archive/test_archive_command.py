"""`cxr archive` as it is typed; functions run in tests/infra/test_local_archive.py."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest

from cxr.archive import actions
from cxr.archive.executions import StateMachine
from cxr.archive.files import JobFiles, load_runs
from cxr.archive.local_run import is_held, job_lock
from cxr.archive.place import Place
from cxr.cli import main
from lambdas.batch.job import job_key
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import image_id_of, result_key
from tests.cxr.archive.jobs import JOB, failure, write_job, write_outcome, write_state, write_wave
from tests.cxr.archive.test_executions import machine
from tests.cxr.cloud.conftest import MODEL_SET
from tests.cxr.cloud.conftest import Place as CloudPlace

__all__ = ["machine"]

ARCHIVE = "s3://cxr-intake/archive/"


def put(place: CloudPlace, count: int) -> list[dict[str, Any]]:
    s3 = place.client("s3")
    return [
        s3.put_object(Bucket="cxr-intake", Key=f"archive/{number}.dcm", Body=b"x" * 1000)
        for number in range(count)
    ]


def test_a_plan_counts_what_is_there_and_done(place: CloudPlace) -> None:
    first, *_ = put(place, 5)
    image_id = image_id_of("cxr-intake", "archive/0.dcm", first["VersionId"])
    place.client("s3").put_object(
        Bucket="cxr-results", Key=result_key(MODEL_SET, image_id, "record.json"), Body=b"{}"
    )
    plan = place.json("archive", "plan", ARCHIVE, "--max-cost", "3", "--batch-images", "2")
    assert (plan["images"], plan["size_bytes"], plan["already_done"], plan["to_do"]) == (
        5,
        5000,
        1,
        4,
    )
    assert (plan["batches"], plan["max_cost_usd"]) == (3, 3.0)
    assert plan["expected_usd"] == pytest.approx(sum(plan["cost_usd"].values()), abs=1e-5)
    assert plan["worst_usd"] > plan["expected_usd"] > 0
    code, out, _ = place.run("archive", "plan", ARCHIVE, "--max-cost", "3")
    assert code == 0
    assert "not on the AWS bill" in " ".join(out.split())
    assert "0.dcm" not in out


def test_a_list_without_versions_says_that_it_cannot_be_known(
    place: CloudPlace, tmp_path: Path
) -> None:
    put(place, 2)
    listed = tmp_path / "list.csv"
    listed.write_text("bucket,key\ncxr-intake,archive/0.dcm\ncxr-intake,archive/1.dcm\n")
    plan = place.json("archive", "plan", "--list", str(listed))
    assert (plan["images"], plan["size_bytes"], plan["unknown_whether_done"]) == (2, None, 2)
    _, out, _ = place.run("archive", "plan", "--list", str(listed))
    assert "known only once each is looked up" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan", "s3://no-such-bucket/"], "does not exist"),
        (["plan", "scans/"], "cxr upload"),
        (["plan", ARCHIVE, "--formats", "pdf2"], "pdf2"),
        (["plan", ARCHIVE, "--batch-images", "100000"], "at most"),
        (["plan", ARCHIVE, "--name", "a b"], "letters, digits"),
        (["status", "night"], "there is no job night"),
        (["start", ARCHIVE, "--models", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_words(
    place: CloudPlace, arguments: list[str], says: str
) -> None:
    code, _, err = place.run("archive", *arguments)
    assert code == 2
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("amount", ["0", "-1", "much", "nan", "inf"])
def test_a_budget_is_an_amount(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", "plan", ARCHIVE, "--max-cost", amount]) == 2
    assert "no amount of US dollars" in capsys.readouterr().err


def test_models_that_differ_from_the_clouds_are_refused(
    place: CloudPlace, tiny_models_folder: Path
) -> None:
    code, _, err = place.run("archive", "start", ARCHIVE, "--models", str(tiny_models_folder))
    assert code == 2
    assert "with --models" in err


def test_jobs_are_listed(place: CloudPlace) -> None:
    _, out, _ = place.run("archive", "status")
    assert "No archive jobs yet" in out
    files = JobFiles(place.client("s3"), "cxr-results")
    write_job(files)
    write_state(files, status="done", planned=1, folded=1)
    (listed,) = place.json("archive", "status")["jobs"]
    assert (listed["job"], listed["status"]) == (JOB, "done")


def test_a_report_is_written_here_and_beside_the_job(place: CloudPlace, tmp_path: Path) -> None:
    files = JobFiles(place.client("s3"), "cxr-results")
    write_job(files)
    write_wave(files, 1, [[1, 2]])
    write_outcome(files, 1, 0, analysed=1, failures=(failure(2),))
    write_state(files, status="done", planned=1, folded=1)
    code, out, _ = place.run("archive", "report", JOB, "--out", str(tmp_path / "new"))
    assert code == 1  # an image failed
    assert failure(2).image.key not in out
    document = json.loads((tmp_path / "new" / "night-report.json").read_text())
    assert document == files.read_json("jobs/night/report.json")
    page = (tmp_path / "new" / "night-report.html").read_text()
    assert failure(2).image.key in page


def test_nothing_runs_that_could_be_stopped(place: CloudPlace) -> None:
    files = JobFiles(place.client("s3"), "cxr-results")
    write_job(files)
    code, _, err = place.run("archive", "stop", JOB)
    assert (code, "is not running: interrupted" in err) == (2, True)


def test_a_job_is_run_by_one_command_at_a_time() -> None:
    with job_lock("http://here", JOB):
        assert is_held("http://here", JOB)
        assert not is_held("http://there", JOB)
        with (
            pytest.raises(InvalidRequestError, match="cxr archive watch night"),
            job_lock("http://here", JOB),
        ):
            pass
    assert not is_held("http://here", JOB)


class OnAws:
    """A deployment on AWS, as the actions see one."""

    local = False
    endpoint = ""

    def __init__(self, files: JobFiles, machine: StateMachine, source: str) -> None:
        self.files, self.machine, self.source = files, machine, source
        self.deployment: Any = self
        self.cloud = self
        self.model_set = "0123456789abcdef"

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name="us-east-1")

    def output(self, name: str) -> str:
        return {"ArchiveArchitecture": "arm64", "ArchiveConcurrency": "100"}[name]

    follower = Place.follower
    check_idle = Place.check_idle


@pytest.fixture
def on_aws(
    files: JobFiles, machine: StateMachine, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> OnAws:
    s3.create_bucket(Bucket="pacs")
    s3.put_bucket_versioning(Bucket="pacs", VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket="pacs", Key=f"2019/{number}.dcm", Body=b"x")
    place = OnAws(files, machine, "s3://pacs/2019/")
    monkeypatch.setattr(machine, "map_run", lambda execution: None)
    monkeypatch.setattr(actions, "Place", lambda options: place)
    return place


def test_on_aws_a_start_is_an_execution(on_aws: OnAws, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["archive", "start", on_aws.source, "--name", JOB, "--max-cost", "5"]
    assert main(arguments) == 2
    assert "add --yes" in capsys.readouterr().err
    assert not on_aws.files.exists(job_key(JOB))
    assert main([*arguments, "--yes"]) == 0
    assert "cxr archive watch night" in capsys.readouterr().out
    (run,) = load_runs(on_aws.files, JOB)
    assert run.execution == on_aws.machine.running(JOB)
    assert main([*arguments, "--yes"]) == 2
    assert "there is a job night already" in capsys.readouterr().err


def test_on_aws_a_running_job_is_neither_resumed_nor_lost(
    on_aws: OnAws, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["archive", "start", on_aws.source, "--name", JOB, "--yes"]) == 0
    assert main(["archive", "resume", JOB]) == 2
    assert "is running" in capsys.readouterr().err
    assert main(["archive", "stop", JOB, "--now"]) == 0
    assert on_aws.machine.running(JOB) is None
    assert main(["archive", "resume", JOB]) == 0
    assert [run.number for run in load_runs(on_aws.files, JOB)] == [1, 2]
    assert on_aws.machine.running(JOB) is not None


def test_on_aws_a_budget_that_carries_nothing_starts_nothing(
    on_aws: OnAws, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["archive", "start", on_aws.source, "--max-cost", "0.01", "--yes"]) == 2
    assert "nothing would begin" in capsys.readouterr().err
    assert list(on_aws.files.folders("jobs/")) == []


def test_what_is_all_done_is_not_started(
    on_aws: OnAws, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in s3.list_object_versions(Bucket="pacs")["Versions"]:
        image_id = image_id_of("pacs", entry["Key"], entry["VersionId"])
        on_aws.files.write(result_key(on_aws.model_set, image_id, "record.json"), b"{}")
    assert main(["archive", "start", on_aws.source, "--yes"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert list(on_aws.files.folders("jobs/")) == []
