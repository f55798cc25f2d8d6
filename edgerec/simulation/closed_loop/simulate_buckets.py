"""Play all users of all buckets, and write the tables of an A/B test."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from edgerec.core.console import progress
from edgerec.core.parallel import map_ordered
from edgerec.core.resumable import ResumableFolder
from edgerec.simulation.closed_loop.blocks import LOGS, Plan, play_block
from edgerec.simulation.closed_loop.server import finish_logs, world_server


def simulate_buckets(plan: Plan, work: ResumableFolder, *, processes: int, servers: bool) -> dict[str, float]:
    """Play all blocks that are not finished, in parallel, and write their parts of the tables.

    Args:
        plan: what is simulated.
        work: the folder of the results. It gets ``users/part-*.parquet`` and ``exposures/part-*.parquet``.
        processes: number of processes.
        servers: whether each bucket has a server process, which writes the logs. Otherwise the RS is in the processes
            of the users. Logs are in ``logs/<bucket>``, if the plan keeps them.

    Returns:
        Seconds of `user`, `device` and `cloud` over all processes, and `sessions`.

    Raises:
        ResourceError: a process died, or a server did not start.
        EdgeRecError: a bundle cannot be loaded.
    """
    blocks = plan.blocks()
    unfinished = [block for block in blocks if work.finished(block.name) is None]
    with _servers(plan, work) if servers else contextlib.nullcontext() as urls:
        play = partial(play_block, plan, work, urls)
        done = map_ordered(play, unfinished, processes=processes)
        users = (user for block, _ in zip(unfinished, done, strict=True) for user in block.users)
        for _ in progress(users, what="users of all buckets", total=sum(len(block.users) for block in unfinished)):
            pass
    if plan.logs and not servers:
        for bucket in plan.buckets:
            finish_logs(plan.world, work.path / LOGS / bucket.name)
    sums: Counter[str] = Counter()
    for block in blocks:
        sums.update(work.finished(block.name) or {})
    return dict(sums)


def read_table(folder: Path, table: str) -> pl.DataFrame:
    """Return the table `users` or `exposures` of a folder of results."""
    return pl.read_parquet(sorted((folder / table).glob("part-*.parquet")), glob=False)


@contextlib.contextmanager
def _servers(plan: Plan, work: ResumableFolder) -> Iterator[list[str]]:
    """Run a server for each bucket, and yield their URLs."""
    (work.path / LOGS).mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        urls = []
        for bucket in plan.buckets:
            logs, scratch = work.path / LOGS / bucket.name, work.scratch / bucket.name
            scratch.mkdir(exist_ok=True)
            urls.append(stack.enter_context(world_server(plan.world, bucket.bundle, logs=logs, work=scratch)))
        yield urls
