"""The simulated cloud: recall and initial ranking (RS, section 3.1).

The cloud learns of what users do on a page only when they request the next page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.history import History
from edgerec.simulation.world import Catalogue, Floats, Ints, Users, sigmoid, utility


@dataclass(frozen=True)
class Pages:
    """The served pages, one row for each user; arrays (n, k). Only the first `length` values of a row have a meaning.

    Attributes:
        items: row indices of the catalogue in the initial order, best first.
        scores: the cloud's estimated click probabilities, descending.
        length: (n,), the number of items on each page.
        propensities: the probability with which each place got its kind of card; None in a plain world.
    """

    items: Ints
    scores: Floats
    length: Ints
    propensities: Floats | None = None


class Cloud:
    """Recall and initial ranking for a group of users.

    The cloud estimates an item's utility from the user's long-term taste and the item's appeal on the day before. It
    adds constant errors of the user's taste and the item's quality, noise that is new on each page, and a bonus for
    categories whose item pages the user viewed in this session before the request.
    """

    def __init__(self, config: SimulationConfig, catalogue: Catalogue, users: Users, rng: np.random.Generator) -> None:
        """Args:
        config: sizes and errors.
        catalogue: all items.
        users: the users that this cloud serves.
        rng: the source of random numbers for recall and noise.
        """
        self._config, self._catalogue, self._users, self._rng = config, catalogue, users, rng
        self._page_views: Floats = np.zeros(users.taste.shape, np.float32)
        """Number of page-views in the current session, by user and category."""

    def begin_sessions(self, who: Ints) -> None:
        """Start a new session for the users `who` (n,): delete the counts of page-views of their last session."""
        self._page_views[who] = 0

    def count_page_views(self, who: Ints, category: Ints) -> None:
        """Add one page-view to the counts of each user of `who` (n,), in the category of the same row of `category`."""
        self._page_views[who, category] += 1

    def serve(self, who: Ints, day: Floats, history: History, session: Ints) -> Pages:
        """Return one page for each user: the best recalled items, without removed items and items of this session.

        Args:
            who: (n,), row indices of the users.
            day: (n,), days since the simulation began.
            history: what users have seen; its keys are ``user * len(catalogue) + item``.
            session: (n,), the number of each user's current session.
        """
        cloud, catalogue = self._config.cloud, self._catalogue
        items = np.sort(self.recall(who, self._rng.random((2, len(who), cloud.recall))), axis=1)
        row, column = np.nonzero(np.diff(items, axis=1, prepend=-1))
        records = history.find(who[row] * len(catalogue) + items[row, column])
        allowed = (records < 0) | ((history.session[records] != session[row]) & ~history.removed[records])
        row, column = row[allowed], column[allowed]
        allowed_items = items[row, column]
        estimates = np.full(items.shape, -np.inf, np.float32)
        noise = self._rng.standard_normal(len(row), dtype=np.float32)
        estimates[row, column] = self.estimate(who[row], allowed_items, day[row], noise)
        most = min(cloud.page, items.shape[1])
        best = np.argpartition(-estimates, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(estimates, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        return Pages(
            items=np.take_along_axis(items, best, 1),
            scores=self.score(np.take_along_axis(estimates, best, 1)),
            length=np.minimum(np.bincount(row, minlength=len(who)), most),
        )

    def recall(self, who: Ints, uniform: NDArray[np.float64]) -> Ints:
        """Draw items (n, draws) with replacement: first a category, then one of its items.

        The probability of a category is proportional to popularity times the exponential of the estimated taste. The
        probability of an item is proportional to its popularity.

        Args:
            who: (n,), row indices of the users.
            uniform: (2, n, draws), random numbers in [0, 1).
        """
        cloud, popularity = self._config.cloud, self._catalogue.popularity
        taste = (self._users.taste[who] + self._users.taste_error[who]) / np.float32(cloud.recall_temperature)
        weights = np.exp(taste - taste.max(axis=1, keepdims=True)) * popularity
        cumulative = np.cumsum(weights, axis=1)
        cumulative /= cumulative[:, -1:]
        # Row i is shifted to the interval from i to i + 1, so one ascending array and one search serve all users.
        boundaries = (cumulative + np.arange(len(who))[:, None]).ravel()
        category = np.searchsorted(boundaries, uniform[0] + np.arange(len(who))[:, None], side="right")
        category -= np.arange(len(who))[:, None] * cumulative.shape[1]
        return self._catalogue.draw(self._limit_to_last_category(category), uniform[1])

    def _limit_to_last_category(self, category: NDArray[np.intp]) -> Ints:
        """Replace categories after the last one that has items by this last one. Rounding can give such categories."""
        last = int(np.flatnonzero(self._catalogue.popularity)[-1])
        return np.minimum(category, last)

    def estimate(self, who: Ints, items: Ints, day: Floats, noise: Floats) -> Floats:
        """Return the estimated utility (n,) of one item for each user, in logits. It is a day old.

        Args:
            who: (n,), row indices of the users.
            items: (n,), row indices of the catalogue.
            day: (n,), days since the simulation began.
            noise: (n,), standard normal random numbers.
        """
        cloud, category = self._config.cloud, self._catalogue.category[items]
        share = self._page_views[who, category] / (1 + self._page_views.sum(axis=1)[who])
        estimate: Floats = (
            utility(self._catalogue, self._users, who, items, day - 1, self._config.behaviour)
            + self._users.taste_error[who, category]
            + self._catalogue.quality_error[items]
            + np.float32(cloud.session) * np.sqrt(share)
            + np.float32(cloud.noise) * noise
        )
        return estimate

    def score(self, estimate: Floats) -> Floats:
        """Return the click probability that the cloud serves as the score (p7)."""
        return sigmoid(np.float32(self._config.behaviour.bias) + estimate)
