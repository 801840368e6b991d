"""The data lake: records as two tables, in partitioned Parquet."""
