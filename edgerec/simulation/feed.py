"""Users before the feed: sessions, pages, exposures, triggers, and what the app logs of them; many users in lockstep.

Each user has a clock of their own. One round gives every user who is still about one page: first the pages that they
open by search, then the feed's items from the top down, until they leave or the page ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.cloud import Cloud, Pages
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.history import History
from edgerec.simulation.recorder import CLICK, DELETE, EXPOSURES, FEED, NO_TRIGGER, PAGE, SEARCH, Recorder
from edgerec.simulation.users import NONE, Bools, Exposures, Minds
from edgerec.simulation.world import Catalogue, Floats, Ints, Users, sigmoid, utility

DAY_MS = 86_400_000
HOURS = np.array([2, 1, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 7, 6, 5, 5, 5, 5, 6, 8, 9, 9, 7, 4]) / 110
"""When sessions begin: share of each hour of the day, with a rise at noon and in the evening."""

DOWNLOAD_MS = (150, 800)
"""From a page request to its first item in view: the round trip to the cloud."""
DEVICE_MS = 20
"""From a re-rank on the device to the next item in view."""
SEARCH_MS = (3_000, 30_000)
"""From the wish for something to the page of an item found by search."""
_NEVER = np.iinfo(np.int64).max


class Feed:
    """The lives of some users over the simulated time."""

    def __init__(self, config: SimulationConfig, catalogue: Catalogue, users: Users, rng: np.random.Generator) -> None:
        """Args:
        config: sizes, behaviour, cloud.
        catalogue: all items.
        users: those who live here.
        rng: all of their randomness.
        """
        self._config, self._catalogue, self._users, self._rng = config, catalogue, users, rng
        self._minds = Minds(users, catalogue.popularity, config.behaviour, rng)
        self._cloud = Cloud(config, catalogue, users, rng)
        self._history = History()
        self._recorder = Recorder(catalogue.item_id, users.user_id)
        self._now: Ints = np.zeros(len(users), np.int64)
        """Each user's clock, milliseconds since 1970; every event and request moves it on by at least one."""
        self._session: Ints = np.zeros(len(users), np.int64)
        """Number of each user's session, from 1."""
        self._page: Ints = np.zeros(len(users), np.int64)
        """Pages of it served so far; 0: it has not begun."""
        self._plan = self._planned()
        self._planned_next: Ints = np.ones(len(users), np.int64)

    def run(self) -> Recorder:
        """Live all lives to their end; returns what was recorded."""
        who = np.arange(len(self._users))
        self._now[:] = self._plan[:, 0]
        away = np.full(len(who), np.inf, np.float32)
        while len(who):
            new = self._page[who] == 0
            self._begin(who[new], away[who[new]])
            self._search(who)
            pages = self._cloud.serve(who, self._day(who), self._history, self._session[who])
            self._page[who] += 1
            left = self._browse(who, pages)
            ended = left | (pages.length == 0) | (self._page[who] >= self._config.pages)
            away[who[ended]] = self._return(who[ended])
            who = who[~ended | (self._now[who] < _NEVER)]
        return self._recorder

    def _planned(self) -> Ints:
        """Planned beginnings (users, most) of what are not quick returns, ascending, ms since 1970; then `_NEVER`."""
        rng, config = self._rng, self._config
        counts = 1 + rng.poisson(self._users.activity - 1)
        total = int(counts.sum())
        days, hours = rng.integers(0, config.days, total), rng.choice(24, total, p=HOURS)
        starts = config.start_ms + days * DAY_MS + hours * 3_600_000 + rng.integers(0, 3_600_000, total)
        plan = np.full((len(counts), int(counts.max()) + 1), _NEVER)
        plan[np.arange(plan.shape[1]) < counts[:, None]] = starts
        return np.sort(plan, axis=1)

    def _begin(self, who: Ints, away_s: Floats) -> None:
        self._minds.begin_sessions(who, away_s)
        self._cloud.forget_sessions(who)
        self._session[who] += 1

    def _return(self, who: Ints) -> Floats:
        """Set the clocks of `who` (n,), whose sessions ended, to their next one, or to `_NEVER`.

        A planned session that would begin inside another begins ten minutes after it, and none after the last day.

        Returns:
            (n,), seconds until then.
        """
        rng, ended = self._rng, self._now[who]
        quick = rng.random(len(who)) < self._config.return_probability
        soon = ended + 60_000 + rng.exponential(40 * 60_000, len(who)).astype(np.int64)
        planned = self._plan[who, self._planned_next[who]]
        later = np.where(planned < _NEVER, np.maximum(planned, ended + 600_000), _NEVER)
        self._planned_next[who] += ~quick
        begin = np.where(quick, soon, later)
        last = self._config.start_ms + self._config.days * DAY_MS
        self._now[who] = np.where(begin < last, begin, _NEVER)
        self._page[who] = 0
        return ((self._now[who] - ended) / 1000).astype(np.float32)

    def _search(self, who: Ints) -> None:
        """Open pages of what the session is about, found by search: seen by everybody, but no part of the feed."""
        wishes = self._rng.poisson(self._config.behaviour.searches, len(who))
        for number in range(int(wishes.max(initial=0))):
            searching = who[wishes > number]
            category = self._minds.wanted(searching)
            items = self._catalogue.draw(category, self._rng.random(len(searching)))
            places = self._history.find(searching * len(self._catalogue) + items)
            seen = np.where(places < 0, np.float32(0), self._history.exposures[places])
            worth = utility(
                self._catalogue, self._users, searching, items, self._day(searching), self._config.behaviour
            )
            level = self._catalogue.price_level[items]
            above = self._minds.above_reference(searching, level[:, None])[:, 0]
            probability = sigmoid(self._minds.logits(searching, category, above, worth, seen))
            self._now[searching] += self._rng.integers(*SEARCH_MS, len(searching))
            self._view(searching, items, np.full(len(items), np.nan, np.float32), probability, SEARCH)

    def _browse(self, who: Ints, pages: Pages) -> Bools:
        """Show each of `who` (n,) a page from its first to its last item; returns who left on it (n,)."""
        catalogue, history, items = self._catalogue, self._history, pages.items
        keys = who[:, None] * len(catalogue) + items
        places = history.find(keys.ravel()).reshape(items.shape)
        seen = np.where(places < 0, np.float32(0), history.exposures[places])
        looks = np.where(places < 0, 0, history.looks[places]).astype(np.int64)
        worth = utility(catalogue, self._users, who[:, None], items, self._day(who)[:, None], self._config.behaviour)
        label = np.full(items.shape, -1, np.int8)
        removed = np.zeros(items.shape, np.bool_)
        trigger, since = np.full(len(who), PAGE), np.zeros(len(who), np.int64)
        left = np.zeros(len(who), np.bool_)
        here = np.arange(len(who))
        for place in range(items.shape[1]):
            here = here[pages.length[here] > place]
            if not len(here):
                break
            asking = here[trigger[here] != NO_TRIGGER]
            self._ask(asking, who[asking], place, trigger[asking], items, worth, seen)
            user, item = who[here], items[here, place]
            category, price_level, seen_here = catalogue.category[item], catalogue.price_level[item], seen[here, place]
            above = self._minds.above_reference(user, price_level[:, None])[:, 0]
            probability = sigmoid(self._minds.logits(user, category, above, worth[here, place], seen_here))
            met = self._minds.expose(user, category, price_level, catalogue.quality[item], probability, seen_here)
            looks[here, place] += met.looks
            score = pages.scores[here, place]
            self._now[user] += _milliseconds(met.duration_s + met.scroll_duration_s)
            self._recorder.exposures(
                user, self._now[user], item, score, met, looks=looks[here, place], probability=probability
            )
            label[here, place], removed[here, place] = met.clicked, met.reason != NONE
            opened = np.flatnonzero(met.clicked)
            self._view(user[opened], item[opened], score[opened], probability[opened], FEED)
            trigger[here], since[here] = self._triggered(met, since[here])
            leaving = self._minds.leaving(user)
            left[here[leaving]] = True
            here = here[~leaving]
        self._recorder.end_pages(pages, label)
        self._remember(keys, label, looks, removed, self._session[who])
        return left

    def _triggered(self, met: Exposures, since: Ints) -> tuple[Ints, Ints]:
        """What calls for a new order after an exposure each (n,), and the exposures without feedback since the last."""
        since = since + 1
        trigger = np.where(since >= self._config.rerank_after, EXPOSURES, NO_TRIGGER)
        trigger = np.where(met.clicked, CLICK, np.where(met.reason != NONE, DELETE, trigger))
        return trigger, np.where(trigger == NO_TRIGGER, since, 0)

    def _ask(self, rows: Ints, who: Ints, place: int, trigger: Ints, items: Ints, worth: Floats, seen: Floats) -> None:
        """One re-rank opportunity of `who` (n,), at `place` of the pages in `rows` (n,), for what follows there."""
        if not len(rows):
            return
        self._now[who] += 1
        rest, catalogue = items[rows, place:], self._catalogue
        known = sigmoid(
            self._minds.logits(
                who[:, None],
                catalogue.category[rest],
                self._minds.above_reference(who, catalogue.price_level[rest]),
                worth[rows, place:],
                seen[rows, place:],
            )
        )
        self._recorder.requests(rows, who, self._now[who], place, trigger, known)
        download = self._rng.integers(*DOWNLOAD_MS, len(who))
        self._now[who] += np.where(trigger == PAGE, download, DEVICE_MS)

    def _view(self, who: Ints, items: Ints, scores: Floats, probability: Floats, opened_from: int) -> None:
        """Let `who` (n,) stay on the pages of `items` (n,), and the cloud see it."""
        if not len(who):
            return
        category = self._catalogue.category[items]
        view = self._minds.view(who, category, probability, slips=opened_from == FEED)
        self._now[who] += _milliseconds(view.duration_s)
        self._recorder.page_views(who, self._now[who], items, scores, view, opened_from)
        self._cloud.see_page_views(who, category)

    def _remember(self, keys: Ints, label: NDArray[np.int8], looks: Ints, removed: Bools, session: Ints) -> None:
        """Take the exposures of a page each into the history; arguments (n, k), `session` (n,)."""
        exposed = label >= 0
        places = self._history.put(keys[exposed])
        self._history.exposures[places] += np.where(label[exposed] == 1, np.float32(3), np.float32(1))
        self._history.looks[places] = looks[exposed]
        self._history.removed[places] = removed[exposed]
        self._history.session[places] = np.broadcast_to(session[:, None], label.shape)[exposed]

    def _day(self, who: Ints) -> Floats:
        """Days since the beginning (n,), on the clocks of `who` (n,)."""
        return ((self._now[who] - self._config.start_ms) / DAY_MS).astype(np.float32)


def _milliseconds(seconds: Floats) -> Ints:
    """Whole milliseconds, at least one: clocks only go forward."""
    return np.maximum(1, np.rint(1000 * seconds.astype(np.float64)).astype(np.int64))
