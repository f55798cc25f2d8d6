"""`edgerec abtest`: simulate the buckets of an A/B test and write the results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgerec import __version__
from edgerec.bundle.guard import guarded
from edgerec.bundle.layout import DEVICE
from edgerec.bundle.load import load_bundle
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.cloud.versions import open_version
from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.errors import ConfigurationError
from edgerec.core.parallel import cores
from edgerec.core.resumable import resumable_folder
from edgerec.simulation.ab_test.aa import SPLITS
from edgerec.simulation.ab_test.analyse import analyse
from edgerec.simulation.ab_test.buckets import check_heads, shared_buckets
from edgerec.simulation.closed_loop.blocks import EXPOSURES, USERS, Design, Plan
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.simulate_buckets import read_table, simulate_buckets

KIND = "ab_test"
HEAD, PAGE, TABLE = "ab_test.json", "ab_test.html", "ab_test.md"
LEAST_USERS = 20
PARTS = ("user", "device", "cloud")
"""The parts of the closed loop whose seconds are measured."""


def run_ab_test(
    world: LoopWorld,
    buckets: Sequence[Bucket],
    path: Path,
    *,
    users: int,
    design: Design = "paired",
    pre_days: int | None = None,
    logs: bool = False,
    servers: bool = False,
    primary: str = "click",
    splits: int = SPLITS,
    first_user: int | None = None,
    processes: int | None = None,
    public_key: PublicKey | None = None,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Simulate an A/B test and write the folder `path`: tables, JSON, Markdown and an HTML page.

    Args:
        world: the world. Its users are not those in the logs of `edgerec simulate`.
        buckets: the control, the treatment, and further buckets. Their bundles should be trained on logs of this world:
            with another seed, item IDs mean other items, and nothing can tell.
        path: the folder to write.
        users: number of users: in each bucket if paired, in all buckets together if split.
        design: `paired` or `split` (docs/experiments.md).
        pre_days: length of the pre-period in days. Default: half of the days if split, else 0.
        logs: whether the logs that devices send are kept, in ``logs/<bucket>``.
        servers: whether each bucket has a server process, to which devices talk over HTTP. It keeps the logs.
        primary: the primary metric.
        splits: number of random splits of the A/A test in the split design.
        first_user: the ID of the first user. Default: the first one who is not in the logs of `edgerec simulate`.
        processes: number of processes; default: one for each core.
        public_key: the bundles must have a signature of this key.
        force: replace `path`.
        resume: continue an interrupted simulation.

    Raises:
        ConfigurationError: a setting is not valid.
        OutputError, FormatError: see `resumable_folder`.
        EdgeRecError: a bundle cannot be loaded, or a process died.
    """
    started = time.perf_counter()
    pre_days = (world.config.days // 2 if design == "split" else 0) if pre_days is None else pre_days
    _check(world, users, len(buckets), design, pre_days, servers=servers, resume=resume)
    versions = {
        bucket.name: None if bucket.bundle is None else checked_version(bucket.bundle, public_key) for bucket in buckets
    }
    check_heads(buckets)
    first = world.config.users + 1 if first_user is None else first_user
    plan = Plan(world, tuple(buckets), first, users, design, pre_days, logs or servers)
    stated: dict[str, Any] = {
        "design": design,
        "users": users,
        "first_user": first,
        "pre_days": pre_days,
        "logs": logs or servers,
        "servers": servers,
        "primary": primary,
        "splits": splits,
        "world": {"seed": world.seed, "first_day": world.first_day, "config": world.config.document()},
        "settings": {bucket.name: bucket.document() for bucket in buckets},
        "versions": versions,
    }
    job = {"version": __version__, **stated}
    processes = processes or cores()
    inputs = [bucket.bundle for bucket in buckets if bucket.bundle is not None]
    with resumable_folder(path, kind=KIND, job=job, force=force, resume=resume, inputs=inputs) as work:
        simulating = time.perf_counter()
        sums = simulate_buckets(plan, work, processes=processes, servers=servers)
        seconds = time.perf_counter() - simulating
        found = analyse(
            read_table(work.path, USERS),
            read_table(work.path, EXPOSURES),
            buckets=[bucket.name for bucket in buckets],
            design=design,
            primary=primary,
            splits=splits,
            personal=shared_buckets(buckets),
        )
        spent = {name: sums[name] for name in PARTS}
        spent["rest"] = sums["block"] - sum(spent.values())
        document = {
            **{key: stated[key] for key in ("design", "users", "pre_days", "logs", "servers")},
            "world": stated["world"],
            **found,
            "sessions": int(sums["sessions"]),
            # The seconds of all blocks, and not those of this command, which may have resumed a simulation.
            "sessions_per_second": sums["sessions"] * processes / sums["block"],
            "processes": processes,
            "time": spent,
            "seconds": time.perf_counter() - started,
            "simulation_seconds": seconds,
        }
        for name, row in document["buckets"].items():
            row |= {"settings": stated["settings"][name], "version_id": versions[name]}
        write_json(work.path / HEAD, {"schema": 1, "format": 1, "kind": KIND, **document})
        _write_pages(work.path, document)
    return document


def _write_pages(folder: Path, document: dict[str, Any]) -> None:
    from edgerec.reports.ab_test.markdown import markdown
    from edgerec.reports.ab_test.page import page

    write_bytes(folder / TABLE, markdown(document).encode())
    write_bytes(folder / PAGE, page(document).encode())


def _check(
    world: LoopWorld, users: int, buckets: int, design: Design, pre_days: int, *, servers: bool, resume: bool
) -> None:
    least = LEAST_USERS * (buckets if design == "split" else 1)
    if users < least:
        raise ConfigurationError(f"abtest: users should be at least {least} for {buckets} buckets; received {users}")
    if not 0 <= pre_days < world.config.days:
        raise ConfigurationError(
            f"abtest: the pre-period should have from 0 to {world.config.days - 1} days, because the world has "
            f"{world.config.days}; received {pre_days}"
        )
    if design == "paired" and pre_days:
        raise ConfigurationError("abtest: the paired design has no pre-period: leave --pre-days out")
    if servers and resume:
        raise ConfigurationError(
            "abtest: with --server nothing can be resumed, because the server has logs of unfinished blocks: start "
            "again with --force"
        )


def checked_version(bundle: Path, public_key: PublicKey | None) -> str:
    """Check that a bundle can be used, and return its version."""
    guarded(partial(_loads, public_key=public_key), bundle)
    return read_device_manifest(bundle / DEVICE, public_key=public_key).version_id


def _loads(bundle: Path, *, public_key: PublicKey | None) -> None:
    """Check all files of a bundle, and load both halves, to find faults before the simulation."""
    load_bundle(bundle, public_key=public_key)
    open_version(bundle, public_key=public_key)
