"""Make samples on a real cluster of two workers, kill one of them, and compare every byte with a local run.

    python -m tests.proof.cluster [--users 266000] [--folder FOLDER] [--json]

A scheduler and two workers run as processes on this machine. The logs are simulated: 266,000 users have 20 million
exposures. Samples are made three times: with two processes, on the cluster, and on the cluster while one of its workers
is killed (SIGKILL) in the middle of encoding. All results must have equal bytes. Otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.cli.output import emit, table_of
from edgerec.core.hashing import sha256_file
from tests.dask_cluster import DaskCluster

EDGEREC = [sys.executable, "-m", "edgerec"]


def run(*arguments: str | Path) -> dict[str, Any]:
    """Run a command of `edgerec`, and return its document."""
    done = subprocess.run([*EDGEREC, *map(str, arguments), "--json"], stdout=subprocess.PIPE, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in `folder`."""
    return {str(file.relative_to(folder)): sha256_file(file) for file in folder.rglob("*") if file.is_file()}


def kill_in_the_middle(cluster: DaskCluster, out: Path, command: Sequence[str | Path]) -> tuple[dict[str, Any], int]:
    """Run `command`, and kill a worker when a third of the shards is there. Return the document and that number."""
    parts = out.parent / f".{out.name}.samples" / "parts"
    counts = out.parent / f".{out.name}.samples" / "scratch"
    with subprocess.Popen([*EDGEREC, *map(str, command), "--json"], stdout=subprocess.PIPE) as process:
        done = 0
        while process.poll() is None:
            total = len(list(counts.glob("*/counts-*.json")))
            done = len(list(parts.glob("[!.]*.json")))
            if done and done >= total // 3:
                cluster.workers[-1].kill()
                break
            time.sleep(0.02)
        printed, _ = process.communicate()
    if process.returncode:
        raise AssertionError(f"the run with a killed worker ended with {process.returncode}")
    return json.loads(printed), done


def prove(folder: Path, users: int) -> dict[str, Any]:
    logs, local = folder / "logs", folder / "local"
    run("simulate", "--users", str(users), "--out", logs)
    first = run("samples", logs, "--out", local, "--processes", "2")
    expected = hashes(local)
    shutil.rmtree(local)
    rows = [{"run": "two processes", "shards": len(list(_shards(expected))), **_figures(first)}]
    faults = []
    with DaskCluster(folder / "cluster") as cluster:
        for _ in range(2):
            cluster.add_worker()
        time.sleep(5)
        for name in ("two workers", "two workers, one killed"):
            out = folder / "there"
            command = ["samples", logs, "--out", out, "--cluster", cluster.address]
            killed_after = None
            if name == "two workers":
                document = run(*command)
            else:
                document, killed_after = kill_in_the_middle(cluster, out, command)
                if cluster.workers[-1].poll() is None:
                    faults.append("the command ended before the worker was killed")
            found = hashes(out)
            shutil.rmtree(out)
            different = sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key))
            faults += [f"{name}: {key} differs" for key in different]
            rows.append({"run": name, "shards": len(list(_shards(found))), **_figures(document)})
            if killed_after is not None:
                rows[-1]["killed_after_shards"] = killed_after
    return {"users": users, "rows": rows, "files": len(expected), "faults": faults}


def _shards(files: dict[str, str]) -> set[str]:
    return {key.split("/")[1] for key in files if key.startswith("shards/")}


def _figures(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("seconds", "exposures_per_second")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=266_000)
    parser.add_argument("--folder", type=Path, help="where to write the logs and the samples (3 GB)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="edgerec-cluster-", dir=options.folder) as name:
        document = prove(Path(name), options.users)
    columns = ("run", "shards", "seconds", "exposures_per_second", "killed_after_shards")
    cells = [
        [f"{row[key]:,.0f}" if isinstance(row.get(key), float) else str(row.get(key, "")) for key in columns]
        for row in document["rows"]
    ]
    emit(document, as_json=options.json, table=table_of(columns, cells))
    for fault in document["faults"]:
        sys.stderr.write(f"fault: {fault}\n")
    return 1 if document["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
