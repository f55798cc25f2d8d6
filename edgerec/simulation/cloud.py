"""The cloud in front of the users: recall and initial ranking, blind to the page being read (RS, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.history import History
from edgerec.simulation.world import Catalogue, Floats, Ints, Users, sigmoid, utility


@dataclass(frozen=True)
class Pages:
    """Pages as served, arrays (n, k), one row a user; behind a page's `length` anything may stand.

    Attributes:
        items: rows of the catalogue in the initial order, best first.
        scores: the cloud's estimated click probabilities, descending.
        length: (n,), items of each page.
    """

    items: Ints
    scores: Floats
    length: Ints


class Cloud:
    """Recall and initial ranking for some users: from long-term taste and popularity, with errors, a day behind.

    An item's estimate is its utility as of the day before, plus lasting errors about the user's taste and the item's
    quality, plus noise of this page, plus what the session's page-views up to the page's request say of the category.
    """

    def __init__(self, config: SimulationConfig, catalogue: Catalogue, users: Users, rng: np.random.Generator) -> None:
        """Args:
        config: sizes and errors.
        catalogue: all items.
        users: those that are served.
        rng: of recall and noise.
        """
        self._config, self._catalogue, self._users, self._rng = config, catalogue, users, rng
        self._opened: Floats = np.zeros(users.taste.shape, np.float32)
        """Page-views of the session by category."""

    def forget_sessions(self, who: Ints) -> None:
        """Begin a session of each of `who` (n,)."""
        self._opened[who] = 0

    def see_page_views(self, who: Ints, category: Ints) -> None:
        """Take in a page-view of each of `who` (n,), of an item of `category` (n,)."""
        self._opened[who, category] += 1

    def serve(self, who: Ints, day: Floats, history: History, session: Ints) -> Pages:
        """A page for each of `who` (n,): draws without what the session has shown or the user removed, the best first.

        Args:
            who: (n,), rows of the users.
            day: (n,), days since the beginning.
            history: by ``user * items + item``.
            session: (n,), number of each user's session.
        """
        cloud, catalogue = self._config.cloud, self._catalogue
        items = np.sort(self._recall(who), axis=1)
        row, column = np.nonzero(np.diff(items, axis=1, prepend=-1))
        places = history.find(who[row] * len(catalogue) + items[row, column])
        allowed = (places < 0) | ((history.session[places] != session[row]) & ~history.removed[places])
        row, column = row[allowed], column[allowed]
        found = items[row, column]
        estimates = np.full(items.shape, -np.inf, np.float32)
        estimates[row, column] = self._estimate(who[row], found, day[row] - 1)
        most = min(cloud.page, items.shape[1])
        best = np.argpartition(-estimates, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(estimates, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        return Pages(
            items=np.take_along_axis(items, best, 1),
            scores=sigmoid(np.float32(self._config.behaviour.bias) + np.take_along_axis(estimates, best, 1)),
            length=np.minimum(np.bincount(row, minlength=len(who)), most),
        )

    def _recall(self, who: Ints) -> Ints:
        """Items (n, recall) drawn with replacement: a category by estimated taste, then an item by popularity."""
        cloud, popularity = self._config.cloud, self._catalogue.popularity
        taste = (self._users.taste[who] + self._users.estimate[who]) / np.float32(cloud.recall_temperature)
        weights = np.exp(taste - taste.max(axis=1, keepdims=True)) * popularity
        reach = np.cumsum(weights, axis=1)
        reach /= reach[:, -1:]
        # One ascending line of all users' shares, so that one search serves them all.
        line = (reach + np.arange(len(who))[:, None]).ravel()
        uniform = self._rng.random((2, len(who), cloud.recall))
        category = np.searchsorted(line, uniform[0] + np.arange(len(who))[:, None], side="right")
        category -= np.arange(len(who))[:, None] * reach.shape[1]
        return self._catalogue.draw(self._existing(category), uniform[1])

    def _existing(self, category: NDArray[np.intp]) -> Ints:
        """`category`, where rounding at the end of the line led to one without items replaced by the last with some."""
        last = int(np.flatnonzero(self._catalogue.popularity)[-1])
        return np.minimum(category, last)

    def _estimate(self, who: Ints, items: Ints, day: Floats) -> Floats:
        cloud, category = self._config.cloud, self._catalogue.category[items]
        opened = self._opened[who, category] / (1 + self._opened.sum(axis=1)[who])
        estimate: Floats = (
            utility(self._catalogue, self._users, who, items, day, self._config.behaviour)
            + self._users.estimate[who, category]
            + self._catalogue.estimate[items]
            + np.float32(cloud.session) * np.sqrt(opened)
            + np.float32(cloud.noise) * self._rng.standard_normal(len(who), dtype=np.float32)
        )
        return estimate
