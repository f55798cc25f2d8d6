"""One simulated user, who decides item by item (docs/simulator.md, "Behaviour")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.actions import ACTIONS, NONE, REASONS
from edgerec.simulation.closed_loop.keyed_random import KeyedRandom, Purpose
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.feed import DAY_MS, HOURS, SEARCH_MS, milliseconds
from edgerec.simulation.users import UserStates
from edgerec.simulation.world import Floats, Ints, sigmoid, utility

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
_WHO: Ints = np.zeros(1, np.int64)
"""The row of the user in the arrays of `UserStates`, which has one user here."""
_BUY = list(ACTIONS).index("buy")
_SEARCHES_AT_MOST = 1_000
"""More searches than this before one page do not occur (`searches` is at most 20)."""


@dataclass(frozen=True)
class Exposure:
    """What a user did with one item of the feed.

    Attributes:
        probability: the true click probability.
        clicked: whether the user opens the item's page now.
        deleted: whether the user removed the item.
        duration_ms: how long the item was in view.
        values: the values of the behaviour by column (e1 to e6).
    """

    probability: float
    clicked: bool
    deleted: bool
    duration_ms: int
    values: dict[str, Any]


@dataclass(frozen=True)
class PageView:
    """What a user did on the page of an item.

    Attributes:
        duration_ms: how long the user was there.
        values: the values of the behaviour by column (d1 to d11).
        paid: the item's price if the user bought it, else 0.
    """

    duration_ms: int
    values: dict[str, Any]
    paid: float


@dataclass
class _Seen:
    """What a user remembers of an item: exposures (a click counts as three) and how often it came into view."""

    exposures: int = 0
    looks: int = 0


class SimulatedUser:
    """A user of a world. The same user decides with the same random numbers, whatever feed it sees.

    Args:
        world: the world.
        user_id: the user.

    Attributes:
        world: the world.
        user_id: the user.
        session: the number of the present session, from 1; 0 before the first one.
        planned: the starts of the planned sessions, ascending, in milliseconds since 1970.
    """

    def __init__(self, world: LoopWorld, user_id: int) -> None:
        self.world, self.user_id, self.session = world, user_id, 0
        self._random = KeyedRandom(world.seed, user_id)
        self._traits, self._catalogue = world.traits(user_id), world.catalogue
        self._states = UserStates(self._traits, self._catalogue.popularity, world.config.behaviour, self._random.rng)
        self._mixture = world.mixture(user_id)
        self._searched = self._catalogue if self._mixture is None else self._mixture.cards.searched
        self._shown = 0
        """Number of cards that the user saw in this session."""
        self._seen: dict[int, _Seen] = {}
        self.planned = self._plan()
        self._next = 1

    def _plan(self) -> Sequence[int]:
        """Draw the starts of the planned sessions."""
        rng = self._random.at(Purpose.PLAN)
        count = 1 + int(rng.poisson(self._traits.activity[0] - 1))
        days, hours = rng.integers(0, self.world.config.days, count), rng.choice(24, count, p=HOURS)
        starts = self.world.start_ms + days * DAY_MS + hours * HOUR_MS + rng.integers(0, HOUR_MS, count)
        return sorted(starts.tolist())

    def begin_session(self, away_ms: int | None) -> None:
        """Start a session. `away_ms` is the time since the last one; None for the first one."""
        self.session += 1
        self._random.at(Purpose.SESSION, self.session)
        away = np.inf if away_ms is None else away_ms / 1000
        away_s = np.array([away], np.float32)
        self._states.begin_sessions(_WHO, away_s)
        self._shown = 0
        if self._mixture is not None:
            self._mixture.states.begin_sessions(_WHO, away_s)

    def searches(self, page: int) -> int:
        """Return how many pages of items the user opens by search before a page of the feed, counted from 0."""
        rng = self._random.at(Purpose.SEARCHES, self.session, page)
        return min(int(rng.poisson(self.world.config.behaviour.searches)), _SEARCHES_AT_MOST)

    def search(self, page: int, number: int, time: int) -> tuple[int, int, PageView]:
        """Search and open the page of an item.

        Returns:
            The item's row in the catalogue, the milliseconds from now until its page opens, and the page-view.
        """
        which = page * _SEARCHES_AT_MOST + number
        rng = self._random.at(Purpose.SEARCH, self.session, which)
        item = int(self._searched.draw(self._states.intents.draw_categories(_WHO), rng.random(1))[0])
        wait = int(rng.integers(*SEARCH_MS))
        row = np.array([item])
        logits = self._logits(row, time)
        if self._mixture is not None:
            logits = logits + self._mixture.own(_WHO, row)
        return item, wait, self._view(item, sigmoid(logits), slips=False)

    def probabilities(self, items: Sequence[int] | Ints, time: int) -> Floats:
        """Return the true click probability of each item (n,), if it were shown next (equation 1)."""
        rows = np.asarray(items, np.int64)
        logits = self._logits(rows, time)
        if self._mixture is not None:
            place = self._shown % self.world.config.cloud.page
            same = np.zeros(len(rows), np.int64)
            logits = logits + self._mixture.effects(same, rows[:, None], place).total[:, 0]
        return sigmoid(logits)

    def _logits(self, rows: Ints, time: int) -> Floats:
        """Return the click logit of each item (n,), without what a mixed world adds."""
        catalogue, states = self._catalogue, self._states
        seen = np.array([self._seen[item].exposures if item in self._seen else 0 for item in rows.tolist()], np.float32)
        day = np.array([self.world.day(time)], np.float32)
        utilities = utility(catalogue, self._traits, _WHO, rows, day, self.world.config.behaviour)
        above = catalogue.price_level[rows].astype(np.float32) - states.reference_level
        return states.logits(_WHO, catalogue.category[rows], above, utilities, seen)

    def look(self, item: int, time: int) -> Exposure:
        """Look at an item of the feed, which came into view at `time`, and update the user's state."""
        catalogue, row = self._catalogue, np.array([item])
        probability = self.probabilities(row, time)
        seen = self._seen.setdefault(item, _Seen())
        self._random.at(Purpose.EXPOSURE, self.session, item)
        done = self._states.expose(
            _WHO,
            catalogue.category[row],
            catalogue.price_level[row],
            catalogue.quality[row],
            probability,
            np.array([seen.exposures], np.float32),
        )
        if self._mixture is not None:
            self._mixture.show(_WHO, row)
        self._shown += 1
        clicked, reason = bool(done.clicked[0]), int(done.reason[0])
        seen.looks += int(done.looks[0])
        seen.exposures += 3 if clicked else 1
        values = {
            "exposure_duration_s": _rounded(done.duration_s),
            "exposure_count": seen.looks,
            "scroll_speed": _rounded(done.scroll_speed),
            "scroll_duration_s": _rounded(done.scroll_duration_s),
            "scroll_count": int(done.scroll_count[0]),
            "delete_reason": REASONS[reason],
        }
        duration = milliseconds(done.duration_s + done.scroll_duration_s)
        return Exposure(float(probability[0]), clicked, reason != NONE, int(duration[0]), values)

    def open_page(self, item: int, exposure: Exposure) -> PageView:
        """View the page of an item that the user clicked on in the feed."""
        self._random.at(Purpose.PAGE_VIEW, self.session, item)
        return self._view(item, np.array([exposure.probability], np.float32), slips=True)

    def _view(self, item: int, probability: Floats, *, slips: bool) -> PageView:
        view = self._states.view(_WHO, self._catalogue.category[[item]], probability, slips=slips)
        actions: NDArray[np.int8] = view.actions[0]
        values = {"page_duration_s": _rounded(view.duration_s), **dict(zip(ACTIONS, actions.tolist(), strict=True))}
        paid = float(self._catalogue.price[item]) if actions[_BUY] else 0.0
        return PageView(int(milliseconds(view.duration_s)[0]), values, paid)

    def leaves(self, position: int) -> bool:
        """Return whether the user leaves after the exposure at a position of the session."""
        self._random.at(Purpose.LEAVING, self.session, position)
        factor = 1.0 if self._mixture is None else self._mixture.states.leaving(_WHO)
        return bool(self._states.leaving(_WHO, factor)[0])

    def card(self, item: int) -> tuple[str, float] | None:
        """Return the kind of an item and the worth of a click on it; None in a plain world."""
        return None if self._mixture is None else self._mixture.cards.card(item)

    def next_session(self, ended: int) -> int | None:
        """Return the start of the next session after the present one has ended, or None if there is none.

        A planned session starts at least ten minutes after the end of the last one.
        """
        rng = self._random.at(Purpose.RETURN, self.session)
        if rng.random() < self.world.config.return_probability:
            begin = ended + MINUTE_MS + int(rng.exponential(40 * MINUTE_MS))
        elif self._next < len(self.planned):
            begin = max(self.planned[self._next], ended + 10 * MINUTE_MS)
            self._next += 1
        else:
            return None
        return begin if begin < self.world.end_ms else None


def _rounded(values: Floats) -> float:
    """Round to three decimals, because the app measures time in milliseconds."""
    return round(float(values[0]), 3)
