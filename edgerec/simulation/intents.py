"""The intents of users: what each user currently looks for, as shares of categories (docs/simulator.md)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.config import BehaviourConfig
from edgerec.simulation.world import Floats, Ints, Users


class Intents:
    """The intents of a group of users.

    Every method takes ``who`` (n,), the distinct row indices of the users concerned. Other arrays (n,) have
    one value for each of these users.

    Attributes:
        share: (users, categories), not negative. The sum of each row is 1 after the user's first session has started.
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
        self._config, self._rng = config, rng
        with np.errstate(divide="ignore"):
            self._log_preference: Floats = users.taste + np.log(popularity).astype(np.float32)
        self._choices = max(1, min(config.intent_categories, int((popularity > 0).sum())))
        self.share: Floats = np.zeros(users.taste.shape, np.float32)

    def renew(self, who: Ints, hours: Floats) -> None:
        """Mix new intents with the old ones, which have decayed for `hours` (n,)."""
        kept = np.exp(-hours / np.float32(self._config.intent_memory_hours))[:, None]
        self.share[who] = kept * self.share[who] + (1 - kept) * self._draw(who)

    def shift(self, who: Ints, category: Ints, share: Floats) -> None:
        """Move `share` (n,) of the intents to `category` (n,)."""
        self.share[who] *= (1 - share)[:, None]
        self.share[who, category] += share

    def drift(self, who: Ints) -> None:
        """Move half of each intent to a random category. Categories that fit the user's taste are more likely."""
        self.shift(who, np.argmax(self._taste_keys(who), axis=1), np.full(len(who), 0.5, np.float32))

    def satisfy(self, who: Ints, category: Ints) -> None:
        """Reduce the intents for `category` (n,) to a tenth, because the users bought an item of it."""
        self.share[who, category] *= np.float32(0.1)
        self.share[who] /= self.share[who].sum(axis=1, keepdims=True)

    def draw_categories(self, who: Ints) -> Ints:
        """Draw one category for each user. The user's intent is the probability of a category."""
        cumulative = np.cumsum(self.share[who], axis=1)
        total = cumulative[:, -1:]
        threshold = self._rng.random((len(who), 1), dtype=np.float32) * total
        # Rounding may make the threshold equal to the total. Keep it below, so that the drawn category has intent.
        category: Ints = (cumulative <= np.minimum(threshold, np.nextafter(total, np.float32(0)))).sum(axis=1)
        return category

    def _draw(self, who: Ints) -> Floats:
        """Draw one to `intent_categories` categories for each user, and Dirichlet(2) weights for them.

        Popular categories and categories that fit the user's taste are more likely.
        """
        keys, largest = self._taste_keys(who), self._choices
        chosen = np.argpartition(-keys, largest - 1, axis=1)[:, :largest]
        # Sort the categories by their keys, the largest first. Each user keeps only the first few of them.
        chosen = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(keys, chosen, 1), axis=1), 1)
        weights = self._rng.gamma(2.0, size=chosen.shape).astype(np.float32)
        weights[np.arange(largest) >= self._rng.integers(1, largest + 1, len(who))[:, None]] = 0
        share = np.zeros((len(who), keys.shape[1]), np.float32)
        np.put_along_axis(share, chosen, weights / weights.sum(axis=1, keepdims=True), 1)
        return share

    def _taste_keys(self, who: Ints) -> Floats:
        """Draw random keys (n, categories). The categories of the k largest keys are a draw without replacement.

        This is the Gumbel-top-k trick. The probabilities are proportional to popularity times exp(taste).
        """
        exponentials = self._rng.standard_exponential((len(who), self._log_preference.shape[1]), dtype=np.float32)
        keys: Floats = self._log_preference[who] - np.log(np.maximum(exponentials, np.float32(1e-30)))
        return keys
