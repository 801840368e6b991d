"""The stack: what is made, and what is wired to what. Every resource is defined elsewhere."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Stack, Tags
from constructs import Construct

from infra.alarms import Alarms
from infra.archive import Archive, ArchiveGiven
from infra.config import Settings
from infra.dashboard import Dashboard
from infra.data_key import DataKey
from infra.functions import StageFunction
from infra.intake_rule import IntakeRule
from infra.lake import Lake
from infra.network import Network
from infra.notice import Notice
from infra.outputs import add_outputs
from infra.parts import Parts
from infra.permissions import Reach
from infra.pipeline import Resources, first_stage
from infra.queues import StageQueue
from infra.storage import Storage
from lambdas.shared.bundle import BundlePair


class CxrStack(Stack):
    """One environment: images in a bucket, results in another.

    Args:
        scope: The app.
        settings: Of the environment.
        models: Bundles that the images hold.
        contexts: Build context of each function's image (`infra.images`).
    """

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        models: BundlePair,
        contexts: Mapping[str, Path],
    ) -> None:
        super().__init__(scope, settings.stack_name, description="Chest radiographs: cxr-batch")
        key = DataKey(self, "Data", keep_data=settings.keep_data).key
        storage = Storage(self, "Storage", settings=settings, key=key)
        queues = {
            stage.name: StageQueue(self, stage.name.capitalize(), stage=stage, key=key)
            for stage in settings.stages
        }
        rule = IntakeRule(
            self,
            "Intake",
            bucket_name=storage.intake.bucket.bucket_name,
            queue=queues[first_stage().name].queue,
            key=key,
        )
        resources = Resources(
            intake_bucket=storage.intake.bucket.bucket_name,
            results_bucket=storage.results.bucket.bucket_name,
            queue_urls={stage: queue.queue.queue_url for stage, queue in queues.items()},
            metrics_namespace=settings.metrics_namespace,
        )
        reach = Reach(
            intake=storage.intake,
            results=storage.results,
            queues={stage: queue.queue for stage, queue in queues.items()},
            queue_key_arn=key.key_arn,
            event_bus_arn=self.format_arn(
                service="events", resource="event-bus", resource_name=resources.event_bus
            ),
            archives=storage.archives,
        )
        network = (
            Network(
                self, "Network", cidr=settings.vpc_cidr, settings=settings, reach=reach, key=key
            )
            if settings.vpc_cidr
            else None
        )
        functions = {
            stage.name: StageFunction(
                self,
                f"{stage.name.capitalize()}Function",
                stage=stage,
                settings=settings,
                context=contexts[stage.name],
                resources=resources,
                reach=reach,
                key=key,
                network=network,
            )
            for stage in settings.stages
        }
        notice = Notice(self, "Notice", event_bus=resources.event_bus, key=key)
        lake = Lake(
            self,
            "Lake",
            settings=settings,
            results=storage.results,
            context=contexts["lake"],
            key=key,
            network=network,
        )
        archive = Archive(
            self,
            "Archive",
            given=ArchiveGiven(
                settings,
                contexts["batch"],
                resources,
                reach,
                key,
                network,
                lake_arn=lake.function.function.function_arn,
            ),
        )
        parts = Parts(settings, storage, rule, queues, functions, archive, notice, lake)
        alarms = Alarms(self, "Alarms", parts=parts, key=key)
        Dashboard(self, "Dashboard", parts=parts, classifier=models.classifier)
        add_outputs(
            self,
            parts=parts,
            alarms=alarms,
            resources=resources,
            model_set=models.model_set,
        )
        Tags.of(self).add("project", "cxr-batch")
        Tags.of(self).add("environment", settings.environment)
