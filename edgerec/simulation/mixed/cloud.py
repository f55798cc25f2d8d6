"""The simulated cloud of a mixed world: recall by kind with quotas, and places of kinds that are drawn at random."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgerec.simulation.cloud import Cloud, Pages
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.history import History
from edgerec.simulation.mixed.cards import Cards
from edgerec.simulation.mixed.config import MixedConfig
from edgerec.simulation.mixed.pattern import quotas, random_places
from edgerec.simulation.world import Floats, Ints, Users


def clouds_by_kind(
    config: SimulationConfig, mix: MixedConfig, cards: Cards, users: Users, rng: np.random.Generator
) -> dict[int, Cloud]:
    """Return a cloud for each kind that has cards and a quota. Its page is the quota of a page."""
    clouds = {}
    for kind, (quota, catalogue) in enumerate(
        zip(quotas(config.cloud.page, mix.shares("recall")), cards.of_kind, strict=True)
    ):
        if quota and catalogue is not None:
            own = replace(config.cloud, page=quota, recall=math.ceil(mix.draws * quota))
            clouds[kind] = Cloud(replace(config, cloud=own), catalogue, users, rng)
    return clouds


class MixedCloud:
    """Serves pages like `edgerec.simulation.cloud.Cloud`, with cards of all kinds.

    Each kind has its quota of a page. Its cards are in the cloud's order. The kind of each place is drawn at random, so
    what is beside a card says nothing about the card.
    """

    def __init__(
        self, config: SimulationConfig, mix: MixedConfig, cards: Cards, users: Users, rng: np.random.Generator
    ) -> None:
        """See `Cloud`."""
        self._clouds = clouds_by_kind(config, mix, cards, users, rng)
        self._shares, self._rng = mix.shares("recall"), rng

    def begin_sessions(self, who: Ints) -> None:
        """See `Cloud.begin_sessions`."""
        for cloud in self._clouds.values():
            cloud.begin_sessions(who)

    def count_page_views(self, who: Ints, category: Ints) -> None:
        """See `Cloud.count_page_views`."""
        for cloud in self._clouds.values():
            cloud.count_page_views(who, category)

    def serve(self, who: Ints, day: Floats, history: History, session: Ints) -> Pages:
        """Return one page for each user, with the probability of the kind of each place. See `Cloud.serve`."""
        sources = {kind: cloud.serve(who, day, history, session) for kind, cloud in self._clouds.items()}
        available = np.zeros((len(who), len(self._shares)), np.int64)
        for kind, source in sources.items():
            available[:, kind] = source.length
        kinds, probabilities = random_places(available, self._shares, self._rng)
        items = np.zeros(kinds.shape, np.int64)
        scores = np.zeros(kinds.shape, np.float32)
        for kind, source in sources.items():
            # Places after the end of a page have the probability 0.
            row, place = np.nonzero((kinds == kind) & (probabilities > 0))
            number = np.cumsum((kinds == kind) & (probabilities > 0), axis=1)[row, place] - 1
            items[row, place], scores[row, place] = source.items[row, number], source.scores[row, number]
        return Pages(items, scores, available.sum(axis=1), probabilities)
