"""What a plan is worth by ESAN: each card's click rate depends on the cards around it (docs/mixing.md)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MOST_PLACES, MixRules
from edgerec.mixing.slate import NONE, Ints, Problem
from edgerec.mixing.surroundings import NO_CARD, PATTERNS, SPAN, count_row, distance_row, pattern_of, place_row
from edgerec.mixing.values import Floats, Prefixes

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Tables:
    """The tables of a head in the order of kinds of the rules.

    Attributes:
        previous: (kinds, kinds + 1, hidden), by own kind, and kind of the card before; the last column is for no card.
        back: (kinds * (kinds + 1) * PATTERNS, hidden), the sum of all tables that look back: by own kind, kind of the
            card before plus 1 (so column 0 is for no card), and `pattern_of` the cards before.
        following: (kinds, kinds, hidden), by own kind, and kind of the card after.
    """

    previous: Array
    back: Array
    following: Array


@functools.lru_cache(maxsize=4)
def _tables(head: SurroundingsHead, names: tuple[str, ...]) -> _Tables:
    codes, patterns = np.array([head.code(name) for name in names]), np.arange(PATTERNS)
    own = codes[:, None]
    previous = head.previous[own, np.append(2 + codes, NO_CARD)]
    kind = head.distance[own, distance_row(patterns)] + head.count[own, count_row(patterns)]
    back = np.roll(previous, 1, axis=1)[:, :, None, :] + kind[:, None, :, :]
    return _Tables(previous, back.reshape(-1, head.hidden), head.following[own, 1 + codes])


_BITS = (np.arange(PATTERNS)[:, None] >> np.arange(SPAN)) & 1


def _mean_back(tables: _Tables, share: Floats) -> Array:
    """Return (kinds, kinds + 1, hidden) the mean of `back` by own kind and kind of the card before (last: no card).

    Each of the cards before that one is of a kind with the probability `share`.
    """
    kinds = len(share)
    older = np.where(_BITS[:, :-1], share[:, None, None], 1 - share[:, None, None]).prod(axis=2)
    newest = _BITS[:, -1] == np.eye(kinds, kinds + 1, 1, dtype=np.int64)[:, :, None]
    back = tables.back.reshape(kinds, kinds + 1, PATTERNS, -1)
    mean: Array = np.matmul((older[:, None] * newest).astype(np.float32)[:, :, None, :], back)[:, :, 0]
    return np.roll(mean, -1, axis=1)


@dataclass(frozen=True)
class EsanValues:
    """Values of one problem by ESAN. `of` creates them.

    The value of a card at a place is ``examination x (click rate x worth - price)``. The click rate is that of the
    calibrated logit, given the card before, the kinds of the `SPAN` cards before, the place and, as soon as it is
    known, the card after.

    The arrays of candidates have a last row of zeros, which index `NONE` reads: a card that was seen changes nothing.
    With ``sigmoid(x) = (1 + tanh(x / 2)) / 2``, a value is ``level + swing x tanh(scale x logit + shift)``.

    Attributes:
        tables: the tables of the head in the order of the rules.
        output: (hidden,) the kernel of the output layer.
        kinds: (n + 1,) the kind of each candidate.
        own, before: (n + 1, hidden) vectors of the candidates.
        after: (kinds * (n + 1), hidden), by kind of a card and the candidate after it.
        parts: (4, n + 1) by candidate: scale and shift, half of the calibration of its logit; swing, half of the worth
            of a click; level, the same less what showing the card costs.
        examination: (MOST_PLACES,) the probability that the user sees a place.
        offsets: (MOST_PLACES, 3) what place and bias add to the logits of a new card at a place, and twice to those of
            the card before.
    """

    tables: _Tables
    output: Array
    kinds: Ints
    own: Array
    before: Array
    after: Array
    parts: Floats
    examination: Floats
    offsets: Floats

    exact = False

    @classmethod
    def of(
        cls,
        head: SurroundingsHead,
        vectors: CardVectors,
        problem: Problem,
        rules: MixRules,
        *,
        worth: Floats | None = None,
        prices: Floats | Mapping[str, float] | None = None,
        prior: MixPrior | None = None,
    ) -> EsanValues:
        """Return the values of a problem.

        Args:
            head: the head of the model.
            vectors: the vectors of the candidates, in the order of `problem.cards`.
            problem: the candidates, and the cards before them.
            rules: the rules; the order of its kinds is that of `problem`.
            worth: (n,) the worth of a click on each candidate. Default: that of its kind in the rules.
            prices: the price of showing a card, by kind, or (n,) by candidate. Default: those of the prior.
            prior: calibration, examination and departures. Default: none of them changes anything.

        Raises:
            InputError: an argument has another length than the candidates, or `vectors` do not fit `head`.
        """
        count, kinds, names = len(problem.cards), problem.cards.kinds, rules.names
        if vectors.own.shape != (count, head.hidden):
            raise InputError(
                f"mixing: `vectors` should be those of {count} candidates with {head.hidden} numbers each; received "
                f"shape {vectors.own.shape}"
            )
        known = MixPrior(version_id="none") if prior is None else prior
        calibration = np.array([known.calibration.get(name, (1.0, 0.0)) for name in names])[kinds]
        if prices is None or isinstance(prices, Mapping):
            given = known.prices if prices is None else prices
            prices = np.array([given.get(name, 0.0) for name in names])[kinds]
        if worth is None:
            worth = np.array([rules.kinds[name].worth for name in names])[kinds]
        if prices.shape != (count,) or worth.shape != (count,):
            raise InputError(
                f"mixing: `worth` and `prices` should have {count} numbers; received shapes {worth.shape} and "
                f"{prices.shape}"
            )
        leaving = np.array([known.departures.get(name, 0.0) for name in names])[kinds] * known.later
        tables, none = _tables(head, names), np.zeros((1, head.hidden), np.float32)
        own, before, after = (np.concatenate([part, none]) for part in (vectors.own, vectors.before, vectors.after))
        kinds = np.append(kinds, 0)
        after = after + tables.following[:, kinds]
        index = np.arange(MOST_PLACES)
        place = np.stack([index, index - 1, index - 1], axis=1)
        return cls(
            tables=tables,
            output=head.output,
            kinds=kinds,
            own=own,
            before=before,
            after=after.reshape(-1, head.hidden),
            parts=np.stack(
                [np.append(part, 0.0) for part in (*calibration.T / 2, worth / 2, worth / 2 - prices - leaving)]
            ),
            examination=np.array(known.examination)[np.minimum(index, len(known.examination) - 1)],
            offsets=(head.place[place_row(np.maximum(place + len(problem.seen), 0))] + head.bias).astype(np.float64),
        )

    def table(self, places: int) -> Floats:
        """See `PlanValues.table`. The cards around are known by their kinds only, and only the one before is."""
        hidden = self.own[:-1, None, :] + self.tables.previous[self.kinds[:-1]]
        logits = np.maximum(hidden, 0, out=hidden) @ self.output
        index = np.minimum(np.arange(places), MOST_PLACES - 1)
        total = logits + self.offsets[index, 0, None, None]
        scale, shift, swing, level = self.parts[:, :-1, None]
        values: Floats = self.examination[index, None, None] * (level + swing * np.tanh(total * scale + shift))
        return values

    def pairs(self, first: int, places: int, cards: Ints, counts: Ints) -> Array:
        """See `PlanValues.pairs`. What is not known of the surroundings is replaced by its mean."""
        share = counts / max(counts.sum(), 1)
        kinds, own, every = self.kinds[cards], self.own[cards], np.append(cards, NONE)
        back = _mean_back(self.tables, share)
        columns = np.append(kinds, -1)
        # A card by the card before it, and the card before without and with the card after it.
        new = (own[:, None] + back[kinds]).take(columns, axis=1, mode="wrap")
        new += self.before[every]
        alone = np.concatenate(
            [own + (share.astype(np.float32) @ back[kinds, :-1]) + self.before[cards].mean(axis=0), own[:1]]
        )
        both = self.after.take(columns * len(self.kinds) + cards[:, None], axis=0, mode="clip")
        both += alone
        index = np.minimum(np.arange(first, places), MOST_PLACES - 1)
        now, then = self.offsets[index, 0], self.offsets[index, 1]
        seen, before = self.examination[index], self.examination[np.maximum(index - 1, 0)]
        half, level = self.parts[2:].astype(np.float32)
        swing = 2 * half
        values: Array = self._rates(new, cards[:, None], now)
        values *= swing[cards, None]
        values += (level - half)[cards, None]
        values *= seen.astype(np.float32)[:, None, None]
        change = self._rates(both, every, then)
        change -= self._rates(alone, every, then)[:, None]
        change *= swing[every] * before.astype(np.float32)[:, None, None]
        values += change
        return values

    def _rates(self, hidden: Array, cards: Ints, offsets: Floats) -> Array:
        """Return (places, ...) the click rates of cards at places, of which each adds its offset to the logits.

        With ``e = exp(-logit)``, the rate is ``1 / (1 + e)``, and an offset multiplies e. So no place needs `exp`.
        """
        logits = np.maximum(hidden, 0) @ self.output
        scale, shift = 2 * self.parts[:2].take(cards, axis=1)
        powers = np.exp(np.clip(-scale * logits - shift, -40, 40).astype(np.float32))
        factors = np.exp(np.clip(-scale * offsets.reshape(-1, *(1,) * logits.ndim), -40, 40).astype(np.float32))
        rates: Array = factors * powers
        rates += 1
        np.reciprocal(rates, out=rates)
        return rates

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> Floats:
        """See `PlanValues.extend`. The value of the card before changes, because the card after it is now known."""
        # One batch has three parts: the new card, the card before it without a card after it, and the same with it.
        count, columns = len(cards), self.tables.previous.shape[1]
        last = prefixes.cards[:, 1]
        ids = np.empty((3, count), np.int64)
        ids[0], ids[1], ids[2] = cards, last, last
        kinds = self.kinds.take(ids[:2])
        # Bit 7 is the newest card of the window. It is the card before the new card, and is that card itself.
        pattern = pattern_of(prefixes.kinds, kinds)
        pattern[0] >>= 1
        pattern[1] &= PATTERNS - 1
        rows = (kinds * columns + (prefixes.kinds[:, :-3:-1].T + 1)) * PATTERNS
        rows += pattern
        hidden = np.empty((3, count, len(self.output)), np.float32)
        self.own.take(ids[:2], axis=0, out=hidden[:2], mode="wrap")
        hidden[:2] += self.before.take(prefixes.cards[:, ::-1].T, axis=0)
        hidden[:2] += self.tables.back.take(rows, axis=0)
        np.add(hidden[1], self.after.take(kinds[1] * len(self.kinds) + cards, axis=0), out=hidden[2])
        # One place for all cards, or one for each.
        index = np.minimum(place, MOST_PLACES - 1)
        logits = np.maximum(hidden, 0, out=hidden) @ self.output + self.offsets[index].T.reshape(3, -1)
        scale, shift, swing, level = self.parts.take(ids, axis=1)
        rates = np.tanh(logits * scale + shift)
        rates *= swing
        # At the first place, the card before is no candidate, so its swing is 0.
        values: Floats = self.examination[index] * (level[0] + rates[0])
        values += self.examination[np.maximum(index - 1, 0)] * (rates[2] - rates[1])
        return values
