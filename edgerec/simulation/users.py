"""How users decide: clicks, the actions of Table 1 and leaving, for many users at once (docs/simulator.md).

Every method takes ``who`` (n,), the distinct row indices of the users concerned. Other arrays (n,) hold one value
for each of these users.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.actions import (
    ACTIONS,
    BAD_CONTENT,
    BOUGHT_ALREADY,
    NONE,
    NOT_INTERESTED,
    SEEN_TOO_OFTEN,
    Bools,
    Exposures,
    PageViews,
    interest_of,
)
from edgerec.simulation.config import BehaviourConfig
from edgerec.simulation.intents import Intents
from edgerec.simulation.world import Floats, Ints, Users, sigmoid

_BIAS, _WEIGHT = np.array(list(ACTIONS.values()), np.float32).T
_CHOOSE_SKU, _BUY = (list(ACTIONS).index(name) for name in ("choose_sku", "buy"))


class UserStates:
    """The hidden state of a group of users: intent, fatigue, reference price level and satisfaction.

    Attributes:
        intents: what the users look for.
        fatigue: (users, categories), number of exposures of the category since its last click.
        reference_level: (users,), the price level that the next item of the feed is compared with.
    """

    def __init__(
        self, users: Users, popularity: NDArray[np.float64], config: BehaviourConfig, rng: np.random.Generator
    ) -> None:
        """Args:
        users: the users' traits.
        popularity: (categories,), share of each category in all draws. A category without items has share 0 and is
            never part of an intent.
        config: how users decide.
        rng: the source of random numbers for these users' behaviour.
        """
        shape = users.taste.shape
        self._config, self._rng = config, rng
        self.intents = Intents(users, popularity, config, rng)
        self.fatigue: Floats = np.zeros(shape, np.float32)
        self._preferred_level = users.price_level
        self.reference_level: Floats = users.price_level.astype(np.float32)
        self._bought: Bools = np.zeros(shape, np.bool_)
        self._satisfaction: Floats = np.zeros(len(users), np.float32)

    def begin_sessions(self, who: Ints, away_s: Floats) -> None:
        """Start a session: mix a new intent with the decayed last one, and reset the reference price and satisfaction.

        Args:
            who: (n,).
            away_s: (n,), seconds since the last session ended; infinite for the first session.
        """
        hours = away_s / np.float32(3600)
        self.fatigue[who] *= np.exp(-hours / np.float32(self._config.fatigue_memory_hours))[:, None]
        self.intents.renew(who, hours)
        self.reference_level[who] = self._preferred_level[who]
        self._satisfaction[who] = 0

    def logits(self, who: Ints, category: Ints, above_reference: Floats, utility: Floats, seen: Floats) -> Floats:
        """Return the click logits of items exposed now (docs/simulator.md, equation 1). The arguments must broadcast.

        Args:
            who: row indices of the users.
            category: categories of the items.
            above_reference: how many price levels the items are above the reference price level.
            utility: the users' utility of the items without any influence of the session, in logits.
            seen: number of earlier exposures of the item to the user. A click counts as three.
        """
        config = self._config
        logits: Floats = (
            np.float32(config.bias)
            + utility
            + np.float32(config.intent) * np.sqrt(self.intents.share[who, category])
            - np.float32(config.category_fatigue) * np.log1p(self.fatigue[who, category])
            - np.float32(config.item_fatigue) * seen ** np.float32(config.item_fatigue_power)
            - np.float32(config.price_contrast) * above_reference
        )
        return logits

    def above_reference(self, who: Ints, price_level: Ints) -> Floats:
        """Return how far items are above the reference price level, if they are shown in the given order.

        The reference of the first item is `reference_level`. Each shown item moves the reference for the next ones.

        Args:
            who: (n,).
            price_level: (n, k), the price levels of each user's items.

        Returns:
            Differences of price levels (n, k).
        """
        share, kept = self._config.price_forgetting, 1 - self._config.price_forgetting
        position = np.arange(price_level.shape[1])
        # The number of items between the earlier item (row) and the later one (column).
        between = position - 1 - position[:, None]
        weights = np.where(between >= 0, share * kept ** np.maximum(between, 0), 0).astype(np.float32)
        level = price_level.astype(np.float32)
        # Sums of einsum, unlike those of BLAS, do not depend on the number of users or threads.
        from_items = np.einsum("nk,kj->nj", level, weights)
        above: Floats = level - from_items - self.reference_level[who, None] * (kept**position).astype(np.float32)
        return above

    def expose(
        self, who: Ints, category: Ints, price_level: Ints, quality: Floats, probability: Floats, seen: Floats
    ) -> Exposures:
        """Let each user act on one exposed item, and update their states.

        Args:
            who: (n,).
            category: (n,), categories of the items.
            price_level: (n,), price levels of the items.
            quality: (n,), qualities of the items.
            probability: (n,), click probabilities.
            seen: (n,), number of earlier exposures of the item to the user.
        """
        rng, config, count = self._rng, self._config, len(who)
        chance = rng.random((4, count), dtype=np.float32)
        long, fast, scrolling = rng.standard_normal((3, count), dtype=np.float32)
        clicked = chance[0] < probability
        interest = interest_of(probability)
        gestures = rng.poisson(1.6 - 1.2 * interest)
        reason = np.zeros(count, np.int8)
        removed = np.flatnonzero(~clicked & (chance[1] < config.deletes * (1 - interest) ** 2))
        if len(removed):
            reason[removed] = self._reasons(who[removed], category[removed], quality[removed], seen[removed])
        self._update_after_exposure(who, category, clicked, reason)
        self.reference_level[who] += np.float32(config.price_forgetting) * (price_level - self.reference_level[who])
        drifting = np.flatnonzero(chance[2] < config.intent_drift)
        if len(drifting):
            self.intents.drift(who[drifting])
        scrolled = gestures > 0
        return Exposures(
            duration_s=np.exp(0.2 + 1.3 * interest + 0.7 * long),
            looks=1 + rng.poisson(0.6 * interest),
            scroll_speed=scrolled * np.exp(0.5 - 1.2 * interest + 0.7 * fast),
            scroll_duration_s=(0.35 * gestures * np.exp(0.5 * interest + 0.5 * scrolling)).astype(np.float32),
            scroll_count=gestures,
            reason=reason,
            clicked=clicked,
        )

    def view(self, who: Ints, category: Ints, probability: Floats, *, slips: bool) -> PageViews:
        """Let each user view the page of one item, and update their intents.

        A page-view moves intent to the category of the item. The more actions, the more intent moves. A page that was
        opened by mistake moves none. A purchase reduces the intent for the category.

        Args:
            who: (n,).
            category: (n,), categories of the items.
            probability: (n,), click probabilities of the items.
            slips: whether a page may have been opened by mistake.
        """
        rng, config, count = self._rng, self._config, len(who)
        engaged, long = rng.standard_normal((2, count), dtype=np.float32)
        engagement = interest_of(probability) + 0.5 * engaged
        actions = rng.random((count, len(ACTIONS)), dtype=np.float32) < sigmoid(_BIAS + engagement[:, None] * _WEIGHT)
        actions[:, _CHOOSE_SKU] |= actions[:, _BUY]  # A purchase includes the choice of an SKU.
        duration = np.exp(2.0 + 0.9 * engagement + 0.9 * long) + 4 * actions.sum(axis=1, dtype=np.float32)
        if slips:
            slipped = rng.random(count, dtype=np.float32) < config.slips
            actions[slipped] = False
            duration = np.where(slipped, np.exp(0.3 + 0.6 * long), duration)
            intended = np.flatnonzero(~slipped)
        else:
            intended = np.arange(count)
        share = config.intent_shift + config.intent_shift_action * actions[intended].sum(axis=1, dtype=np.float32)
        self.intents.shift(who[intended], category[intended], np.minimum(share, np.float32(0.9)))
        bought = np.flatnonzero(actions[:, _BUY])
        if len(bought):
            self._buy(who[bought], category[bought])
        return PageViews(duration.astype(np.float32), actions.astype(np.int8))

    def hazard(self, who: Ints) -> Floats:
        """Return the probability (n,) that users leave now. Satisfied users are less likely to leave."""
        hazard: Floats = self._config.leave * np.exp(-self._config.patience * self._satisfaction[who])
        return hazard

    def leaving(self, who: Ints, factor: Floats | float = 1.0) -> Bools:
        """Draw which of the users `who` (n,) leave now. `factor` (n,) multiplies the probability."""
        leaving: Bools = self._rng.random(len(who), dtype=np.float32) < self.hazard(who) * factor
        return leaving

    def _update_after_exposure(self, who: Ints, category: Ints, clicked: Bools, reason: NDArray[np.int8]) -> None:
        """Update fatigue and satisfaction after one exposure. A removal adds as much fatigue as five exposures."""
        tired = self.fatigue[who, category] + np.where(reason == NONE, np.float32(1), np.float32(5))
        self.fatigue[who, category] = np.where(clicked, np.float32(0), tired)
        self._satisfaction[who] += np.float32(0.1) * (clicked - self._satisfaction[who])

    def _buy(self, who: Ints, category: Ints) -> None:
        self._bought[who, category] = True
        self.fatigue[who, category] += 10
        self.intents.satisfy(who, category)

    def _reasons(self, who: Ints, category: Ints, quality: Floats, seen: Floats) -> NDArray[np.int8]:
        other = np.where(quality < -1, BAD_CONTENT, NOT_INTERESTED)
        return np.where(self._bought[who, category], BOUGHT_ALREADY, np.where(seen >= 1, SEEN_TOO_OFTEN, other)).astype(
            np.int8
        )
