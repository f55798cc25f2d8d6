"""`edgerec abtest --mix`: set all policies to the same shares, simulate them on the same users, write the results."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgerec import __version__
from edgerec.bundle.layout import DEVICE
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.bundle.signing import PublicKey
from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.errors import ConfigurationError
from edgerec.core.parallel import cores
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.simulation.ab_test.run import LEAST_USERS, PARTS, checked_version
from edgerec.simulation.closed_loop.blocks import EXPOSURES, USERS, Plan
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.simulate_buckets import read_table, simulate_buckets
from edgerec.simulation.mix_test.analyse import analyse_policies
from edgerec.simulation.mix_test.pilots import PilotRun, Pilots
from edgerec.simulation.mix_test.policies import HINDSIGHT, POLICIES, PRICED, Aims, check_policies, checked_goals
from edgerec.simulation.mix_test.share_search import ShareSearch

KIND = "mix_test"
HEAD, PAGE, TABLE = "mix_test.json", "mix_test.html", "mix_test.md"
PILOT_USERS, PILOT_RUNS = 200, 4
HINDSIGHT_RUNS = 2
"""Most runs of `hindsight` on all users of the test."""
HINDSIGHT_TOLERANCE = 0.0015


def run_mix_test(
    world: LoopWorld,
    bundle: Path,
    path: Path,
    *,
    users: int,
    policies: Sequence[str] = POLICIES,
    goals: Mapping[str, float] | None = None,
    pilot_users: int = PILOT_USERS,
    first_user: int | None = None,
    processes: int | None = None,
    public_key: PublicKey | None = None,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Test mixing policies at equal realised share and write the folder `path`: tables, JSON, Markdown and a page.

    Pilot runs on other users find the setting of each policy at which users see the wanted share. `hindsight` is then
    set on the users of the test themselves. Every user is in every policy, with the same random numbers.

    Args:
        world: a mixed world. Its users are not those in the logs of `edgerec simulate`.
        bundle: a bundle with rules, trained on logs of this world.
        path: the folder to write.
        users: number of users under each policy.
        policies: names of `POLICIES`; the first one is the control.
        goals: by kind, the share that all policies are set to. Default: see `checked_goals`.
        pilot_users: number of users of a pilot run.
        first_user: the ID of the first user. Default: the first one who is not in the logs of `edgerec simulate`.
        processes: number of processes; default: one for each core.
        public_key: the bundle must have a signature of this key.
        force: replace `path`.
        resume: continue an interrupted test.

    Raises:
        ConfigurationError: a setting is not valid, the world is not mixed, or the bundle has no rules.
        OutputError, FormatError: see `resumable_folder`.
        EdgeRecError: the bundle cannot be loaded, or a process died.
    """
    started = time.perf_counter()
    policies = check_policies(policies)
    for name, count in (("users", users), ("pilot users", pilot_users)):
        if count < LEAST_USERS:
            raise ConfigurationError(f"abtest --mix: {name} should be at least {LEAST_USERS}; received {count}")
    if world.config.mix is None:
        raise ConfigurationError(
            "abtest --mix: the world should be mixed: give the logs of `edgerec simulate --mixed` with --world"
        )
    aims = _aims(bundle, goals or {}, public_key)
    version = checked_version(bundle, public_key)
    first = world.config.users + 1 if first_user is None else first_user
    stated: dict[str, Any] = {
        "policies": list(policies),
        "users": users,
        "first_user": first,
        "pilot_users": pilot_users,
        "goals": dict(aims.goals),
        "bundle": str(bundle),
        "version_id": version,
        "world": {"seed": world.seed, "first_day": world.first_day, "config": world.config.document()},
    }
    processes = processes or cores()
    job = {"version": __version__, **stated}
    with resumable_folder(path, kind=KIND, job=job, force=force, resume=resume, inputs=[bundle]) as work:
        pilots = Pilots(world, bundle, aims, work, processes)
        buckets, runs = _tuned(pilots, policies, first_user=first + users, users=pilot_users)
        begun = time.perf_counter()
        plain = tuple(buckets[name] for name in policies if name != HINDSIGHT)
        sums = Counter(
            simulate_buckets(
                Plan(world, plain, first, users, "paired", 0, False), work, processes=processes, servers=False
            )
        )
        if HINDSIGHT in policies:
            bucket, best = _hindsight(pilots, runs, work, first_user=first, users=users, number=len(plain))
            buckets[HINDSIGHT] = bucket
            sums.update(best.sums)
        seconds = time.perf_counter() - begun
        found = analyse_policies(
            read_table(work.path, USERS),
            read_table(work.path, EXPOSURES),
            policies=policies,
            bounds={kind: rules.share for kind, rules in aims.rules.kinds.items()},
            goals=aims.goals,
            pilots=[run.point for own in runs.values() for run in own],
            start_ms=world.start_ms,
        )
        spent = {name: sums[name] for name in PARTS}
        spent["rest"] = sums["block"] - sum(spent.values())
        every = [run for own in runs.values() for run in own]
        document = {
            "users": users,
            "pilot_users": pilot_users,
            "version_id": version,
            "world": stated["world"],
            **found,
            "pilots": [run.document() for run in every],
            "pilot_sessions": int(sum(run.sums["sessions"] for run in every)),
            "sessions": int(sums["sessions"]),
            "sessions_per_second": sums["sessions"] * processes / sums["block"],
            "processes": processes,
            "time": spent,
            "seconds": time.perf_counter() - started,
            "simulation_seconds": seconds,
        }
        for name, row in document["policies"].items():
            row |= {"settings": buckets[name].document(), "version_id": version}
        write_json(work.path / HEAD, {"schema": 1, "format": 1, "kind": KIND, **document})
        _write_pages(work.path, document)
    return document


def _tuned(
    pilots: Pilots, policies: Sequence[str], *, first_user: int, users: int
) -> tuple[dict[str, Bucket], dict[str, list[PilotRun]]]:
    """Return the bucket of each policy but `hindsight` at equal shares, and all pilot runs by policy."""
    buckets: dict[str, Bucket] = {}
    runs: dict[str, list[PilotRun]] = {}
    before: dict[bool, ShareSearch] = {}
    for policy in policies:
        search, near = None, before.get(policy in PRICED)
        if near is not None:
            # The settings of a policy of the same family are a good start.
            start = near.best()
            if policy == HINDSIGHT:
                # Constant prices near the mean of the moving ones give nearly the same share.
                start |= {kind: price for kind, price in _last(runs, "price", start).items() if kind in start}
            search = ShareSearch(near.with_slopes(), start)
        search, runs[policy] = pilots.tune(policy, first_user=first_user, users=users, most=PILOT_RUNS, search=search)
        buckets[policy] = pilots.aims.bucket(policy, pilots.bundle, search.best())
        before[policy in PRICED] = search
    return buckets, runs


def _last(runs: Mapping[str, Sequence[PilotRun]], policy: str, settings: Mapping[str, float]) -> dict[str, float]:
    """Return the mean prices of the run of a policy with these settings."""
    return next((run.prices for run in runs.get(policy, ()) if run.settings == settings), {})


def _hindsight(
    pilots: Pilots,
    runs: dict[str, list[PilotRun]],
    work: ResumableFolder,
    *,
    first_user: int,
    users: int,
    number: int,
) -> tuple[Bucket, PilotRun]:
    """Find constant prices on the users of the test. The tables of the best run become parts of the results."""
    pilot = ShareSearch(pilots.aims.search_goals(HINDSIGHT), {})
    for run in runs[HINDSIGHT]:
        pilot.add(run.settings, run.shares)
    search = ShareSearch(pilot.with_slopes(), pilot.best(), HINDSIGHT_TOLERANCE)
    search, found = pilots.tune(HINDSIGHT, first_user=first_user, users=users, most=HINDSIGHT_RUNS, search=search)
    settings = search.best()
    best = next(run for run in found if run.settings == settings)
    for table in (USERS, EXPOSURES):
        for part in sorted((work.scratch / best.folder / "output" / table).glob("part-*.parquet")):
            target = work.path / table / part.name.replace("-00.parquet", f"-{number:02d}.parquet")
            shutil.copyfile(part, target)
    runs[HINDSIGHT] += found
    return pilots.aims.bucket(HINDSIGHT, pilots.bundle, settings), best


def _aims(bundle: Path, goals: Mapping[str, float], public_key: PublicKey | None) -> Aims:
    mixing = read_device_manifest(bundle / DEVICE, public_key=public_key).mixing
    if mixing is None:
        raise ConfigurationError(
            f"abtest --mix: the bundle {bundle} should have the rules of a mixed feed: export it with --rules"
        )
    return Aims(mixing.rules, checked_goals(mixing.rules, goals), mixing.start_prices)


def _write_pages(folder: Path, document: dict[str, Any]) -> None:
    from edgerec.reports.mix_test.markdown import markdown
    from edgerec.reports.mix_test.page import page

    write_bytes(folder / TABLE, markdown(document).encode())
    write_bytes(folder / PAGE, page(document).encode())
