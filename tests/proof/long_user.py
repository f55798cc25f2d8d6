"""Check that one user with very many events costs no more than ordinary users with as many events in total.

    python -m tests.proof.long_user [--events 200000] [--users 2000] [--most 1.3] [--json]

Two logs have the same events and requests of a simulated world. In the logs `spread`, they belong to ordinary users. In
the logs `one`, `--events` of the events belong to a single user, next to `--users` ordinary users. Both logs go through
`stats`, `samples`, `train` (one epoch of a small model), `evaluate` and `export`, each in one process. The exit code is
1 if the peak memory or the processor time of `one` is more than `--most` times that of `spread`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from edgerec.cli.output import emit, table_of
from edgerec.core.console import progress
from tests.synthetic import unstamp

EDGEREC = [sys.executable, "-m", "edgerec"]
WORLD = "items = 3000\n[cloud]\npage = 20\nrecall = 40\n"
LIMITS = ["--candidates", "20", "--exposures", "30", "--page-views", "15"]
TRAINING = "units = 4\nlayers = 1\nepochs = 1\nbatch_size = 64\ncompiled = false\n"
EVENTS_A_USER = 100
"""Approximate number of events of an ordinary user in the simulated world."""
EVERY = 10
"""Only one of `EVERY` requests is kept, so that training does not take most of the time."""
STEPS = ("stats", "samples", "train", "evaluate", "export")


def make_logs(folder: Path, *, users: int, events: int) -> dict[str, Path]:
    """Write the logs `spread` and `one` into `folder` and return their paths."""
    folder.mkdir(parents=True)
    (folder / "world.toml").write_text(WORLD)
    world = folder / "world"
    total_users = users + -(-events // EVENTS_A_USER)
    _edgerec("simulate", "--out", str(world), "--config", str(folder / "world.toml"), "--users", str(total_users))
    counts = _tables(world, "events")["user_id"].value_counts().sort("user_id")
    # Take the last users, until they have `events` events together.
    merged = counts.reverse().filter(pl.col("count").cum_sum() <= events)["user_id"]
    logs = {"spread": folder / "spread", "one": folder / "one"}
    for name, path in logs.items():
        shutil.copytree(world, path, ignore=shutil.ignore_patterns("truth", "part-*"))
        unstamp(path)
        for table in ("events", "requests"):
            rows = _tables(world, table)
            if table == "requests":
                rows = rows.filter(pl.col("request_id") % EVERY == 0)
            if name == "one":
                is_long_user = pl.col("user_id").is_in(merged.implode())
                rows = rows.with_columns(user_id=pl.when(is_long_user).then(merged.min()).otherwise(pl.col("user_id")))
            rows.sort("user_id", "time", maintain_order=True).write_parquet(path / table / "part-00000.parquet")
    return logs


def _tables(logs: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(logs / name / "*.parquet")


def _edgerec(*arguments: str) -> None:
    subprocess.run([*EDGEREC, *arguments], check=True, stdout=subprocess.DEVNULL)


def steps(logs: Path, out: Path) -> dict[str, list[str]]:
    """Return the commands for `logs` by name. They write into `out`."""
    samples, run = str(out / "samples"), str(out / "run")
    config = out / "train.toml"
    config.write_text(TRAINING)
    lines = {
        "stats": ["stats", str(logs), "--processes", "1"],
        "samples": ["samples", str(logs), "--out", samples, "--processes", "1", *LIMITS],
        "train": ["train", samples, "--out", run, "--config", str(config)],
        "evaluate": ["evaluate", run, samples],
        "export": ["export", run, "--out", str(out / "bundle"), "--requests", "50"],
    }
    return {step: lines[step] for step in STEPS}


def measure(arguments: list[str]) -> tuple[float, float]:
    """Run a command and return its processor time in seconds and its peak memory in MiB.

    Raises:
        AssertionError: the command fails.
    """
    process = subprocess.Popen([*EDGEREC, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare(folder: Path, *, users: int, events: int) -> list[dict[str, Any]]:
    """Return a row for each command: seconds and MiB for `spread` and for `one`, and their ratios."""
    measurements: dict[str, dict[str, tuple[float, float]]] = {}
    for name, logs in make_logs(folder / "logs", users=users, events=events).items():
        out = folder / name
        out.mkdir()
        for step, arguments in progress(steps(logs, out).items(), what=name, total=len(STEPS)):
            measurements.setdefault(step, {})[name] = measure(arguments)
    return [
        {
            "command": step,
            **{f"{name}_seconds": each[name][0] for name in each},
            **{f"{name}_mib": each[name][1] for name in each},
            "seconds_ratio": each["one"][0] / each["spread"][0],
            "memory_ratio": each["one"][1] / each["spread"][1],
        }
        for step, each in measurements.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.long_user", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000, help="events of the long user (default: 200000)")
    parser.add_argument("--users", type=int, default=2000, help="number of ordinary users (default: 2000)")
    parser.add_argument("--most", type=float, default=1.3, help="largest accepted ratio (default: 1.3)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="edgerec-long-user-") as folder:
        rows = compare(Path(folder), users=options.users, events=options.events)
    faults = [
        f"{row['command']}: {key} is {row[key]:.2f}"
        for row in rows
        for key in ("memory_ratio", "seconds_ratio")
        if row[key] > options.most
    ]
    columns = list(rows[0])
    cells = [[str(row[key]) if key == "command" else f"{row[key]:.2f}" for key in columns] for row in rows]
    document = {"users": options.users, "events": options.events, "rows": rows, "faults": faults}
    emit(document, as_json=options.json, table=table_of(columns, cells))
    for fault in faults:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
