"""The simulation loop: sessions, pages, exposures and triggers of many users at once.

A trigger is an event that starts a re-rank request. Each user has their own current time. One round serves one page to
every active user. A user first opens item pages by search, then looks at the feed's items from top to bottom, until the
user leaves or the page ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.actions import NONE, Bools, Exposures
from edgerec.simulation.cloud import Cloud, Pages
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.history import History
from edgerec.simulation.mixed.cloud import MixedCloud
from edgerec.simulation.mixed.mixture import Mixture
from edgerec.simulation.recorder import (
    CLICK,
    DELETE,
    EXPOSURES,
    FEED,
    MIXED_TRUTH,
    NO_TRIGGER,
    NOT_MIXED,
    PAGE,
    SEARCH,
    Recorder,
)
from edgerec.simulation.users import UserStates
from edgerec.simulation.world import Catalogue, Floats, Ints, Users, sigmoid, utility

DAY_MS = 86_400_000
HOURS = np.array([2, 1, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 7, 6, 5, 5, 5, 5, 6, 8, 9, 9, 7, 4]) / 110
"""Share of sessions that begin in each hour of the day. There are peaks at noon and in the evening."""

DOWNLOAD_MS = (150, 800)
"""Milliseconds from a page request to the first item in view (minimum, maximum): one round trip to the cloud."""
DEVICE_MS = 20
"""Milliseconds from a re-rank on the device to the next item in view."""
SEARCH_MS = (3_000, 30_000)
"""Milliseconds from the start of a search to the opened item page (minimum, maximum)."""
_NEVER = np.iinfo(np.int64).max


class Feed:
    """Simulates a group of users from the start to the end of simulated time."""

    def __init__(
        self,
        config: SimulationConfig,
        catalogue: Catalogue,
        users: Users,
        rng: np.random.Generator,
        mixture: Mixture | None = None,
    ) -> None:
        """Args:
        config: sizes, behaviour, cloud.
        catalogue: all items.
        users: the users to simulate.
        rng: the source of all random numbers of these users.
        mixture: what a mixed world has in addition.
        """
        self._config, self._catalogue, self._users, self._rng = config, catalogue, users, rng
        self._states = UserStates(users, catalogue.popularity, config.behaviour, rng)
        self._mixture = mixture
        if mixture is None:
            self._cloud: Cloud | MixedCloud = Cloud(config, catalogue, users, rng)
        else:
            self._cloud = MixedCloud(config, mixture.config, mixture.cards, users, rng)
        self._searched = catalogue if mixture is None else mixture.cards.searched
        self._history = History()
        self._recorder = Recorder(catalogue.item_id, users.user_id, mixed=mixture is not None)
        self._now: Ints = np.zeros(len(users), np.int64)
        """Each user's current time in milliseconds since 1970. Every event and request takes at least 1 ms."""
        self._session: Ints = np.zeros(len(users), np.int64)
        """Number of each user's current session, from 1."""
        self._page: Ints = np.zeros(len(users), np.int64)
        """Number of pages served in the current session. 0 means that the session has not begun."""
        self._plan = self._plan_sessions()
        self._next_planned: Ints = np.ones(len(users), np.int64)

    def run(self) -> Recorder:
        """Simulate all users until the end of simulated time, and return the recorder."""
        who = np.arange(len(self._users))
        self._now[:] = self._plan[:, 0]
        away = np.full(len(who), np.inf, np.float32)
        while len(who):
            new = self._page[who] == 0
            self._begin(who[new], away[who[new]])
            self._search(who)
            pages = self._cloud.serve(who, self._day(who), self._history, self._session[who])
            self._page[who] += 1
            has_left = self._browse(who, pages)
            ended = has_left | (pages.length == 0) | (self._page[who] >= self._config.pages)
            away[who[ended]] = self._schedule_next_session(who[ended])
            who = who[~ended | (self._now[who] < _NEVER)]
        return self._recorder

    def _plan_sessions(self) -> Ints:
        """Draw the start times of each user's planned sessions, ascending, in milliseconds since 1970.

        The rows (one for each user) are padded with `_NEVER`.
        """
        rng, config = self._rng, self._config
        counts = 1 + rng.poisson(self._users.activity - 1)
        total = int(counts.sum())
        days, hours = rng.integers(0, config.days, total), rng.choice(24, total, p=HOURS)
        starts = config.start_ms + days * DAY_MS + hours * 3_600_000 + rng.integers(0, 3_600_000, total)
        plan = np.full((len(counts), int(counts.max()) + 1), _NEVER)
        plan[np.arange(plan.shape[1]) < counts[:, None]] = starts
        return np.sort(plan, axis=1)

    def _begin(self, who: Ints, away_s: Floats) -> None:
        self._states.begin_sessions(who, away_s)
        if self._mixture is not None:
            self._mixture.states.begin_sessions(who, away_s)
        self._cloud.begin_sessions(who)
        self._session[who] += 1

    def _schedule_next_session(self, who: Ints) -> Floats:
        """Set the time of the users `who` (n,), whose sessions ended, to the start of the next session or to `_NEVER`.

        A planned session starts at least ten minutes after the end of the last one. No session starts after the last
        day.

        Returns:
            (n,), seconds from the end of the session to the next one.
        """
        rng, ended = self._rng, self._now[who]
        quick = rng.random(len(who)) < self._config.return_probability
        soon = ended + 60_000 + rng.exponential(40 * 60_000, len(who)).astype(np.int64)
        planned = self._plan[who, self._next_planned[who]]
        later = np.where(planned < _NEVER, np.maximum(planned, ended + 600_000), _NEVER)
        self._next_planned[who] += ~quick
        begin = np.where(quick, soon, later)
        last = self._config.start_ms + self._config.days * DAY_MS
        self._now[who] = np.where(begin < last, begin, _NEVER)
        self._page[who] = 0
        return ((self._now[who] - ended) / 1000).astype(np.float32)

    def _search(self, who: Ints) -> None:
        """Let the users open item pages by search. The cloud learns of them, but they are not part of the feed."""
        searches = self._rng.poisson(self._config.behaviour.searches, len(who))
        for number in range(int(searches.max(initial=0))):
            searching = who[searches > number]
            category = self._states.intents.draw_categories(searching)
            items = self._searched.draw(category, self._rng.random(len(searching)))
            records = self._history.find(searching * len(self._catalogue) + items)
            seen = np.where(records < 0, np.float32(0), self._history.exposures[records])
            utilities = utility(
                self._catalogue, self._users, searching, items, self._day(searching), self._config.behaviour
            )
            level = self._catalogue.price_level[items]
            above = self._states.above_reference(searching, level[:, None])[:, 0]
            if self._mixture is not None:
                utilities = utilities + self._mixture.own(searching, items)
            probability = sigmoid(self._states.logits(searching, category, above, utilities, seen))
            self._now[searching] += self._rng.integers(*SEARCH_MS, len(searching))
            self._view_pages(searching, items, np.full(len(items), np.nan, np.float32), probability, SEARCH)

    def _browse(self, who: Ints, pages: Pages) -> Bools:
        """Show each user of `who` (n,) one page, item by item. Return which users left (n,)."""
        catalogue, history, items = self._catalogue, self._history, pages.items
        keys = who[:, None] * len(catalogue) + items
        records = history.find(keys.ravel()).reshape(items.shape)
        seen = np.where(records < 0, np.float32(0), history.exposures[records])
        looks = np.where(records < 0, 0, history.looks[records]).astype(np.int64)
        utilities = utility(
            catalogue, self._users, who[:, None], items, self._day(who)[:, None], self._config.behaviour
        )
        label = np.full(items.shape, -1, np.int8)
        removed = np.zeros(items.shape, np.bool_)
        trigger, unanswered = np.full(len(who), PAGE), np.zeros(len(who), np.int64)
        has_left = np.zeros(len(who), np.bool_)
        active = np.arange(len(who))
        for position in range(items.shape[1]):
            active = active[pages.length[active] > position]
            if not len(active):
                break
            requesting = active[trigger[active] != NO_TRIGGER]
            self._request_rerank(requesting, who[requesting], position, trigger[requesting], items, utilities, seen)
            user, item = who[active], items[active, position]
            category, price_level, seen_now = (
                catalogue.category[item],
                catalogue.price_level[item],
                seen[active, position],
            )
            above = self._states.above_reference(user, price_level[:, None])[:, 0]
            logits = self._states.logits(user, category, above, utilities[active, position], seen_now)
            mixed = NOT_MIXED
            if self._mixture is not None:
                effects = self._mixture.effects(user, item[:, None], position)
                logits = logits + effects.total[:, 0]
                mixed = {name: getattr(effects, name)[:, 0] for name in MIXED_TRUTH}
            probability = sigmoid(logits)
            actions = self._states.expose(user, category, price_level, catalogue.quality[item], probability, seen_now)
            looks[active, position] += actions.looks
            score = pages.scores[active, position]
            self._now[user] += milliseconds(actions.duration_s + actions.scroll_duration_s)
            factor: Floats | float = 1.0
            if self._mixture is not None:
                self._mixture.show(user, item)
                factor = self._mixture.states.leaving(user)
                mixed = {**mixed, "leaving": np.minimum(1, self._states.hazard(user) * factor)}
            self._recorder.exposures(
                user,
                self._now[user],
                item,
                score,
                actions,
                looks=looks[active, position],
                probability=probability,
                mixed=mixed,
            )
            label[active, position], removed[active, position] = actions.clicked, actions.reason != NONE
            opened = np.flatnonzero(actions.clicked)
            self._view_pages(user[opened], item[opened], score[opened], probability[opened], FEED)
            trigger[active], unanswered[active] = self._triggers(actions, unanswered[active])
            leaving = self._states.leaving(user, factor)
            has_left[active[leaving]] = True
            active = active[~leaving]
        self._recorder.end_pages(pages, label)
        self._update_history(keys, label, looks, removed, self._session[who])
        return has_left

    def _triggers(self, actions: Exposures, unanswered: Ints) -> tuple[Ints, Ints]:
        """Return each user's trigger after one exposure, and the number of exposures since the last trigger."""
        unanswered = unanswered + 1
        trigger = np.where(unanswered >= self._config.rerank_after, EXPOSURES, NO_TRIGGER)
        trigger = np.where(actions.clicked, CLICK, np.where(actions.reason != NONE, DELETE, trigger))
        return trigger, np.where(trigger == NO_TRIGGER, unanswered, 0)

    def _request_rerank(
        self, rows: Ints, who: Ints, position: int, trigger: Ints, items: Ints, utilities: Floats, seen: Floats
    ) -> None:
        """Record a re-rank request for each user of `who` (n,). The users' pages are the `rows` (n,) of `items`.

        The candidates are the items from `position` on.
        """
        if not len(rows):
            return
        self._now[who] += 1
        rest, catalogue = items[rows, position:], self._catalogue
        logits = self._states.logits(
            who[:, None],
            catalogue.category[rest],
            self._states.above_reference(who, catalogue.price_level[rest]),
            utilities[rows, position:],
            seen[rows, position:],
        )
        mixed = NOT_MIXED
        if self._mixture is not None:
            effects = self._mixture.effects(who, rest, position)
            logits = logits + effects.total
            mixed = {name: getattr(effects, name) for name in MIXED_TRUTH}
        self._recorder.requests(rows, who, self._now[who], position, trigger, {"probability": sigmoid(logits), **mixed})
        download = self._rng.integers(*DOWNLOAD_MS, len(who))
        self._now[who] += np.where(trigger == PAGE, download, DEVICE_MS)

    def _view_pages(self, who: Ints, items: Ints, scores: Floats, probability: Floats, opened_from: int) -> None:
        """Let each user of `who` (n,) view the page of the item in the same row of `items` (n,).

        The page-views are written to the logs, and counted in the statistics of the simulated cloud.
        """
        if not len(who):
            return
        category = self._catalogue.category[items]
        view = self._states.view(who, category, probability, slips=opened_from == FEED)
        self._now[who] += milliseconds(view.duration_s)
        self._recorder.page_views(who, self._now[who], items, scores, view, opened_from)
        self._cloud.count_page_views(who, category)

    def _update_history(self, keys: Ints, label: NDArray[np.int8], looks: Ints, removed: Bools, session: Ints) -> None:
        """Add the exposures of each user's page to the history. `session` is (n,), the other arguments are (n, k)."""
        exposed = label >= 0
        records = self._history.put(keys[exposed])
        self._history.exposures[records] += np.where(label[exposed] == 1, np.float32(3), np.float32(1))
        self._history.looks[records] = looks[exposed]
        self._history.removed[records] = removed[exposed]
        self._history.session[records] = np.broadcast_to(session[:, None], label.shape)[exposed]

    def _day(self, who: Ints) -> Floats:
        """Return the current time of the users `who` (n,), in days since the simulation began."""
        return ((self._now[who] - self._config.start_ms) / DAY_MS).astype(np.float32)


def milliseconds(seconds: Floats) -> Ints:
    """Return `seconds` as whole milliseconds. They are at least 1, so that a user's events have different times."""
    return np.maximum(1, np.rint(1000 * seconds.astype(np.float64)).astype(np.int64))
