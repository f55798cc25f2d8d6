"""Make small inputs for the commands of the docs, or print a value: python -m tests.docs_commands.small WHAT [PATH]

WHAT is `ebnerd`, `kuairand` (a part of the real data), `store FILE` (a behaviour store), `version BUNDLE`,
`request LOGS` or `test_from LOGS` (the time after which the last fifth of the requests comes).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import polars as pl

from tests.data.real_data import real_data

USERS = 60
"""Number of users of a part of a real data set."""


def main(what: str, path: str = "") -> None:
    if what == "ebnerd":
        ebnerd(Path("ebnerd"))
    elif what == "kuairand":
        kuairand(Path("kuairand"))
    elif what == "store":
        store(Path(path))
    elif what == "version":
        print(json.loads((Path(path) / "manifest.json").read_text())["version_id"])  # noqa: T201
    elif what == "request":
        requests = pl.read_parquet(str(Path(path) / "requests" / "*.parquet"))
        print(requests.sort("time")["request_id"].last())  # noqa: T201
    elif what == "test_from":
        times = pl.read_parquet(str(Path(path) / "requests" / "*.parquet"))["time"]
        print(int(times.sort()[len(times) * 4 // 5]))  # noqa: T201
    else:
        raise SystemExit(f"small: unknown: {what}")


def ebnerd(out: Path) -> None:
    """Write the rows of the most active users of both weeks."""
    source = real_data("ebnerd_demo", what="the EB-NeRD demo bundle")
    copy(source, out)
    weeks = [pl.read_parquet(source / week / "behaviors.parquet") for week in ("train", "validation")]
    users = active(weeks)
    for week in ("train", "validation"):
        for name in ("behaviors.parquet", "history.parquet"):
            kept = pl.read_parquet(source / week / name).filter(pl.col("user_id").is_in(users.implode()))
            kept.write_parquet(out / week / name)


def kuairand(out: Path) -> None:
    """Write the rows of the most active users of both splits."""
    source = real_data("kuairand_pure_slice", what="a slice of KuaiRand-Pure")
    copy(source, out)
    names = ("processed_splits_val.parquet", "processed_splits_test.parquet")
    splits = [pl.read_parquet(source / name) for name in names]
    users = active(splits)
    for name, split in zip(names, splits, strict=True):
        split.filter(pl.col("user_id").is_in(users.implode())).write_parquet(out / name)


def copy(source: Path, out: Path) -> None:
    """Copy a folder. Unlike `copytree`, the copy may be written even if the source may not."""
    for path in filter(Path.is_file, source.rglob("*")):
        place = out / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def active(tables: list[pl.DataFrame]) -> pl.Series:
    """Return the users with the most rows, of those who are in all tables."""
    counts = pl.concat([table["user_id"].value_counts() for table in tables])
    users = counts.group_by("user_id").agg(pl.len().alias("tables"), pl.sum("count"))
    return users.filter(pl.col("tables") == len(tables)).top_k(USERS, by="count")["user_id"]


def store(out: Path) -> None:
    """Write the behaviour store of user 7, without behaviours."""
    from edgerec import BehaviourStore

    with BehaviourStore(out, user_id=7):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
