"""The simulated cloud behind the RS: recall and initial ranking for users who come one by one.

It is the cloud of `edgerec simulate` (`edgerec.simulation.cloud`), but it learns of behaviours only from the log rows
that devices send. So what it knows is as old as the last delivery.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID
from edgerec.features.behaviours import PAGE_VIEW
from edgerec.simulation.closed_loop.keyed_random import KeyedRandom, Purpose
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.cloud import Cloud
from edgerec.simulation.mixed.cloud import clouds_by_kind
from edgerec.simulation.mixed.config import KINDS
from edgerec.simulation.mixed.pattern import fixed_places, quotas
from edgerec.simulation.world import Floats, Ints

SESSION_MS = 30 * 60_000
"""A page-view belongs to the present session if it is at most this old."""
DELETE_REASON, NOT_DELETED = "delete_reason", "none"
_WHO: Ints = np.zeros(1, np.int64)
_ATTEMPTS = 20
"""How often items are drawn for one page until there are enough."""


@dataclass
class _Known:
    """What the cloud knows of one user.

    Attributes:
        clouds: the estimates for this user: one cloud for each kind of card that is served. A plain world has one.
        random: the user's random numbers.
        page_views: time and category of page-views, in the order in which they became known.
        removed: catalogue rows of the items that the user deleted.
        served: catalogue rows of the items that were served since the feed began anew.
        feeds: how often the feed began anew.
        pages: number of pages since then.
    """

    clouds: dict[int, Cloud]
    random: KeyedRandom
    page_views: deque[tuple[int, int]] = field(default_factory=deque)
    removed: set[int] = field(default_factory=set)
    served: set[int] = field(default_factory=set)
    feeds: int = 0
    pages: int = 0


class SimulatedRecall:
    """Implements `edgerec.cloud.recall.Recall` for the users of a world.

    Args:
        world: the world.
    """

    def __init__(self, world: LoopWorld) -> None:
        self._world, self._catalogue = world, world.catalogue
        self._row_of, self._mix = world.row_of, world.config.mix
        self._users: dict[int, _Known] = {}

    def candidates(
        self, user_id: int, count: int, exclude: Collection[int], time: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the best of the items that are drawn for this page. See `Recall.candidates`.

        A request that holds no items starts the feed anew. Items that were served since then, and items that the user
        deleted, are not served again. The number of draws is proportional to `count`. In a mixed world, each kind of
        card has its quota, and the kinds have fixed places.
        """
        known = self._user(user_id)
        if not exclude:
            known.feeds, known.pages, known.served = known.feeds + 1, 0, set()
        known.pages += 1
        self._count_page_views(known, time)
        sources = {}
        for kind, wanted in self._quotas(count).items():
            if kind in known.clouds:
                sources[kind] = self._source(known, kind, wanted, time)
        if self._mix is None:
            best, estimates = sources[0][0][:count], sources[0][1][:count]
        else:
            best, estimates = _merged(sources, self._quotas(count), count)
        known.served.update(best.tolist())
        scores = next(iter(known.clouds.values())).score(estimates)
        return self._catalogue.item_id[best], scores.astype(np.float64)

    def _quotas(self, count: int) -> dict[int, int]:
        """Return how many of `count` items are of each kind."""
        return {0: count} if self._mix is None else dict(enumerate(quotas(count, self._mix.shares("recall"))))

    def _source(self, known: _Known, kind: int, count: int, time: int) -> tuple[Ints, Floats]:
        """Return items of one kind, best first, and their estimates. If there are enough, they are at least `count`."""
        page = self._world.config.cloud
        draws = -(-page.recall * count // page.page) if self._mix is None else math.ceil(self._mix.draws * count)
        found, estimates = np.zeros(0, np.int64), np.zeros(0, np.float32)
        for attempt in range(_ATTEMPTS if count else 0):
            items, noise = self._draw(known, kind, draws, attempt)
            new = ~np.isin(items, [*known.served, *known.removed, *found.tolist()])
            items, noise = items[new], noise[new]
            day = np.full(len(items), self._world.day(time), np.float32)
            who = np.zeros(len(items), np.int64)
            found = np.concatenate([found, items])
            estimates = np.concatenate([estimates, known.clouds[kind].estimate(who, items, day, noise)])
            if len(found) >= count:
                break
        best = np.argsort(-estimates, kind="stable")
        return found[best], estimates[best]

    def learn(self, events: pl.DataFrame) -> None:
        """Learn page-views and deletions from new rows of `events`. See `Recall.learn`."""
        reasons = events[DELETE_REASON].to_list() if DELETE_REASON in events.columns else [None] * len(events)
        columns = (events[name].to_list() for name in (USER_ID, TIME, KIND, ITEM_ID))
        self.learn_rows(zip(*columns, reasons, strict=True))

    def learn_rows(self, rows: Iterable[tuple[int, int, str, int, str | None]]) -> None:
        """Learn from behaviours: user, time, kind, item and the reason of a deletion."""
        for user_id, time, kind, item_id, reason in rows:
            known, row = self._user(user_id), self._row_of[item_id]
            if kind == PAGE_VIEW.name:
                known.page_views.append((time, int(self._catalogue.category[row])))
            elif reason not in (None, NOT_DELETED):
                known.removed.add(row)

    def _user(self, user_id: int) -> _Known:
        if user_id not in self._users:
            random = KeyedRandom(self._world.seed, user_id)
            config, traits, cards = self._world.config, self._world.traits(user_id), self._world.cards
            if config.mix is None or cards is None:
                clouds = {0: Cloud(config, self._catalogue, traits, random.rng)}
            else:
                clouds = clouds_by_kind(config, config.mix, cards, traits, random.rng)
            self._users[user_id] = _Known(clouds, random)
        return self._users[user_id]

    def _draw(self, known: _Known, kind: int, draws: int, attempt: int) -> tuple[Ints, Floats]:
        """Draw items of one kind. Return the different ones, and the noise of each estimate."""
        kinds = 1 if self._mix is None else len(KINDS)
        which = (known.feeds, (known.pages * _ATTEMPTS + attempt) * kinds + kind)
        # The first draws are the same for any number of draws. So pages of other sizes have mostly the same items.
        uniform = known.random.at(Purpose.RECALL, *which).random((draws, 2))
        items = known.clouds[kind].recall(_WHO, uniform.T[:, None])[0]
        different, first = np.unique(items, return_index=True)
        noise = known.random.at(Purpose.NOISE, *which).standard_normal(draws, dtype=np.float32)
        return different, noise[first]

    def _count_page_views(self, known: _Known, time: int) -> None:
        """Let the estimates know the page-views of the present session."""
        while known.page_views and known.page_views[0][0] < time - SESSION_MS:
            known.page_views.popleft()
        for cloud in known.clouds.values():
            cloud.begin_sessions(_WHO)
            for _, category in known.page_views:
                cloud.count_page_views(_WHO, np.array([category]))


def _merged(sources: dict[int, tuple[Ints, Floats]], wanted: dict[int, int], count: int) -> tuple[Ints, Floats]:
    """Return `count` items of all kinds and their estimates, in the cloud's own mix.

    Each kind has its quota. What a kind lacks, the first kinds that have more fill up.
    """
    taken = [min(wanted[kind], len(sources[kind][0])) if kind in sources else 0 for kind in range(len(KINDS))]
    for kind, (items, _) in sources.items():
        taken[kind] += min(count - sum(taken), len(items) - taken[kind])
    kinds = np.array(fixed_places(taken), np.int64)
    merged, estimates = np.zeros(len(kinds), np.int64), np.zeros(len(kinds), np.float32)
    for kind, (items, estimate) in sources.items():
        merged[kinds == kind], estimates[kinds == kind] = items[: taken[kind]], estimate[: taken[kind]]
    return merged, estimates
