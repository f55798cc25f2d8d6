"""How users act: what they want, clicks, the actions of Table 1, leaving (docs/simulator.md), many users at a time.

Every method takes ``who`` (n,), rows of the users that it concerns, each at most once; other arrays (n,) hold one value
for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.config import BehaviourConfig
from edgerec.simulation.world import Floats, Ints, Users, sigmoid

Bools = NDArray[np.bool_]

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
_BIAS, _WEIGHT = np.array(list(ACTIONS.values()), np.float32).T
_CHOOSE_SKU, _BUY = (list(ACTIONS).index(name) for name in ("choose_sku", "buy"))

REASONS = ("none", "not_interested", "seen_too_often", "bought_already", "bad_content")
"""Why an item was removed (e6); what `Exposures.reason` counts."""
NONE, NOT_INTERESTED, SEEN_TOO_OFTEN, BOUGHT_ALREADY, BAD_CONTENT = range(5)


@dataclass(frozen=True)
class Exposures:
    """What users did with exposed items, arrays (n,): e1 to e6 and the click.

    Attributes:
        duration_s: in view, seconds.
        looks: times the item came into view now, scrolling back included.
        scroll_speed: screens a second, 0 without a scroll.
        scroll_duration_s: seconds spent scrolling, 0 without a scroll.
        scroll_count: scroll gestures.
        reason: index into `REASONS`.
        clicked: whether the item's page was opened.
    """

    duration_s: Floats
    looks: Ints
    scroll_speed: Floats
    scroll_duration_s: Floats
    scroll_count: Ints
    reason: NDArray[np.int8]
    clicked: Bools


@dataclass(frozen=True)
class PageViews:
    """What users did on items' pages: d1 to d11.

    Attributes:
        duration_s: (n,) seconds.
        actions: (n, 10) 0 or 1 for each of `ACTIONS`, in its order.
    """

    duration_s: Floats
    actions: NDArray[np.int8]


class Minds:
    """What goes on in users: what the session is about, what has tired, what prices they compare with, satisfaction.

    Attributes:
        intent: (users, categories), not negative; sums to 1 over categories once a session has begun.
        fatigue: (users, categories), exposures of the category since its last click.
        reference_level: (users,), the price level that the next item of the feed is compared with.
    """

    def __init__(
        self, users: Users, popularity: NDArray[np.float64], config: BehaviourConfig, rng: np.random.Generator
    ) -> None:
        """Args:
        users: their traits.
        popularity: (categories,), share of each category; one without items is never wanted.
        config: how users decide.
        rng: all randomness of these users' behaviour.
        """
        shape = users.taste.shape
        self._config, self._rng = config, rng
        with np.errstate(divide="ignore"):
            self._wants: Floats = users.taste + np.log(popularity).astype(np.float32)
        self.intent: Floats = np.zeros(shape, np.float32)
        self.fatigue: Floats = np.zeros(shape, np.float32)
        self._liked_level = users.price_level
        self.reference_level: Floats = users.price_level.astype(np.float32)
        self._bought: Bools = np.zeros(shape, np.bool_)
        self._satisfaction: Floats = np.zeros(len(users), np.float32)
        self._choices = max(1, min(config.intent_categories, int((popularity > 0).sum())))

    def begin_sessions(self, who: Ints, away_s: Floats) -> None:
        """Set out with a fresh intent, mixed with what is left of the last one, and prices compared with those liked.

        Args:
            who: (n,).
            away_s: (n,), seconds since the last session ended; infinite for the first.
        """
        hours = away_s / np.float32(3600)
        kept = np.exp(-hours / np.float32(self._config.intent_memory_hours))[:, None]
        self.fatigue[who] *= np.exp(-hours / np.float32(self._config.fatigue_memory_hours))[:, None]
        self.intent[who] = kept * self.intent[who] + (1 - kept) * self._fresh_intent(who)
        self.reference_level[who] = self._liked_level[who]
        self._satisfaction[who] = 0

    def logits(self, who: Ints, category: Ints, above_reference: Floats, utility: Floats, seen: Floats) -> Floats:
        """Logits of a click on items exposed now (docs/simulator.md, equation 1); arguments of shapes that broadcast.

        Args:
            who: rows of users.
            category: of the items.
            above_reference: price levels that the items stand above what they are compared with.
            utility: before any session, logits.
            seen: earlier exposures of the item to the user, a click as three.
        """
        config = self._config
        found: Floats = (
            np.float32(config.bias)
            + utility
            + np.float32(config.intent) * np.sqrt(self.intent[who, category])
            - np.float32(config.category_fatigue) * np.log1p(self.fatigue[who, category])
            - np.float32(config.item_fatigue) * seen ** np.float32(config.item_fatigue_power)
            - np.float32(config.price_contrast) * above_reference
        )
        return found

    def above_reference(self, who: Ints, price_level: Ints) -> Floats:
        """How far items stand above what they will be compared with, were they all shown in the order given.

        Args:
            who: (n,).
            price_level: (n, k), of each one's items.

        Returns:
            (n, k) levels; what the first item is compared with is `reference_level`.
        """
        share, kept = self._config.price_forgetting, 1 - self._config.price_forgetting
        place = np.arange(price_level.shape[1])
        apart = place - 1 - place[:, None]  # Items between the one that leaves its mark and the one that meets it.
        marks = np.where(apart >= 0, share * kept ** np.maximum(apart, 0), 0).astype(np.float32)
        level = price_level.astype(np.float32)
        # By einsum, whose sums, unlike BLAS', are the same however many users there are and threads work.
        met = np.einsum("nk,kj->nj", level, marks)
        above: Floats = level - met - self.reference_level[who, None] * (kept**place).astype(np.float32)
        return above

    def expose(
        self, who: Ints, category: Ints, price_level: Ints, quality: Floats, probability: Floats, seen: Floats
    ) -> Exposures:
        """Act on one item each, whose click probability now is `probability`, and move on in mind.

        Args:
            who: (n,).
            category: (n,), of the items.
            price_level: (n,), of the items.
            quality: (n,), of the items.
            probability: (n,).
            seen: (n,), earlier exposures of the item to the user.
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
        self._after(who, category, clicked, reason)
        self.reference_level[who] += np.float32(config.price_forgetting) * (price_level - self.reference_level[who])
        drifting = np.flatnonzero(chance[2] < config.intent_drift)
        if len(drifting):
            self._drift(who[drifting])
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
        """Stay on the page of one item each, which had click probability `probability`.

        A page that the user stays on draws intent to its category, the more the more is done there; a slip of the
        finger does not, and a purchase takes from it.

        Args:
            who: (n,).
            category: (n,), of the items.
            probability: (n,).
            slips: whether a page may have been opened by mistake.
        """
        rng, config, count = self._rng, self._config, len(who)
        engaged, long = rng.standard_normal((2, count), dtype=np.float32)
        engagement = interest_of(probability) + 0.5 * engaged
        done = rng.random((count, len(ACTIONS)), dtype=np.float32) < sigmoid(_BIAS + engagement[:, None] * _WEIGHT)
        done[:, _CHOOSE_SKU] |= done[:, _BUY]  # Nothing is bought without saying which.
        duration = np.exp(2.0 + 0.9 * engagement + 0.9 * long) + 4 * done.sum(axis=1, dtype=np.float32)
        if slips:
            slipped = rng.random(count, dtype=np.float32) < config.slips
            done[slipped] = False
            duration = np.where(slipped, np.exp(0.3 + 0.6 * long), duration)
            meant = np.flatnonzero(~slipped)
        else:
            meant = np.arange(count)
        share = config.intent_shift + config.intent_shift_action * done[meant].sum(axis=1, dtype=np.float32)
        self._move(who[meant], category[meant], np.minimum(share, np.float32(0.9)))
        bought = np.flatnonzero(done[:, _BUY])
        if len(bought):
            self._buy(who[bought], category[bought])
        return PageViews(duration.astype(np.float32), done.astype(np.int8))

    def leaving(self, who: Ints) -> Bools:
        """Which of `who` (n,) leave now; satisfaction lowers the hazard."""
        hazard = self._config.leave * np.exp(-self._config.patience * self._satisfaction[who])
        leaving: Bools = self._rng.random(len(who), dtype=np.float32) < hazard
        return leaving

    def wanted(self, who: Ints) -> Ints:
        """A category for each of `who` (n,) to search in, drawn from its intent."""
        reach = np.cumsum(self.intent[who], axis=1)
        whole = reach[:, -1:]
        at = self._rng.random((len(who), 1), dtype=np.float32) * whole
        # Below the whole even when rounded, so that nobody falls behind the last category that is wanted.
        wanted: Ints = (reach <= np.minimum(at, np.nextafter(whole, np.float32(0)))).sum(axis=1)
        return wanted

    def _after(self, who: Ints, category: Ints, clicked: Bools, reason: NDArray[np.int8]) -> None:
        """Move fatigue and satisfaction by one exposure; a removal tires as five."""
        tired = self.fatigue[who, category] + np.where(reason == NONE, np.float32(1), np.float32(5))
        self.fatigue[who, category] = np.where(clicked, np.float32(0), tired)
        self._satisfaction[who] += np.float32(0.1) * (clicked - self._satisfaction[who])

    def _move(self, who: Ints, category: Ints, share: Floats) -> None:
        self.intent[who] *= (1 - share)[:, None]
        self.intent[who, category] += share

    def _drift(self, who: Ints) -> None:
        """Half of the intent jumps to a category of the user's taste."""
        self._move(who, np.argmax(self._by_taste(who), axis=1), np.full(len(who), 0.5, np.float32))

    def _buy(self, who: Ints, category: Ints) -> None:
        self._bought[who, category] = True
        self.fatigue[who, category] += 10
        self.intent[who, category] *= np.float32(0.1)
        self.intent[who] /= self.intent[who].sum(axis=1, keepdims=True)

    def _fresh_intent(self, who: Ints) -> Floats:
        """One to `intent_categories` categories of each user's taste, with weights of a Dirichlet(2)."""
        keys, most = self._by_taste(who), self._choices
        chosen = np.argpartition(-keys, most - 1, axis=1)[:, :most]
        # In order, the dearest first: how many of them count is drawn apart.
        chosen = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(keys, chosen, 1), axis=1), 1)
        weights = self._rng.gamma(2.0, size=chosen.shape).astype(np.float32)
        weights[np.arange(most) >= self._rng.integers(1, most + 1, len(who))[:, None]] = 0
        fresh = np.zeros((len(who), keys.shape[1]), np.float32)
        np.put_along_axis(fresh, chosen, weights / weights.sum(axis=1, keepdims=True), 1)
        return fresh

    def _by_taste(self, who: Ints) -> Floats:
        """Keys (n, categories): the largest are draws without replacement by softmax(taste), the Gumbel-top-k trick."""
        waits = self._rng.standard_exponential((len(who), self._wants.shape[1]), dtype=np.float32)
        keys: Floats = self._wants[who] - np.log(np.maximum(waits, np.float32(1e-30)))
        return keys

    def _reasons(self, who: Ints, category: Ints, quality: Floats, seen: Floats) -> NDArray[np.int8]:
        other = np.where(quality < -1, BAD_CONTENT, NOT_INTERESTED)
        return np.where(self._bought[who, category], BOUGHT_ALREADY, np.where(seen >= 1, SEEN_TOO_OFTEN, other)).astype(
            np.int8
        )


def interest_of(probability: Floats) -> Floats:
    """Interest from 0 to 1: the click probability on a scale where a common item (7.7 %) is one half."""
    odds = probability / np.maximum(1 - probability, np.float32(1e-6))
    interest: Floats = 12 * odds / (1 + 12 * odds)
    return interest
