"""Pilot runs: set each policy to the same realised share before the test begins."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edgerec.core.atomic import json_bytes
from edgerec.core.console import log
from edgerec.core.resumable import ResumableFolder
from edgerec.simulation.closed_loop.blocks import EXPOSURES, Plan
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.simulate_buckets import read_table, simulate_buckets
from edgerec.simulation.mix_test.equal_share import PilotPoint
from edgerec.simulation.mix_test.policies import PRICED, Aims
from edgerec.simulation.mix_test.prices import mean_prices
from edgerec.simulation.mix_test.share_search import ShareSearch


@dataclass(frozen=True)
class PilotRun:
    """One run of one policy, as in the document.

    Attributes:
        policy: the policy.
        run: the number of the run, from 1.
        users: number of users.
        settings: by kind, the target share or the price.
        shares: by kind, the realised share.
        value: true value of a card.
        prices: by kind, the mean price over the shown cards. Empty for a policy that is not set by prices.
        sums: seconds of the parts of the closed loop, and sessions.
        folder: name of the folder with the tables, in the scratch folder.
        first_user: the ID of the first user.
    """

    policy: str
    run: int
    users: int
    settings: dict[str, float]
    shares: dict[str, float]
    value: float
    prices: dict[str, float]
    sums: dict[str, float]
    folder: str
    first_user: int

    def document(self) -> dict[str, Any]:
        """Return what the document has of the run."""
        found = asdict(self)
        return {name: found[name] for name in ("policy", "run", "users", "settings", "shares", "value")}

    @property
    def point(self) -> PilotPoint:
        """What the run says about the rate of exchange."""
        return PilotPoint(f"{self.policy} {self.first_user} {self.users}", self.shares, self.value)


@dataclass(frozen=True)
class Pilots:
    """Plays pilot runs. A run that was finished before an interruption is not played again.

    Attributes:
        world: the world.
        bundle: the bundle of all policies.
        aims: what all policies should show.
        work: the folder of the results.
        processes: number of processes.
    """

    world: LoopWorld
    bundle: Path
    aims: Aims
    work: ResumableFolder
    processes: int

    def tune(
        self, policy: str, *, first_user: int, users: int, most: int, search: ShareSearch | None = None
    ) -> tuple[ShareSearch, list[PilotRun]]:
        """Play a policy until its realised shares are near the goals, or `most` times. Return the search and the runs.

        Args:
            policy: the policy.
            first_user: the ID of the first user.
            users: number of users.
            most: the largest number of runs.
            search: where to begin. Default: at the start of `Aims`.
        """
        search = search or ShareSearch(self.aims.search_goals(policy), self.aims.start(policy))
        runs: list[PilotRun] = []
        while not search.ended and len(runs) < most:
            settings = search.next()
            runs.append(self._run(policy, settings, number=len(runs) + 1, first_user=first_user, users=users))
            search.add(settings, runs[-1].shares)
            log(f"pilot of {policy}, run {len(runs)} of at most {most}: {_said(runs[-1], search)}")
        return search, runs

    def _run(self, policy: str, settings: dict[str, float], *, number: int, first_user: int, users: int) -> PilotRun:
        bucket = self.aims.bucket(policy, self.bundle, settings)
        name = f"pilot-{_digest(bucket, first_user, users)}"
        noted = self.work.finished(name)
        if noted is not None:
            return PilotRun(**noted)
        folder = self.work.scratch / name
        for part in ("output", "parts", "scratch"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        inner = ResumableFolder(folder)
        plan = Plan(self.world, (bucket,), first_user, users, "paired", 0, False)
        sums = simulate_buckets(plan, inner, processes=self.processes, servers=False)
        exposures, kinds = read_table(inner.path, EXPOSURES), self.aims.rules.names
        shares, value = _measured(exposures, kinds)
        prices = mean_prices(exposures, kinds) if policy in PRICED else {}
        run = PilotRun(policy, number, users, settings, shares, value, prices, sums, name, first_user)
        self.work.finish(name, asdict(run))
        return run


def _measured(exposures: pl.DataFrame, kinds: Sequence[str]) -> tuple[dict[str, float], float]:
    """Return the share of each kind, and the value of a card."""
    shares = {kind: float((exposures["kind"] == kind).mean() or 0.0) for kind in kinds}  # type: ignore[arg-type]
    value = (exposures["probability"].cast(pl.Float64) * exposures["worth"].cast(pl.Float64)).mean()
    return shares, float(value or 0.0)


def _digest(bucket: Bucket, first_user: int, users: int) -> str:
    stated = json_bytes({**bucket.document(), "name": bucket.name, "first_user": first_user, "users": users})
    return hashlib.blake2b(stated, digest_size=8).hexdigest()


def _said(run: PilotRun, search: ShareSearch) -> str:
    parts = []
    for kind, goal in search.goals.items():
        low, high = 100 * goal.low, 100 * goal.high
        wanted = f"{low:g} %" if low == high else f"{low:g} to {high:g} %"
        parts.append(f"{kind} {100 * run.shares[kind]:.2f} % (wanted {wanted}) with {run.settings[kind]:.4g}")
    return ", ".join(parts)
