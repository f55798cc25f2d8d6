"""A simulated world whose users are simulated one by one, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from edgerec.features.spec import FeatureSpec
from edgerec.simulation.closed_loop.keyed_random import KeyedRandom, Purpose
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.feed import DAY_MS
from edgerec.simulation.mixed.cards import Cards
from edgerec.simulation.mixed.mixture import Mixture
from edgerec.simulation.mixed.traits import make_traits
from edgerec.simulation.population import cards_of, catalogue_of, items_of, spec_of
from edgerec.simulation.world import Catalogue, Users, make_users


@dataclass(frozen=True)
class LoopWorld:
    """The catalogue of a simulated world, with users who are not in the logs of `edgerec simulate`.

    Attributes:
        config: sizes, behaviour, cloud.
        seed: the seed of the catalogue and of the users.
        first_day: the first simulated day, counted from `config.start_ms`. Fashion moves on with the days.
    """

    config: SimulationConfig
    seed: int
    first_day: int = 0

    @property
    def catalogue(self) -> Catalogue:
        """The items. They are those of `edgerec simulate` with the same parameters and seed."""
        return catalogue_of(self.config, self.seed)

    @property
    def cards(self) -> Cards | None:
        """The kinds and advertisers of the items of a mixed world; None for a plain one."""
        return cards_of(self.config, self.seed)

    @property
    def items(self) -> pl.DataFrame:
        """The table of items."""
        return items_of(self.config, self.seed)

    @property
    def spec(self) -> FeatureSpec:
        """The features of the logs."""
        return spec_of(self.config)

    @property
    def row_of(self) -> Mapping[int, int]:
        """The row of each item in the catalogue, by item ID."""
        return _rows(self.config, self.seed)

    @property
    def start_ms(self) -> int:
        """When the simulated period starts, in milliseconds since 1970."""
        return self.config.start_ms + self.first_day * DAY_MS

    @property
    def end_ms(self) -> int:
        """The end of the last simulated day. No session begins after it."""
        return self.start_ms + self.config.days * DAY_MS

    def traits(self, user_id: int) -> Users:
        """Return the traits of one user, one row."""
        return make_users(self.config, user_id - 1, 1, KeyedRandom(self.seed, user_id).at(Purpose.TRAITS))

    def mixture(self, user_id: int) -> Mixture | None:
        """Return what a mixed world has in addition for one user; None for a plain world."""
        cards, mix = self.cards, self.config.mix
        if cards is None or mix is None:
            return None
        traits = make_traits(mix, 1, KeyedRandom(self.seed, user_id).at(Purpose.MIXED_TRAITS))
        return Mixture(mix, cards, traits)

    def day(self, time: int) -> float:
        """Return a time in days since `config.start_ms`."""
        return (time - self.config.start_ms) / DAY_MS


@lru_cache(maxsize=1)
def _rows(config: SimulationConfig, seed: int) -> dict[int, int]:
    ids = catalogue_of(config, seed).item_id.tolist()
    return dict(zip(ids, range(len(ids)), strict=True))
