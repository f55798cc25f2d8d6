"""The Spark job of examples/spark buckets logs by user, in Spark's local mode."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from tests.command_line import edgerec
from tests.data.test_repeated_tasks import content
from tests.synthetic import make_logs

JOB = Path(__file__).parents[2] / "examples" / "spark" / "bucket_by_user.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("pyspark", "pandas"))), reason="needs pyspark, pandas and Java 17"
    ),
]


def test_bucketed_logs_give_equal_samples(tmp_path: Path) -> None:
    logs, bucketed = tmp_path / "logs", tmp_path / "bucketed"
    write_logs(make_logs(users=24), logs)
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false "
        "--conf spark.sql.execution.arrow.maxRecordsPerBatch=50 --conf spark.sql.shuffle.partitions=4 pyspark-shell",
        "PYSPARK_PYTHON": sys.executable,
    }
    command = [sys.executable, JOB, logs, bucketed, "--buckets", "4"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]

    seen: list[set[int]] = []
    for number in range(4):
        name = f"part-{number:05d}.parquet"
        tables = [pl.read_parquet(bucketed / table / name) for table in ("events", "requests")]
        seen.append({user for table in tables for user in table["user_id"].to_list()})
    # Each user is in one bucket, and the buckets are ranges.
    assert sum(map(len, seen)) == len(set().union(*seen)) == 24
    assert all(max(low) < min(high) for low, high in itertools.pairwise(seen))

    checked = edgerec("check", bucketed)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    expected = write_samples(logs, tmp_path / "expected")
    found = write_samples(bucketed, tmp_path / "found")
    assert found.counts() == expected.counts()
    # There is one shard, so the bytes are equal, too. Only the path of the logs differs.
    one, other = content(expected.path), content(found.path)
    assert one.pop("samples.json") != other.pop("samples.json")
    assert one == other
