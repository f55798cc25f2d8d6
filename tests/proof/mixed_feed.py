"""A feed of a mixed world in which a policy that knows the truth orders the cards. It writes no logs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.actions import NONE, Bools
from edgerec.simulation.cloud import Pages
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.feed import Feed, milliseconds
from edgerec.simulation.mixed.config import AD, KINDS
from edgerec.simulation.mixed.mixture import Mixture
from edgerec.simulation.mixed.traits import make_traits
from edgerec.simulation.population import cards_of, catalogue_of, stream
from edgerec.simulation.recorder import FEED
from edgerec.simulation.world import Floats, Ints, make_users, sigmoid, utility
from tests.proof.mixed_plans import Lists, Policy, plan

BLOCK = 1000


@dataclass(frozen=True)
class Outcome:
    """What each user did; arrays (users,) unless stated otherwise.

    Attributes:
        value: sum of true click probability times worth of the shown cards.
        cards: (users, kinds), number of shown cards.
        sessions, left: number of sessions, and of those pages that the user left before their end.
    """

    value: NDArray[np.float64]
    cards: NDArray[np.float64]
    sessions: NDArray[np.float64]
    left: NDArray[np.float64]

    @property
    def ads(self) -> float:
        """The share of ads."""
        return float(self.cards[:, AD].sum() / self.cards.sum())


class OracleFeed(Feed):
    """The feed of `edgerec simulate` with another order. A device holds twice the cards that the user sees."""

    def __init__(self, config: SimulationConfig, mixture: Mixture, policy: Policy, *args: object, shown: int) -> None:
        catalogue, users, rng = args
        super().__init__(config, catalogue, users, rng, mixture)  # type: ignore[arg-type]
        self._mixed, self._policy, self._seen_places = mixture, policy, shown
        count = len(self._users)
        self._lists = Lists.empty(count)
        self.outcome = Outcome(*(np.zeros((count, len(KINDS)) if wide else count) for wide in (0, 1, 0, 0)))

    def _begin(self, who: Ints, away_s: Floats) -> None:
        super()._begin(who, away_s)
        self._lists.begin(who)
        self.outcome.sessions[who] += 1

    def _browse(self, who: Ints, pages: Pages) -> Bools:
        catalogue, items, lists, outcome = self._catalogue, pages.items, self._lists, self.outcome
        cards = self._mixed.cards
        keys = who[:, None] * len(catalogue) + items
        records = self._history.find(keys.ravel()).reshape(items.shape)
        seen = np.where(records < 0, np.float32(0), self._history.exposures[records])
        looks = np.where(records < 0, 0, self._history.looks[records]).astype(np.int64)
        day = self._day(who)[:, None]
        utilities = utility(catalogue, self._users, who[:, None], items, day, self._config.behaviour)
        label, removed = np.full(items.shape, -1, np.int8), np.zeros(items.shape, np.bool_)
        free = np.arange(items.shape[1]) < pages.length[:, None]
        has_left, active = np.zeros(len(who), np.bool_), np.arange(len(who))
        orders, next_of = np.full((len(who), self._policy.depth), -1), np.zeros(len(who), np.int64)
        unanswered = np.zeros(len(who), np.int64)
        stale = np.ones(len(who), np.bool_)
        for position in range(self._seen_places):
            active = active[free[active].any(axis=1)]
            if not len(active):
                break
            planning = active[stale[active]]
            if len(planning):
                user, rest = who[planning], items[planning]
                logits = self._logits(user, rest, utilities[planning], seen[planning])
                logits = logits + self._mixed.states.own(user[:, None], cards.kind[rest])
                hazard = self._states.hazard(user)
                made = plan(self._mixed, lists, self._policy, user, rest, logits, free[planning], position, hazard)
                orders[planning] = -1
                orders[planning, : made.shape[1]], next_of[planning] = made, 0
            column = orders[active, next_of[active]]
            next_of[active] += 1
            user, item = who[active], items[active, column]
            logits = self._logits(
                user, item[:, None], utilities[active, column][:, None], seen[active, column][:, None]
            )
            probability = sigmoid(logits + self._mixed.effects(user, item[:, None], position).total)[:, 0]
            free[active, column] = False
            done = self._states.expose(
                user,
                catalogue.category[item],
                catalogue.price_level[item],
                catalogue.quality[item],
                probability,
                seen[active, column],
            )
            kind = cards.kind[item]
            self._mixed.show(user, item)
            lists.show(user, kind, cards.advertiser[item])
            self._now[user] += milliseconds(done.duration_s + done.scroll_duration_s)
            outcome.value[user] += probability * np.array(cards.worth)[kind]
            outcome.cards[user, kind] += 1
            label[active, column], removed[active, column] = done.clicked, done.reason != NONE
            opened = np.flatnonzero(done.clicked)
            scores = np.zeros(len(opened), np.float32)
            self._view_pages(user[opened], item[opened], scores, probability[opened], FEED)
            trigger, unanswered[active] = self._triggers(done, unanswered[active])
            following = orders[active, np.minimum(next_of[active], orders.shape[1] - 1)]
            stale[active] = (trigger >= 0) | (next_of[active] >= orders.shape[1]) | (following < 0)
            stale[active] |= lists.place[user] % 20 == 0
            leaving = self._states.leaving(user, self._mixed.states.leaving(user))
            has_left[active[leaving]] = True
            active = active[~leaving]
        outcome.left[who] += has_left
        self._update_history(keys, label, looks, removed, self._session[who])
        return has_left

    def _logits(self, who: Ints, items: Ints, utilities: Floats, seen: Floats) -> Floats:
        """Return the click logits (n, k) of cards that are shown next, without what a mixed world adds."""
        level = self._catalogue.price_level[items] - self._states.reference_level[who, None]
        category = self._catalogue.category[items]
        return self._states.logits(who[:, None], category, level.astype(np.float32), utilities, seen)


def play(world: SimulationConfig, policy: Policy, *, seed: int = 1) -> Outcome:
    """Play all users of a mixed world with a policy."""
    assert world.mix is not None
    shown = world.cloud.page
    config = replace(world, cloud=replace(world.cloud, page=2 * shown, recall=2 * world.cloud.recall))
    cards = cards_of(config, seed)
    assert cards is not None
    outcomes = []
    for number, first in enumerate(range(0, world.users, BLOCK)):
        count = min(BLOCK, world.users - first)
        rng = stream(seed, 1, number)
        users = make_users(config, first, count, rng)
        mixture = Mixture(world.mix, cards, make_traits(world.mix, count, stream(seed, 4, number)))
        feed = OracleFeed(config, mixture, policy, catalogue_of(config, seed), users, rng, shown=shown)
        feed.run()
        outcomes.append(feed.outcome)
    return Outcome(*(np.concatenate([getattr(one, name) for one in outcomes]) for name in vars(outcomes[0])))
