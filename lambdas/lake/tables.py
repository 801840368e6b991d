"""The two tables of the lake, column by column; LAKE.md is the page for people.

`records` has one row for each image and model set, `findings` one row for each box. Whoever writes
Parquet, and whoever declares the tables to a query engine, reads the columns here. No column holds
a source key or a passed-through attribute unless keys were asked for.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "date",
    "time",
    "texts",
    "numbers_by_name",
    "texts_by_name",
]
"""What a column holds: 64-bit integers and floats, times in UTC with milliseconds, lists, maps."""

Table = Literal["records", "findings"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Unit at its end where it has one.
        kind: Type, whatever the engine calls it.
        meaning: One sentence, with the unit.
        key: Whether it may identify a patient, so that it is there only if asked for.
    """

    name: str
    kind: Kind
    meaning: str
    key: bool = False


PARTITION_COLUMNS: Final = (
    Column("model_set", "string", "Which models made the result; 16 hex."),
    Column("date", "date", "Day of finished_at in UTC."),
)
"""In a partitioned lake these stand in the folders' names, `model_set=…/date=…`, not in files."""

RECORDS: Final = (
    Column("image_id", "string", "Names the image without saying anything of it; 32 hex."),
    Column("finished_at", "time", "When the record was made, UTC."),
    Column("schema_version", "string", "Of the record.json the row comes from."),
    Column("status", "string", "analysed or rejected."),
    Column("rejection_code", "string", "Why it was rejected; null if it was not."),
    Column("rejection_message", "string", "The same as a sentence that says what to do."),
    Column("label", "string", "The classifier's word; null for a rejected image."),
    Column("label_code_system", "string", "Terminology of label_code, as DICOM names it."),
    Column("label_code", "string", "Public concept of label; null where there is none."),
    Column("positive_label", "string", "The label that probability belongs to."),
    Column("positive", "boolean", "Whether label is the positive one."),
    Column("probability", "number", "Of positive_label, 0 to 1; a score only unless calibrated."),
    Column("threshold", "number", "Operating point: positive from this probability, 0 to 1."),
    Column("calibrated", "boolean", "Whether probability is one."),
    Column("detection_performed", "boolean", "Whether the detector ran; null if rejected."),
    Column("detectable", "texts", "Findings the detector knows; others are not assessed."),
    Column("n_findings", "integer", "Rows in findings; null where the detector did not run."),
    Column("image_format", "string", "png, jpeg, tiff or dicom; null if not read so far."),
    Column("width_px", "integer", "Columns as stored, in pixels."),
    Column("height_px", "integer", "Rows as stored, in pixels."),
    Column("bits_stored", "integer", "Significant bits of a sample."),
    Column("photometric_interpretation", "string", "As stored, in DICOM's terms."),
    Column("view", "string", "DICOM View Position; null where the file does not say."),
    Column("row_spacing_mm", "number", "Distance of rows in millimetres."),
    Column("column_spacing_mm", "number", "Distance of columns in millimetres."),
    Column("transfer_syntax", "string", "DICOM Transfer Syntax UID; null for other formats."),
    Column("size_bytes", "integer", "Size of the image file, in bytes."),
    Column("sha256", "string", "Of the image file; null where it was too large to be read."),
    Column("classifier", "string", "Name of the classifier's bundle."),
    Column("classifier_version", "string", "Version of the classifier's bundle."),
    Column("classifier_trained_on", "string", "nothing, phantoms or patients."),
    Column("detector", "string", "Name of the detector's bundle."),
    Column("detector_version", "string", "Version of the detector's bundle."),
    Column("detector_trained_on", "string", "nothing, phantoms or patients."),
    Column("timings_ms", "numbers_by_name", "Durations in milliseconds, by part."),
    Column("record_uri", "string", "Where record.json lies in S3; null for a folder's."),
    Column("source_bucket", "string", "Bucket of the image; null for a folder's.", key=True),
    Column("source_key", "string", "Key or path of the image.", key=True),
    Column("source_version", "string", "Version of the object, or its ETag.", key=True),
    Column("source_tags", "texts_by_name", "DICOM attributes passed through.", key=True),
)

FINDINGS: Final = (
    Column("image_id", "string", "As in records."),
    Column("number", "integer", "From 1, highest score first; as numbered in the report."),
    Column("finding", "string", "The detector's label."),
    Column("code_system", "string", "Terminology of code, as DICOM names it."),
    Column("code", "string", "Public concept of the finding; null where there is none."),
    Column("code_meaning", "string", "The concept's own words."),
    Column("score", "number", "The detector's, 0 to 1; no probability."),
    Column("threshold", "number", "Operating point of this label that score reached, 0 to 1."),
    Column("x_min_px", "number", "Left edge in pixels of the image as stored, from its left."),
    Column("y_min_px", "number", "Upper edge in pixels, from the top."),
    Column("x_max_px", "number", "Right edge in pixels, exclusive."),
    Column("y_max_px", "number", "Lower edge in pixels, exclusive."),
    Column("x_min", "number", "Left edge as a fraction of the width."),
    Column("y_min", "number", "Upper edge as a fraction of the height."),
    Column("x_max", "number", "Right edge as a fraction of the width."),
    Column("y_max", "number", "Lower edge as a fraction of the height."),
)

TABLES: Final[dict[Table, tuple[Column, ...]]] = {"records": RECORDS, "findings": FINDINGS}


def columns(
    table: Table, *, with_keys: bool = False, partitioned: bool = True
) -> tuple[Column, ...]:
    """Columns of a table's files.

    Args:
        table: Name.
        with_keys: Whether columns that may identify a patient are wanted.
        partitioned: Whether folders' names hold the partition columns; if not, files do, in front.
    """
    own = tuple(column for column in TABLES[table] if with_keys or not column.key)
    return own if partitioned else (*PARTITION_COLUMNS, *own)
