"""Check that samples of ten thousand requests are trained, evaluated and exported in less than five minutes.

    python -m tests.proof.small_data [--requests 10000] [--minutes 5] [--json]

Simulated logs of the default world become samples, whose epoch of training reads about `--requests` requests. Then
`train` (`crban_plus`, all other settings chosen by size), `evaluate`, `export` and `verify` run one after the other.
The table has the seconds and the processor time of each step. The exit code is 1 if the steps after the samples take
more than `--minutes`. This limit holds for two cores without other load.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.cli.output import emit, table_of
from edgerec.core.console import log
from edgerec.data.samples import TRAIN, open_samples

EDGEREC = [sys.executable, "-m", "edgerec"]
PAGES_A_USER = 2.05
"""Training pages of an average user of the default world. An epoch reads one request of each page."""
PREPARE = ("simulate", "samples")


def measure(out: Path, *, requests: int) -> dict[str, Any]:
    """Run all steps in the folder `out` and return a document with a row for each."""
    logs, samples, run, bundle = (str(out / name) for name in ("logs", "samples", "run", "bundle"))
    commands = {
        "simulate": ["--users", str(round(requests / PAGES_A_USER)), "--out", logs],
        "samples": [logs, "--out", samples],
        "train": [samples, "--model", "crban_plus", "--out", run],
        "evaluate": [run, samples],
        "export": [run, "--out", bundle],
        "verify": [bundle],
    }
    rows = [_step(name, arguments) for name, arguments in commands.items()]
    read = open_samples(samples).head.splits[TRAIN].pages
    seconds = sum(row["seconds"] for row in rows if row["step"] not in PREPARE)
    return {"requests_per_epoch": read, "rows": rows, "seconds_after_samples": seconds}


def _step(name: str, arguments: list[str]) -> dict[str, Any]:
    log(f"small_data: {name}")
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*EDGEREC, name, *arguments, "--json"], check=True, stdout=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = {
        "step": name,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "gauc": json.loads(done.stdout)["gauc"] if name == "evaluate" else None,
    }
    log(f"small_data: {name}: {row['seconds']:.0f} s, {row['cpu_seconds']:.0f} s of processor time")
    return row


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.small_data", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000, help="requests in an epoch (default: 10000)")
    parser.add_argument("--minutes", type=float, default=5, help="largest accepted duration (default: 5)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="edgerec-small-data-") as folder:
        document = measure(Path(folder), requests=options.requests)
    columns = ("step", "seconds", "cpu_seconds", "gauc")
    cells = [
        [
            row["step"],
            f"{row['seconds']:.0f}",
            f"{row['cpu_seconds']:.0f}",
            "" if row["gauc"] is None else f"{row['gauc']:.4f}",
        ]
        for row in document["rows"]
    ]
    emit(document, as_json=options.json, table=table_of(columns, cells))
    return int(document["seconds_after_samples"] > 60 * options.minutes)


if __name__ == "__main__":
    sys.exit(main())
