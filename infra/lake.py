"""The data lake in the stack: what fills it every night, and tables and queries for Athena.

Tables, columns and queries are those of `lambdas.lake`; its function compacts the last days'
records every night, and tells Glue which partitions there are. Whoever has made many records at
once calls the function part by part. Queries run in a workgroup of their own, which encrypts what
they answer and stops one that would read too much.
"""

from pathlib import Path
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_events as events
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.bulk import LAKE_SIZE
from infra.config import Settings
from infra.functions import ImageFunction
from infra.images import image_spec
from infra.network import Network
from infra.permissions import allow, keys_of, tell_missing, use_key
from infra.storage import DataBucket
from lambdas.lake.catalog import INPUT_FORMAT, OUTPUT_FORMAT, SERIALIZATION, TYPES
from lambdas.lake.queries import queries
from lambdas.lake.step import LAKE_PREFIX
from lambdas.lake.tables import PARTITION_COLUMNS, TABLES, Column, columns
from lambdas.shared.records import RESULTS_PREFIX

NIGHTLY: Final = "cron(15 2 * * ? *)"
NIGHTLY_DAYS: Final = 3
"""So that a night that failed is made up for by the next two."""

MAX_SCANNED_BYTES: Final = 100 * 1024**3
"""A query that reads more is stopped: half a dollar, and a thousand times a million records."""

ANSWERS_PREFIX: Final = "athena/"
"""Within the results bucket; lifecycle and encryption are the bucket's."""


class Lake(Construct):
    """Function, schedule, Glue tables, Athena workgroup and queries.

    Attributes:
        function: Compacts; `{"part": "0", "since": "YYYY-MM-DD"}` for one part of sixteen.
        database: Name in Glue's catalogue.
        workgroup: Name in Athena.

    Args:
        scope: Parent.
        name: Of the construct.
        settings: Of the environment.
        results: Bucket of records and lake.
        context: Build context of the function's image (`infra.images`, function `lake`).
        key: Of logs and of what queries answer.
        network: To place the function in; None for none. It must let Glue be reached.
        with_keys: Whether the lake has columns that may identify a patient.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: Settings,
        results: DataBucket,
        context: Path,
        key: kms.IKey,
        network: Network | None = None,
        with_keys: bool = False,
    ) -> None:
        super().__init__(scope, name)
        self._bucket = results.bucket
        self.database = settings.stack_name.replace("-", "_")
        self._tables(with_keys=with_keys)
        self.workgroup = self._workgroup(settings, key)
        lake_objects = f"{results.bucket.bucket_arn}/{LAKE_PREFIX}*"
        records = f"{results.bucket.bucket_arn}/{RESULTS_PREFIX}*"
        self.function = ImageFunction(
            self,
            "Function",
            what="compact records into the lake",
            context=context,
            handler=image_spec("lake").handler,
            memory_mb=LAKE_SIZE.memory_mb,
            timeout_seconds=LAKE_SIZE.timeout_seconds,
            environment={
                "CXR_RESULTS_BUCKET": results.bucket.bucket_name,
                "CXR_LAKE_DATABASE": self.database,
                "CXR_LAKE_WITH_KEYS": "true" if with_keys else "false",
                "POWERTOOLS_SERVICE_NAME": "lake",
            },
            statements=[
                tell_missing("ListRecords", results, RESULTS_PREFIX),
                tell_missing("ListLake", results, LAKE_PREFIX),
                allow("Records", ["s3:GetObject"], [records]),
                allow(
                    "Lake",
                    ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"],
                    [lake_objects],
                ),
                *self._key_statements(results),
                allow("Partitions", ["glue:BatchCreatePartition"], self._catalogue_arns()),
            ],
            wildcards={
                records: f"Every image has a folder of its own below {RESULTS_PREFIX}",
                lake_objects: f"Every model set and day has a folder of its own in {LAKE_PREFIX}",
            },
            settings=settings,
            key=key,
            network=network,
        )
        acknowledge(
            self.function.function,
            {
                "HIPAA.Security-LambdaConcurrency": (
                    "Called once a night, and by archive jobs, which set how many run at a time"
                ),
                "HIPAA.Security-LambdaDLQ": (
                    "A night that failed raises the function's errors, and the next night compacts "
                    f"the last {NIGHTLY_DAYS} days again; there is no message to keep"
                ),
            },
        )
        self._every_night()

    def _key_statements(self, results: DataBucket) -> list[iam.PolicyStatement]:
        keys = keys_of(results)
        actions = ["kms:Decrypt", "kms:GenerateDataKey"]
        return [use_key("BucketKey", "s3", actions, keys)] if keys else []

    def _catalogue_arns(self) -> list[str]:
        """Glue asks for leave on the catalogue, the database and the table alike."""
        stack = Stack.of(self)
        names = (
            "catalog",
            f"database/{self.database}",
            *(f"table/{self.database}/{table}" for table in TABLES),
        )
        return [
            f"arn:{stack.partition}:glue:{stack.region}:{stack.account}:{name}" for name in names
        ]

    def _tables(self, *, with_keys: bool) -> None:
        account = Stack.of(self).account
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=self.database, description="Chest radiographs: records and findings"
            ),
        )
        for table in TABLES:
            glue.CfnTable(
                self,
                table.capitalize(),
                catalog_id=account,
                database_name=self.database,
                table_input=glue.CfnTable.TableInputProperty(
                    name=table,
                    description=f"lambdas/lake/LAKE.md, {table}",
                    table_type="EXTERNAL_TABLE",
                    parameters={"classification": "parquet"},
                    partition_keys=[_column(column) for column in PARTITION_COLUMNS],
                    storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                        location=f"s3://{self._bucket.bucket_name}/{LAKE_PREFIX}{table}/",
                        columns=[_column(column) for column in columns(table, with_keys=with_keys)],
                        input_format=INPUT_FORMAT,
                        output_format=OUTPUT_FORMAT,
                        serde_info=glue.CfnTable.SerdeInfoProperty(
                            serialization_library=SERIALIZATION
                        ),
                    ),
                ),
            ).add_resource_dependency(database)

    def _workgroup(self, settings: Settings, key: kms.IKey) -> str:
        workgroup = athena.CfnWorkGroup(
            self,
            "Workgroup",
            name=settings.stack_name,
            description="Queries of the data lake",
            recursive_delete_option=not settings.keep_data,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=MAX_SCANNED_BYTES,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{self._bucket.bucket_name}/{ANSWERS_PREFIX}",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=key.key_arn
                    ),
                ),
            ),
        )
        for query in queries():
            athena.CfnNamedQuery(
                self,
                "".join(part.capitalize() for part in query.name.split("_")),
                database=self.database,
                work_group=settings.stack_name,
                name=query.name,
                description=query.description,
                query_string=query.sql,
            ).add_resource_dependency(workgroup)
        return settings.stack_name

    def _every_night(self) -> None:
        function = self.function.function
        rule = events.CfnRule(
            self,
            "Nightly",
            description="Compacts the last days' records into the lake",
            schedule_expression=NIGHTLY,
            state="ENABLED",
            targets=[
                events.CfnRule.TargetProperty(
                    id="Lake", arn=function.function_arn, input=f'{{"days": {NIGHTLY_DAYS}}}'
                )
            ],
        )
        lambda_.CfnPermission(
            self,
            "NightlyMayCall",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )


def _column(column: Column) -> glue.CfnTable.ColumnProperty:
    return glue.CfnTable.ColumnProperty(
        name=column.name, type=TYPES[column.kind], comment=column.meaning
    )
