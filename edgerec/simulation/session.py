"""One user's life before the feed: sessions, pages, re-rank opportunities, and what the app logs of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.behaviour import Mind
from edgerec.simulation.cloud import Page, serve_page
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.recorder import Recorder
from edgerec.simulation.world import Ints, World, long_term_utility

DAY_MS = 86_400_000
HOURS = np.array([2, 1, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 7, 6, 5, 5, 5, 5, 6, 8, 9, 9, 7, 4]) / 110
"""When sessions begin: share of each hour of the day, with a rise at noon and in the evening."""

DOWNLOAD_MS = (150, 800)
"""From a page request to its first item in view: the round trip to the cloud."""
DEVICE_MS = 20
"""From a re-rank on the device to the next item in view."""


class UserLife:
    """The clock and the mind of one user, and the log that is written as they go."""

    def __init__(
        self, world: World, user: int, config: SimulationConfig, *, rng: np.random.Generator, recorder: Recorder
    ) -> None:
        """Args:
        world: catalogue and population.
        user: row of the population.
        config: sizes, cloud and behaviour.
        rng: this user's own randomness.
        recorder: takes what the app sees.
        """
        items, people = world.catalogue, world.population
        self._config, self._rng, self._recorder = config, rng, recorder
        self._user_id, self._item_id = int(people.user_id[user]), items.item_id
        self._activity = float(people.activity[user])
        self._long_term = long_term_utility(world, user, config)
        self._mind = Mind(
            self._long_term,
            items.category,
            items.quality,
            taste=people.taste[user],
            config=config.behaviour,
            rng=rng,
        )
        self._removed: NDArray[np.bool_] = np.zeros(len(items), np.bool_)
        self._time = 0
        """Now, milliseconds since 1970; every event and request moves it on by at least one."""
        self._feedback = ""
        """The strongest behaviour since the last re-rank opportunity: names the trigger of the next."""

    def run(self) -> None:
        """All sessions, in order of time; one that would begin inside another begins after it."""
        end: int | None = None
        for start in self._plan():
            begin = int(start) if end is None else max(int(start), end + 10 * 60_000)
            while True:
                self._time = begin
                self._mind.begin_session(None if end is None else (begin - end) / 1000)
                self._session()
                end = self._time
                if self._rng.random() >= self._config.return_probability:
                    break
                begin = end + 60_000 + int(self._rng.exponential(40 * 60_000))

    def _plan(self) -> Ints:
        """Planned beginnings (sessions,) of what are not quick returns, ascending, milliseconds since 1970."""
        count = 1 + int(self._rng.poisson(self._activity - 1))
        days = self._rng.integers(0, self._config.days, count)
        hours = self._rng.choice(24, count, p=HOURS)
        within = self._rng.integers(0, 3_600_000, count)
        return np.sort(self._config.start_ms + days * DAY_MS + hours * 3_600_000 + within)

    def _session(self) -> None:
        allowed = ~self._removed
        for _ in range(self._config.pages):
            page = serve_page(self._long_term, allowed, config=self._config, rng=self._rng)
            if not len(page.items) or self._page(page):
                return
            allowed[page.items] = False

    def _page(self, page: Page) -> bool:
        """Show a page from its first to its last item; returns whether the user left on it."""
        shown, count = 0, len(page.items)
        trigger = "page"
        while shown < count:
            fewest, most = self._config.rerank_every
            # How long an order stands is drawn whatever the user does: were a click to end it, the clicked item would
            # be the last label of every request, and its place would give it away (docs/simulator.md).
            end = min(shown + int(self._rng.integers(fewest, most + 1)), count)
            left, shown = self._order(page, shown, end, trigger=trigger)
            if left:
                return True
            trigger = self._feedback or "exposures"
        return False

    def _order(self, page: Page, start: int, end: int, *, trigger: str) -> tuple[bool, int]:
        """One re-rank opportunity over ``page[start:]``, and the exposures of ``page[start:end]`` that follow it.

        Returns:
            Whether the user left, and how many items of the page were shown by then.
        """
        offered, scores = page.items[start:], page.scores[start:]
        known = self._mind.click_probabilities(offered)
        self._time += 1
        requested = self._time
        self._time += DEVICE_MS if trigger != "page" else int(self._rng.integers(*DOWNLOAD_MS))
        self._feedback = ""
        labels: list[int] = []
        met: list[float] = []
        left = False
        for place in range(end - start):
            clicked, probability = self._expose(int(offered[place]), float(scores[place]))
            labels.append(clicked)
            met.append(probability)
            left = self._mind.leaves()
            if left:
                break
        self._recorder.request(
            self._user_id,
            requested,
            trigger=trigger,
            items=self._item_id[offered].tolist(),
            scores=scores.tolist(),
            labels=labels,
            known=known.tolist(),
            met=met,
        )
        return left, start + len(labels)

    def _expose(self, item: int, score: float) -> tuple[int, float]:
        """Expose an item and, clicked, view its page; returns the label and the click probability it came from."""
        probability = float(self._mind.click_probabilities(np.array([item]))[0])
        seen = self._mind.expose(item, probability)
        self._time += max(1, round(1000 * (seen.duration_s + seen.scroll_duration_s)))
        item_id = int(self._item_id[item])
        self._recorder.exposure(self._user_id, self._time, item_id, seen, score=score)
        if seen.delete_reason != "none":
            self._removed[item] = True
            self._feedback = self._feedback or "delete"
        if seen.clicked:
            self._feedback = "click"
            view = self._mind.view(item, probability)
            self._time += max(1, round(1000 * view.duration_s))
            self._recorder.page_view(self._user_id, self._time, item_id, view, score=score)
        return int(seen.clicked), probability
