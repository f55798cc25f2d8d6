"""Write simulated logs and the true click probabilities. Blocks of users are simulated in parallel processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import polars as pl

from edgerec import __version__
from edgerec.core.atomic import write_json
from edgerec.core.console import progress
from edgerec.core.errors import InputError
from edgerec.core.parallel import map_ordered
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.data.logs import FORMAT, LogsHead, write_heads, write_table
from edgerec.features.spec import FeatureSpec, table1
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.feed import DAY_MS, Feed
from edgerec.simulation.mixed.cards import Cards, make_cards, mixed_spec
from edgerec.simulation.mixed.config import MixedConfig
from edgerec.simulation.mixed.mixture import Mixture
from edgerec.simulation.mixed.traits import make_traits
from edgerec.simulation.parameters import check_number
from edgerec.simulation.recorder import Tables
from edgerec.simulation.world import Catalogue, make_catalogue, make_users

TRUTH = "truth"
"""Folder of the ground truth inside the folder of logs. Readers of logs ignore it."""
BLOCK = 4096
"""Maximum number of users in a block. With so many users, the overhead of NumPy calls is small."""
BLOCK_CELLS = 2**20
"""Maximum product of the numbers of users and categories in a block."""
BLOCK_EXPOSURES = 2**18
"""Maximum number of expected exposures in a block. With their requests, they need about 300 MB of memory."""


@dataclass(frozen=True)
class Block:
    """Users ``first`` to ``first + count - 1`` (counted from 0), which become part `number` of the logs."""

    number: int
    first: int
    count: int

    @property
    def part(self) -> str:
        """Name of the part's files."""
        return f"part-{self.number:05d}"


def simulate(
    config: SimulationConfig,
    path: AnyPath,
    *,
    seed: int = 1,
    processes: int = 1,
    force: bool = False,
    resume: bool = False,
) -> dict[str, int]:
    """Simulate a world and write its logs and true click probabilities to the folder `path`.

    The catalogue and each block of users have their own random streams. So the same configuration and seed give the
    same bytes for any number of processes. If the simulation is interrupted, its finished blocks stay in the hidden
    folder ``.<name>.logs`` beside `path`. With `resume`, only the other blocks are simulated.

    Args:
        config: sizes, behaviour, cloud. `SimulationConfig(users=300)` changes one of its defaults.
        path: the folder to write.
        seed: a whole number of at least 0.
        processes: number of processes that simulate blocks at the same time.
        force: replace `path` if it exists.
        resume: continue an interrupted simulation of the same configuration and seed.

    Returns:
        The counts `requests`, `exposures`, `clicks`, `page_views` and `users`.

    Raises:
        InputError: `config` or `path` has another type.
        ConfigurationError: the seed is not a whole number of at least 0.
        OutputError, FormatError: see `resumable_folder`.
        ResourceError: a child process died.
    """
    path = to_path(path, "simulate: `path`")
    if not isinstance(config, SimulationConfig):
        raise InputError(f"simulate: `config` should be a SimulationConfig; received {type(config).__name__}")
    check_number("seed", seed, integer=True, low=0, high=2**63 - 1)
    job = {"version": __version__, "format": FORMAT, "config": config.document(), "seed": seed}
    with resumable_folder(path, kind="logs", job=job, force=force, resume=resume) as work:
        for folder in ("events", "requests", f"{TRUTH}/requests", f"{TRUTH}/exposures"):
            (work.path / folder).mkdir(parents=True, exist_ok=True)
        head = LogsHead(name=f"simulated-{seed}", test_from=config.start_ms + config.days * DAY_MS * 3 // 4)
        write_table(items_of(config, seed), work.path / "items.parquet")
        write_json(work.path / TRUTH / "simulation.json", job)
        all_blocks = blocks(config)
        unfinished = [block for block in all_blocks if work.finished(block.part) is None]
        write = partial(write_block, config, seed, work)
        for _ in progress(map_ordered(write, unfinished, processes=processes), what="simulate", total=len(unfinished)):
            pass
        block_counts = [work.finished(block.part) or {} for block in all_blocks]
        write_heads(work.path, head, spec_of(config))
    return {name: sum(counts[name] for counts in block_counts) for name in _COUNTS} | {"users": config.users}


_COUNTS = ("requests", "exposures", "clicks", "page_views")


def blocks(config: SimulationConfig) -> list[Block]:
    """Split the users into blocks of nearly equal size. The result depends on the configuration alone."""
    sessions = config.sessions_per_user / (1 - config.return_probability)
    exposures = sessions * min(config.pages * config.cloud.page, 1 / config.behaviour.leave)
    largest = max(1, min(BLOCK, BLOCK_CELLS // config.categories, int(BLOCK_EXPOSURES / exposures)))
    number = -(-config.users // largest)
    ends = [config.users * block // number for block in range(number + 1)]
    return [Block(block, ends[block], ends[block + 1] - ends[block]) for block in range(number)]


def simulate_block(config: SimulationConfig, seed: int, block: Block) -> Tables:
    """Simulate the users of a block and return their tables."""
    rng = stream(seed, 1, block.number)
    users = make_users(config, block.first, block.count, rng)
    mixture = None
    if config.mix is not None:
        traits = make_traits(config.mix, block.count, stream(seed, 4, block.number))
        mixture = Mixture(config.mix, _cards(config.mix, config, seed), traits)
    return Feed(config, catalogue_of(config, seed), users, rng, mixture).run().tables()


def write_block(config: SimulationConfig, seed: int, work: ResumableFolder, block: Block) -> None:
    """Simulate a block, write its part of each table, and then mark the part as finished."""
    tables = simulate_block(config, seed, block)
    files = []
    for name, table in _named_tables(tables):
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


def _named_tables(tables: Tables) -> Iterator[tuple[str, pl.DataFrame]]:
    yield "events", tables.events
    yield "requests", tables.requests
    yield f"{TRUTH}/requests", tables.truth
    yield f"{TRUTH}/exposures", tables.truth_exposures


@lru_cache(maxsize=1)
def catalogue_of(config: SimulationConfig, seed: int) -> Catalogue:
    """Return the catalogue of a world. It is drawn once in each process."""
    return make_catalogue(config, stream(seed, 0))


def cards_of(config: SimulationConfig, seed: int) -> Cards | None:
    """Return the cards of a mixed world; None for a plain one."""
    return None if config.mix is None else _cards(config.mix, config, seed)


@lru_cache(maxsize=1)
def _cards(mix: MixedConfig, config: SimulationConfig, seed: int) -> Cards:
    return make_cards(mix, catalogue_of(config, seed), stream(seed, 3))


def items_of(config: SimulationConfig, seed: int) -> pl.DataFrame:
    """Return the table of items of a world."""
    cards = cards_of(config, seed)
    return catalogue_of(config, seed).table() if cards is None else cards.table()


def spec_of(config: SimulationConfig) -> FeatureSpec:
    """Return the features of the logs of a world."""
    return table1() if config.mix is None else mixed_spec()


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """Return the random stream of `seed` for one purpose.

    ``0``: the catalogue. ``(1, number)``: a block of users. ``(2, user)``: a user of the closed loop (`KeyedRandom`).
    ``3``: the cards of a mixed world. ``(4, number)``: what the users of a block have in a mixed world.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))
