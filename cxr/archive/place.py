"""A deployment as the actions of `cxr archive` use it: on AWS, or on this machine."""

import argparse
from collections.abc import Callable

from cxr.archive.executions import StateMachine
from cxr.archive.files import JobFiles, files_of
from cxr.archive.follow import Follower
from cxr.archive.local_run import is_held
from cxr.deployment import Deployment, deployment_of
from lambdas.batch.job import Job
from lambdas.shared.errors import ContractError, InvalidRequestError


class Place:
    """A deployment as the actions use it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.deployment: Deployment = deployment_of(options)
        self.local = self.deployment.cloud.embedded
        self.files: JobFiles = files_of(self.deployment)
        self.machine: StateMachine | None = None
        if not self.local:
            arn = self.output("ArchiveStateMachine")
            self.machine = StateMachine(self.deployment.cloud.client("stepfunctions"), arn)

    def output(self, name: str) -> str:
        """A value of the stack.

        Raises:
            ContractError: The stack is older than archive jobs.
        """
        if name not in self.deployment.outputs:
            raise ContractError(
                f"the stack {self.deployment.stack} has no output {name}; it is older than "
                "archive jobs: `make deploy`"
            )
        return self.deployment.outputs[name]

    @property
    def endpoint(self) -> str:
        """Of the embedded cloud."""
        return str(self.deployment.cloud.endpoint)

    def follower(self, job: Job, *, held: Callable[[], bool] | None = None) -> Follower:
        """Reads a job."""
        if self.local:
            here = held or (lambda: is_held(self.endpoint, job.name))
            return Follower(self.files, job, machine=None, held=here)
        return Follower(self.files, job, machine=self.machine)

    def check_idle(self, job: str) -> None:
        """Refuse where the job is running.

        Raises:
            InvalidRequestError: It is.
        """
        if self.machine is not None and self.machine.running(job):
            raise InvalidRequestError(
                f"job {job} is running; `cxr archive watch {job}` follows it, "
                f"`cxr archive stop {job}` ends it"
            )
