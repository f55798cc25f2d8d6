"""How one user acts on a list: intent and fatigue, clicks, the actions of Table 1, leaving (docs/simulator.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.config import BehaviourConfig
from edgerec.simulation.world import Floats, Ints, sigmoid

ACTIONS: dict[str, tuple[float, float]] = {
    "view_details": (-1.0, 2.0),
    "read_comments": (-1.4, 1.8),
    "choose_sku": (-3.0, 2.2),
    "add_favorite": (-3.4, 1.6),
    "add_cart": (-3.8, 2.2),
    "buy": (-6.2, 2.8),
    "customer_service": (-4.4, 1.2),
    "enter_shop": (-2.4, 1.2),
    "share": (-4.8, 1.2),
    "view_similar": (-1.6, -0.8),
}
"""Actions d2 to d11 of a page-view: (bias, weight of engagement) in logits. Who is not convinced looks for similar."""


@dataclass(frozen=True)
class Exposure:
    """What a user did with an exposed item: e1 to e6 and the click.

    Attributes:
        duration_s: in view, seconds.
        count: times the item came into this user's view up to now, scrolling back included.
        scroll_speed: screens a second, 0 without a scroll.
        scroll_duration_s: seconds spent scrolling, 0 without a scroll.
        scroll_count: scroll gestures.
        delete_reason: ``"none"`` or why the user removed the item.
        clicked: whether its page was opened.
    """

    duration_s: float
    count: int
    scroll_speed: float
    scroll_duration_s: float
    scroll_count: int
    delete_reason: str
    clicked: bool


@dataclass(frozen=True)
class PageView:
    """What a user did on an item's page: d1 to d11.

    Attributes:
        duration_s: seconds.
        actions: 0 or 1 for each of `ACTIONS`, in its order.
    """

    duration_s: float
    actions: tuple[int, ...]


class Mind:
    """One user's state: what the session is about, what has tired, how satisfied the user is.

    The click probability of item i of category c (docs/simulator.md, equation 1)::

        sigma(bias + long_term[i] + w sqrt(g[c]) - phi_c log(1 + f[c]) - phi_i seen[i])
    """

    def __init__(
        self,
        long_term: Floats,
        category: Ints,
        quality: Floats,
        *,
        taste: Floats,
        config: BehaviourConfig,
        rng: np.random.Generator,
    ) -> None:
        """Args:
        long_term: (items,), utility before any session, logits.
        category: (items,).
        quality: (items,).
        taste: (categories,), long-term, logits.
        config: how users decide.
        rng: this user's own randomness.
        """
        self._long_term, self._category, self._quality, self._taste = long_term, category, quality, taste
        self._config, self._rng = config, rng
        self.intent: Floats = np.zeros(len(taste))
        """(categories,), non-negative, sums to 1 in a session."""
        self._fatigue: Floats = np.zeros(len(taste))
        self._seen: Floats = np.zeros(len(long_term))
        self._views: Ints = np.zeros(len(long_term), np.int64)
        self._bought: NDArray[np.bool_] = np.zeros(len(taste), np.bool_)
        self._satisfaction = 0.0

    def begin_session(self, away_s: float | None) -> None:
        """Set out with a fresh intent, mixed with what is left of the last one.

        Args:
            away_s: seconds since the last session ended; None for the first.
        """
        kept = 0.0
        if away_s is not None:
            kept = math.exp(-away_s / 3600 / self._config.intent_memory_hours)
            self._fatigue *= math.exp(-away_s / 3600 / self._config.fatigue_memory_hours)
        self.intent = kept * self.intent + (1 - kept) * self._fresh_intent()
        self._satisfaction = 0.0

    def click_probabilities(self, items: Ints) -> Floats:
        """True probabilities (n,) of a click on each of `items` (n,), were it exposed now."""
        config, category = self._config, self._category[items]
        logits = (
            config.bias
            + self._long_term[items]
            + config.intent * np.sqrt(self.intent[category])
            - config.category_fatigue * np.log1p(self._fatigue[category])
            - config.item_fatigue * self._seen[items]
        )
        return sigmoid(logits)

    def expose(self, item: int, probability: float) -> Exposure:
        """Act on `item`, whose click probability now is `probability`, and move on in mind."""
        rng, config = self._rng, self._config
        clicked = bool(rng.random() < probability)
        interest = interest_of(probability)
        long, fast, scrolling = rng.standard_normal(3).tolist()
        gestures = int(rng.poisson(1.6 - 1.2 * interest))
        self._views[item] += 1 + rng.poisson(0.6 * interest)
        reason = "none"
        if not clicked and rng.random() < config.deletes * (1 - interest) ** 2:
            reason = self._reason(item)
        seen = Exposure(
            duration_s=math.exp(0.2 + 1.3 * interest + 0.7 * long),
            count=int(self._views[item]),
            scroll_speed=math.exp(0.5 - 1.2 * interest + 0.7 * fast) if gestures else 0.0,
            scroll_duration_s=0.35 * gestures * math.exp(0.5 * interest + 0.5 * scrolling),
            scroll_count=gestures,
            delete_reason=reason,
            clicked=clicked,
        )
        self._after(item, seen)
        return seen

    def view(self, item: int, probability: float) -> PageView:
        """Stay on the page of `item`, which had click probability `probability`.

        A page that the user stays on draws intent to its category; a slip of the finger does not, and a purchase ends
        the want.
        """
        rng, category = self._rng, int(self._category[item])
        if rng.random() < self._config.slips:
            return PageView(math.exp(0.3 + 0.6 * float(rng.standard_normal())), (0,) * len(ACTIONS))
        engagement = interest_of(probability) + 0.5 * float(rng.standard_normal())
        logits = np.array(list(ACTIONS.values())) @ np.array([1.0, engagement])
        done = dict(zip(ACTIONS, (rng.random(len(ACTIONS)) < sigmoid(logits)).tolist(), strict=True))
        done["choose_sku"] |= done["buy"]  # Nothing is bought without saying which.
        duration = math.exp(2.0 + 0.9 * engagement + 0.9 * float(rng.standard_normal())) + 4 * sum(done.values())
        self._move(category, self._config.intent_shift)
        if done["buy"]:
            self._bought[category] = True
            self.intent[category] *= 0.1
            self.intent /= self.intent.sum()
            self._fatigue[category] += 10
        return PageView(duration, tuple(int(value) for value in done.values()))

    def leaves(self) -> bool:
        """Whether the user leaves now; satisfaction lowers the hazard."""
        hazard = self._config.leave * math.exp(-self._config.patience * self._satisfaction)
        return bool(self._rng.random() < hazard)

    def _after(self, item: int, seen: Exposure) -> None:
        """Move intent, fatigue and satisfaction by one exposure."""
        config, category = self._config, self._category[item]
        if seen.clicked:
            self._fatigue[category] = 0
            self._seen[item] += 3
        else:
            self._fatigue[category] += 1 if seen.delete_reason == "none" else 5
            self._seen[item] += 1
        if self._rng.random() < config.intent_drift:
            self._move(int(self._by_taste(1)[0]), 0.5)
        self._satisfaction += 0.1 * (seen.clicked - self._satisfaction)

    def _move(self, category: int, share: float) -> None:
        self.intent *= 1 - share
        self.intent[category] += share

    def _fresh_intent(self) -> Floats:
        """A few categories of the user's taste with uneven weights."""
        most = min(self._config.intent_categories, len(self._taste))
        chosen = self._by_taste(int(self._rng.integers(1, most + 1)))
        fresh = np.zeros(len(self._taste))
        fresh[chosen] = self._rng.dirichlet(np.full(len(chosen), 2.0))
        return fresh

    def _by_taste(self, count: int) -> Ints:
        """`count` categories without replacement, with probability softmax(taste): the Gumbel-top-k trick."""
        keys = self._taste + self._rng.gumbel(size=len(self._taste))
        return np.argpartition(-keys, count - 1)[:count]

    def _reason(self, item: int) -> str:
        if self._bought[self._category[item]]:
            return "bought_already"
        if self._seen[item] >= 1:
            return "seen_too_often"
        return "bad_content" if self._quality[item] < -1 else "not_interested"


def interest_of(probability: float) -> float:
    """Interest from 0 to 1: the click probability on a scale where a common item (7.6 %) is one half."""
    odds = probability / max(1 - probability, 1e-12)
    return 12 * odds / (1 + 12 * odds)
