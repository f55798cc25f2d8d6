"""Check that devices compute what Keras computes: replay long, damaged and divided histories, and EB-NeRD.

    python -m tests.proof.replays [--ebnerd SOURCE] [--requests 5000] [--json]

Simulated users have about a thousand behaviours each. A third of them has lost pages, a third has used two devices
(`tests.hard_histories`). `crban` and `crban_plus` are trained for an epoch and exported, and `edgerec replay --run`
plays the logs of all users. With `--ebnerd`, the same is done with `--requests` requests of EB-NeRD; SOURCE is its
unpacked demo bundle. The exit code is 1 if a logit differs by more than 1e-4, if an order differs outside ties, if the
logs of the devices have other samples, or if fewer than 50 users have a thousand behaviours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from edgerec.cli.output import emit, table_of
from edgerec.core.console import log
from tests.hard_histories import write_hard_histories

EDGEREC = [sys.executable, "-m", "edgerec"]
WORLD = """
users = 90
days = 28
sessions_per_user = 34.0
activity_spread = 0.15
rerank_after = 25
[behaviour]
searches = 2.0
"""
MODELS = ("crban", "crban_plus")
LONG, LONG_USERS = 1000, 50
"""At least `LONG_USERS` users have at least `LONG` behaviours."""
FIELDS = ("users", "stores", "behaviours", "requests", "parity_max_abs", "orders_equal", "orders_tied")
MORE_FIELDS = ("orders_different", "samples_equal", "behaviour_p99_ms", "response_p99_ms", "seconds")


def _edgerec(*arguments: str) -> dict[str, Any]:
    log(f"replays: edgerec {' '.join(arguments[:2])}")
    done = subprocess.run([*EDGEREC, *arguments, "--json"], check=True, stdout=subprocess.PIPE)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def simulated(folder: Path) -> tuple[Path, Path, dict[str, int]]:
    """Simulate and damage logs. Return the whole logs, the damaged ones, and the number of users of each sort."""
    (folder / "world.toml").write_text(WORLD)
    _edgerec("simulate", "--config", str(folder / "world.toml"), "--out", str(folder / "world"))
    counts = write_hard_histories(folder / "world", folder / "hard")
    lengths = pl.read_parquet(folder / "hard" / "events" / "*.parquet").group_by("user_id").len()["len"]
    return folder / "world", folder / "hard", counts | {"long_users": int((lengths >= LONG).sum())}


def replay(folder: Path, name: str, logs: Path, played: Path, *options: str) -> list[dict[str, Any]]:
    """Train on `logs`, export, and replay `played`. Return a row for each model."""
    samples, config = folder / f"{name}-samples", folder / "train.toml"
    config.write_text("epochs = 1\ncompiled = false\n")
    _edgerec("samples", str(logs), "--out", str(samples))
    rows = []
    for model in MODELS:
        run, bundle = folder / f"{name}-{model}-run", folder / f"{name}-{model}-bundle"
        _edgerec("train", str(samples), "--model", model, "--config", str(config), "--out", str(run))
        _edgerec("export", str(run), "--out", str(bundle), "--requests", "100")
        document = _edgerec("replay", str(bundle), str(played), "--run", str(run), *options)
        rows.append({"logs": name, "model": model, **{key: document[key] for key in (*FIELDS, *MORE_FIELDS)}})
        log(f"replays: {rows[-1]}")
    return rows


def holds(row: dict[str, Any]) -> bool:
    """Return whether a replay proves what it should."""
    same = row["samples_equal"] == row["requests"] == row["orders_equal"] + row["orders_tied"]
    return same and row["orders_different"] == 0 and row["parity_max_abs"] <= 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.replays", description=__doc__.splitlines()[0])
    parser.add_argument("--ebnerd", type=Path, help="folder of EB-NeRD's demo bundle")
    parser.add_argument("--requests", type=int, default=5000, help="requests of EB-NeRD to replay (default: 5000)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="edgerec-replays-") as name:
        folder = Path(name)
        whole, hard, counts = simulated(folder)
        rows = replay(folder, "simulated", whole, hard, "--all")
        if options.ebnerd is not None:
            logs = folder / "ebnerd"
            _edgerec("import", "ebnerd", str(options.ebnerd), "--out", str(logs))
            rows += replay(folder, "ebnerd", logs, logs, "--requests", str(options.requests))
    columns = ("logs", "model", *FIELDS, *MORE_FIELDS)
    cells = [[f"{row[key]:.2e}" if isinstance(row[key], float) else str(row[key]) for key in columns] for row in rows]
    emit({"histories": counts, "rows": rows}, as_json=options.json, table=table_of(columns, cells))
    return int(counts["long_users"] < LONG_USERS or not all(map(holds, rows)))


if __name__ == "__main__":
    sys.exit(main())
