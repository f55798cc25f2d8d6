"""A Spark job that buckets logs by user: each output file has all rows of a range of users (docs/clusters.md).

    spark-submit bucket_by_user.py LOGS OUT --buckets 64

`edgerec samples` then reads each file once, and does not partition the rows again. LOGS is a folder of logs as in
docs/formats.md, which Spark can read, with parts of any size and order. OUT is a new folder that driver and executors
see under the same path.

Rows stream through each task in Arrow batches (`mapInArrow`), and one file is open at a time. So a user with very many
rows needs no more memory than others. Spark's sort spills to disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

TABLES = ("events", "requests")
REQUEST_WEIGHT = 4
"""The weight of a request with its list of candidates. An event weighs 1."""
ROW_GROUP = 65_536


def bucket_by_user(spark: SparkSession, logs: Path, out: Path, *, buckets: int) -> int:
    """Write the logs `logs` to the folder `out`, bucketed by user. Return the number of rows of both tables.

    Both tables have the same bounds of users. A bucket without users has no file. `logs.json` is written last.
    """
    out.mkdir(parents=True)
    tables = {name: spark.read.parquet(str(logs / name)) for name in TABLES}
    bounds = user_bounds(tables["events"], tables["requests"], buckets)
    rows = 0
    for name, table in tables.items():
        (out / name).mkdir()
        written = sort_by_bucket(table, bounds).mapInArrow(writer(out / name), "bucket long, rows long")
        found = sum(row["rows"] for row in written.collect())
        if found == 0:
            raise SystemExit(f"{logs / name} has no rows")
        rows += found
        for left in (out / name).glob(".part-*"):  # of attempts that were killed
            left.unlink()
    for name in ("items.parquet", "features.json"):
        shutil.copy(logs / name, out / name)
    head = json.loads((logs / "logs.json").read_text())
    head.pop("parts", None)  # the sizes and hashes of the old files
    (out / ".logs.json").write_text(json.dumps(head, indent=2, sort_keys=True) + "\n")
    (out / ".logs.json").rename(out / "logs.json")
    return rows


def user_bounds(events: DataFrame, requests: DataFrame, buckets: int) -> list[int]:
    """Return the first user of each bucket but the first, so that all buckets weigh about the same."""
    repeated = requests.select("user_id", F.explode(F.sequence(F.lit(1), F.lit(REQUEST_WEIGHT)))).select("user_id")
    users = events.select("user_id").union(repeated)
    shares = ",".join(str(number / buckets) for number in range(1, buckets))
    # A sketch, so no list of users is in memory.
    found = users.select(F.expr(f"percentile_approx(user_id, array({shares}), 100000)")).first() if shares else None
    return sorted(set(found[0])) if found and found[0] else []


def sort_by_bucket(table: DataFrame, bounds: list[int]) -> DataFrame:
    """Return the rows with their bucket, one bucket after the other in each Spark partition.

    The rows of a user keep the order of the files and of the rows in them, because `edgerec` orders rows of the same
    time by their place.
    """
    columns = table.columns
    bucket = F.lit(0)
    if bounds:
        firsts = F.array(*[F.lit(bound) for bound in bounds])
        bucket = F.size(F.filter(firsts, lambda first: first <= F.col("user_id")))
    placed = table.select(
        *columns,
        bucket.alias("__bucket"),
        F.col("_metadata.file_path").alias("__file"),
        F.col("_metadata.row_index").alias("__row"),
    )
    ordered = placed.repartition(len(bounds) + 1, "__bucket").sortWithinPartitions(
        "__bucket", "user_id", "__file", "__row"
    )
    return ordered.select(*columns, "__bucket")


def writer(folder: Path):
    """Return a function for `mapInArrow`. It writes one file for each bucket and yields its number of rows."""

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        attempt = TaskContext.get().taskAttemptId()
        current, file, rows = None, None, 0

        def finish() -> pa.RecordBatch:
            file.close()
            # Spark may run a task twice. Each attempt has its own file, and the last rename wins with equal rows.
            os.replace(temporary(folder, current, attempt), folder / f"part-{current:05d}.parquet")
            return pa.RecordBatch.from_pydict({"bucket": [current], "rows": [rows]})

        for batch in batches:
            numbers = batch.column(batch.schema.get_field_index("__bucket")).to_numpy(zero_copy_only=False)
            table = pa.Table.from_batches([batch]).drop_columns(["__bucket"])
            start = 0
            while start < len(numbers):
                number = int(numbers[start])
                # The rows are sorted by bucket.
                end = start + int((numbers[start:] == number).sum())
                if number != current:
                    if file is not None:
                        yield finish()
                    current, rows = number, 0
                    file = pq.ParquetWriter(temporary(folder, current, attempt), table.schema, compression="zstd")
                file.write_table(table.slice(start, end - start), row_group_size=ROW_GROUP)
                rows += end - start
                start = end
        if file is not None:
            yield finish()

    return write


def temporary(folder: Path, bucket: int, attempt: int) -> str:
    """Return the path under which an attempt of a task writes a bucket."""
    return str(folder / f".part-{bucket:05d}-{attempt}")


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--buckets", type=int, default=64, help="number of ranges of users (default: 64)")
    options = parser.parse_args()
    spark = SparkSession.builder.appName("bucket_by_user").getOrCreate()
    try:
        rows = bucket_by_user(spark, options.logs.absolute(), options.out.absolute(), buckets=options.buckets)
    finally:
        spark.stop()
    print(f"{rows:,} rows")


if __name__ == "__main__":
    main()
