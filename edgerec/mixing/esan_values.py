"""What a plan is worth by ESAN: each card's click rate depends on the cards around it (docs/mixing.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgerec.core.errors import InputError
from edgerec.mixing.esan_tables import Array, EsanTables, mean_back, tables_of
from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import NONE, WINDOW, Ints, Problem
from edgerec.mixing.surroundings import PATTERNS, place_row
from edgerec.mixing.values import Floats, Prefixes


@dataclass(frozen=True)
class _KnownCards:
    """What is known of cards without a card after them.

    Attributes:
        hidden: (..., hidden) their hidden layer, before the activation.
        rates: (...) what `EsanValues` calls swing x tanh(...).
    """

    hidden: Array
    rates: Floats

    def take(self, cells: Ints) -> _KnownCards:
        """See `Known.take`."""
        return _KnownCards(self.hidden.reshape(-1, self.hidden.shape[-1]).take(cells, axis=0), self.rates.take(cells))


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
        kind_of: (n + 1,) the kind of each candidate.
        own, before: (n + 1, hidden) vectors of the candidates.
        after: (kinds * (n + 1), hidden), by kind of a card and the candidate after it.
        after_row: (n + 1,) where `after` begins, by the card that stands before.
        parts: (4, n + 1) by candidate: scale and shift, half of the calibration of its logit; swing, half of the worth
            of a click; level, the same less what showing the card costs.
        examination: (places,) the probability that the user sees a place.
        offsets: (places,) what place and bias add to the logits of a place.
        placed: (4, places * (n + 1)) `parts` by place and candidate: with the offset of the place in shift, and its
            examination in swing and level.
    """

    tables: EsanTables
    output: Array
    kind_of: Ints
    own: Array
    before: Array
    after: Array
    after_row: Ints
    parts: Floats
    examination: Floats
    offsets: Floats
    placed: Floats

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
        tables, none = tables_of(head, names), np.zeros((1, head.hidden), np.float32)
        own, before, after = (np.concatenate([part, none]) for part in (vectors.own, vectors.before, vectors.after))
        kinds = np.append(kinds, 0)
        after = after + tables.following[:, kinds]
        parts = np.stack(
            [np.append(part, 0.0) for part in (*calibration.T / 2, worth / 2, worth / 2 - prices - leaving)]
        )
        index = np.arange(problem.count)
        examination = np.array(known.examination)[np.minimum(index, len(known.examination) - 1)]
        offsets = (head.place[place_row(index + len(problem.seen))] + head.bias).astype(np.float64)
        placed = np.empty((4, len(index), count + 1))
        placed[0] = parts[0]
        np.multiply.outer(offsets, parts[0], out=placed[1])
        placed[1] += parts[1]
        np.multiply(examination[:, None], parts[2:, None], out=placed[2:])
        return cls(
            tables=tables,
            output=head.output,
            kind_of=kinds,
            own=own,
            before=before,
            after=after.reshape(-1, head.hidden),
            after_row=kinds * len(kinds),
            parts=parts,
            examination=examination,
            offsets=offsets,
            placed=placed.reshape(4, -1),
        )

    @property
    def kinds(self) -> int:
        """Number of kinds."""
        return len(self.tables.rows)

    def table(self, places: int) -> Floats:
        """See `PlanValues.table`. The cards around are known by their kinds only, and only the one before is."""
        hidden = self.own[:-1, None, :] + self.tables.previous[self.kind_of[:-1]]
        logits = np.maximum(hidden, 0, out=hidden) @ self.output
        total = logits + self.offsets[:places, None, None]
        scale, shift, swing, level = self.parts[:, :-1, None]
        values: Floats = self.examination[:places, None, None] * (level + swing * np.tanh(total * scale + shift))
        return values

    def pairs(self, first: int, places: int, cards: Ints, counts: Ints) -> Array:
        """See `PlanValues.pairs`. What is not known of the surroundings is replaced by its mean."""
        share = counts / max(counts.sum(), 1)
        kinds, own, every = self.kind_of[cards], self.own[cards], np.append(cards, NONE)
        back = mean_back(self.tables, share)
        columns = np.append(kinds, -1)
        # A card by the card before it, and the card before without and with the card after it.
        new = (own[:, None] + back[kinds]).take(columns, axis=1, mode="wrap")
        new += self.before[every]
        alone = np.concatenate(
            [own + (share.astype(np.float32) @ back[kinds, :-1]) + self.before[cards].mean(axis=0), own[:1]]
        )
        both = self.after.take(columns * len(self.kind_of) + cards[:, None], axis=0, mode="clip")
        both += alone
        index = np.arange(first, places)
        # At place 0, no candidate stands before.
        last = np.maximum(index - 1, 0)
        swing, level = self.parts[2:].astype(np.float32)
        seen, before = self.examination.astype(np.float32)[np.stack([index, last])][:, :, None, None]
        # A value is seen x (level - swing + 2 x swing x rate) of the card, and before x 2 x swing x what it changes in
        # the rate of the card before. All of it is worked out in place: there are many pairs.
        values = self._pair_odds(new, cards[:, None], self.offsets[index])
        np.divide(seen * (2 * swing[cards, None]), values, out=values)
        values += seen * (level - swing)[cards, None]
        weight = before * (2 * swing[every])
        change = self._pair_odds(both, every, self.offsets[last])
        np.divide(weight, change, out=change)
        values += change
        values -= weight / self._pair_odds(alone, every, self.offsets[last])[:, None]
        return values

    def _pair_odds(self, hidden: Array, cards: Ints, offsets: Floats) -> Array:
        """Return (places, ...) 1 / click rate of cards at places, of which each adds its offset to the logits.

        With ``e = exp(-logit)``, it is ``1 + e``, and an offset multiplies e. So no place needs `exp`.
        """
        logits = np.dot(np.maximum(hidden, 0).reshape(-1, len(self.output)), self.output).reshape(hidden.shape[:-1])
        scale, shift = -2 * self.parts[:2].astype(np.float32).take(cards, axis=1)
        logits *= scale
        logits += shift
        factors = offsets.astype(np.float32).reshape(-1, *(1,) * logits.ndim) * scale
        for powers in (logits, factors):
            np.maximum(powers, -40, out=powers)
            np.minimum(powers, 40, out=powers)
            np.exp(powers, out=powers)
        odds: Array = factors * logits
        odds += 1
        return odds

    def extend(self, place: int | Ints, prefixes: Prefixes, cards: Ints) -> tuple[Floats, _KnownCards]:
        """See `PlanValues.extend`. The value of the card before changes, because the card after it is now known."""
        last, width = prefixes.cards[1], len(self.kind_of)
        # Where the new card, and the card before it, are in `placed`.
        at = np.empty((2, *cards.shape), np.int64)
        np.add(cards, place * width, out=at[0])
        np.add(last, place * width - width, out=at[1])
        known = prefixes.known if isinstance(prefixes.known, _KnownCards) else self._known(prefixes, at[1, 0])
        # The new card without a card after it, and the card before with the new card after it.
        hidden = np.empty((2, *cards.shape, len(self.output)), np.float32)
        rows = prefixes.shown >> 1
        rows += self.tables.rows.take(prefixes.kinds, axis=1)
        self._hidden(cards, last, rows, out=hidden[0])
        np.add(self.after.take(self.after_row.take(last) + cards, axis=0), known.hidden, out=hidden[1])
        rates = self._rates(hidden, at)
        # If the card before is no candidate, its swing is 0, and so are both of its rates.
        values = self.placed[3].take(at[0], mode="wrap")
        values += rates[0]
        values += rates[1]
        values -= known.rates
        return values, _KnownCards(hidden[0], rates[0])

    def _known(self, prefixes: Prefixes, at: Ints) -> _KnownCards:
        """Return what is known of the last cards, which are `at` these places in `placed`."""
        older, last = prefixes.cards
        every = np.arange(len(last))
        # One bit of `shown` earlier: the card before the last one, and the cards before that.
        second = (prefixes.shown >> (WINDOW - 2)) & 1
        kinds = np.where(second.any(axis=0), second.argmax(axis=0), NONE)
        rows = (prefixes.shown & (PATTERNS - 1)) + self.tables.rows.take(kinds, axis=1)
        hidden = np.empty((len(last), len(self.output)), np.float32)
        self._hidden(last, older, rows[self.kind_of[last], every], out=hidden)
        return _KnownCards(hidden, self._rates(hidden, at))

    def _hidden(self, cards: Ints, before: Ints, rows: Ints, *, out: Array) -> None:
        """Write the hidden layer of cards without a card after them, before the activation.

        Args:
            cards: (..., b) the cards.
            before: (b,) the cards before them.
            rows: (..., b) their rows of `EsanTables.back`.
            out: (..., b, hidden) where the result goes.
        """
        self.own.take(cards, axis=0, out=out, mode="wrap")
        out += self.before.take(before, axis=0)
        out += self.tables.back.take(rows, axis=0)

    def _rates(self, hidden: Array, at: Ints) -> Floats:
        """Return swing x tanh(scale x logit + shift) of cards (...), by where they are in `placed`."""
        scale, shift, swing, _ = self.placed.take(at, axis=1, mode="wrap")
        logits = np.dot(np.maximum(hidden, 0).reshape(-1, len(self.output)), self.output)
        rates: Floats = logits.reshape(at.shape) * scale
        rates += shift
        np.tanh(rates, out=rates)
        rates *= swing
        return rates
