"""From a seed to logs: blocks of users, lived in parallel and written as they are done, and the truth beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import polars as pl

from edgerec import __version__
from edgerec.core.atomic import write_json
from edgerec.core.console import progress
from edgerec.core.parallel import map_ordered
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.data.logs import FORMAT, LogsHead, write_heads, write_table
from edgerec.features.spec import table1
from edgerec.simulation.config import SimulationConfig, check_number
from edgerec.simulation.feed import DAY_MS, Feed
from edgerec.simulation.recorder import Tables
from edgerec.simulation.world import Catalogue, make_catalogue, make_users

TRUTH = "truth"
"""Folder of the ground truth inside the folder of logs; no reader of logs looks into it."""
BLOCK = 4096
"""Users of a block at most: enough that NumPy's work outweighs its calls."""
BLOCK_CELLS = 2**20
"""Users times categories of a block at most."""
BLOCK_EXPOSURES = 2**18
"""Exposures of a block, as far as they can be foreseen: with their requests they take 300 MB or so."""


@dataclass(frozen=True)
class Block:
    """Users ``first`` to ``first + count - 1`` (from 0), part `number` of the logs."""

    number: int
    first: int
    count: int

    @property
    def part(self) -> str:
        """Name of the part's files."""
        return f"part-{self.number:05d}"


def simulate(
    config: SimulationConfig,
    path: Path,
    *,
    seed: int,
    processes: int = 1,
    force: bool = False,
    resume: bool = False,
) -> dict[str, int]:
    """Draw a world from `seed`, let its users live, and write what their apps see as the logs folder `path`.

    Catalogue and blocks of users have random streams of their own: the same configuration and seed give the same bytes,
    whatever the number of processes. A simulation that is stopped keeps its finished blocks in the hidden folder
    ``.<name>.logs`` beside `path`; with `resume` it goes on after them.

    Args:
        config: sizes, behaviour, cloud.
        path: the folder to write.
        seed: not negative.
        processes: that live blocks at a time.
        force: replace `path` where it exists.
        resume: go on with a stopped simulation of the same configuration and seed.

    Returns:
        `requests`, `exposures`, `clicks`, `page_views`, `users`.

    Raises:
        ConfigurationError: the seed is not a whole number of at least 0.
        OutputError, FormatError: see `resumable_folder`.
        ResourceError: a process died.
    """
    check_number("seed", seed, whole=True, low=0, high=2**63 - 1)
    job = {"version": __version__, "format": FORMAT, "config": config.document(), "seed": seed}
    with resumable_folder(path, kind="logs", job=job, force=force, resume=resume) as work:
        for folder in ("events", "requests", f"{TRUTH}/requests", f"{TRUTH}/exposures"):
            (work.path / folder).mkdir(parents=True, exist_ok=True)
        head = LogsHead(name=f"simulated-{seed}", test_from=config.start_ms + config.days * DAY_MS * 3 // 4)
        write_table(catalogue_of(config, seed).table(), work.path / "items.parquet")
        write_json(work.path / TRUTH / "simulation.json", job)
        every = blocks(config)
        left = [block for block in every if work.finished(block.part) is None]
        live = partial(write_block, config, seed, work)
        for _ in progress(map_ordered(live, left, processes=processes), what="simulate", total=len(left)):
            pass
        notes = [work.finished(block.part) or {} for block in every]
        write_heads(work.path, head, table1())
    return {name: sum(note[name] for note in notes) for name in _COUNTS} | {"users": config.users}


_COUNTS = ("requests", "exposures", "clicks", "page_views")


def blocks(config: SimulationConfig) -> list[Block]:
    """The blocks of users of a world: a matter of its configuration alone, as each has its own randomness."""
    sessions = config.sessions_per_user / (1 - config.return_probability)
    exposures = sessions * min(config.pages * config.cloud.page, 1 / config.behaviour.leave)
    most = max(1, min(BLOCK, BLOCK_CELLS // config.categories, int(BLOCK_EXPOSURES / exposures)))
    number = -(-config.users // most)
    ends = [config.users * block // number for block in range(number + 1)]
    return [Block(block, ends[block], ends[block + 1] - ends[block]) for block in range(number)]


def live(config: SimulationConfig, seed: int, block: Block) -> Tables:
    """The lives of a block's users."""
    rng = stream(seed, 1, block.number)
    users = make_users(config, block.first, block.count, rng)
    return Feed(config, catalogue_of(config, seed), users, rng).run().tables()


def write_block(config: SimulationConfig, seed: int, work: ResumableFolder, block: Block) -> None:
    """Live a block and write its part of each table; the part is finished when its note stands."""
    tables = live(config, seed, block)
    files = []
    for name, table in _named(tables):
        files.append(work.path / name / f"{block.part}.parquet")
        write_table(table, files[-1])
    clicked = (tables.events["opened_from"] == "feed").sum()
    work.finish(
        block.part,
        {
            "requests": len(tables.requests),
            "exposures": len(tables.truth_exposures),
            "clicks": int(clicked),
            "page_views": len(tables.events) - len(tables.truth_exposures),
        },
        files,
    )


def _named(tables: Tables) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "events", tables.events
    yield "requests", tables.requests
    yield f"{TRUTH}/requests", tables.truth
    yield f"{TRUTH}/exposures", tables.truth_exposures


@lru_cache(maxsize=1)
def catalogue_of(config: SimulationConfig, seed: int) -> Catalogue:
    """The catalogue of a world, drawn once a process."""
    return make_catalogue(config, stream(seed, 0))


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """The random stream of `seed` for one purpose: ``0`` the catalogue, ``(1, number)`` a block of users."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))
