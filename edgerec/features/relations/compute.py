"""Compute relations. Samples call the same function for many requests at once, and the device for one.

Each candidate is compared with each behaviour of its request. For the largest lists these are 15,000 comparisons of
integers for each column of keys, which take some microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.features.behaviours import BehaviourKind
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.rule import RelationRule, number_columns, same_columns
from edgerec.features.vocabulary import MISSING_ID

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MS_PER_SECOND = 1000.0


@dataclass(frozen=True)
class PastBehaviours:
    """The behaviours of one kind that b requests know, latest first, padded to t behaviours.

    Attributes:
        facts: the facts, keys (b, t, columns) and numbers (b, t, columns). The keys of padding are `MISSING_ID`.
        time: (b, t) int64, milliseconds.
        length: (b,) int64, the number of behaviours.
    """

    facts: Facts
    time: Integers
    length: Integers


class Relations:
    """The relations of a specification.

    Args:
        rules: the rule of each relation.

    Attributes:
        kinds: the kinds of behaviour that the rules read.
    """

    def __init__(self, rules: Sequence[RelationRule]) -> None:
        self._rules = tuple((rule, rule.kind) for rule in rules)
        self._keys = {name: index for index, name in enumerate(same_columns(rules))}
        self._numbers = {name: index for index, name in enumerate(number_columns(rules))}
        self.kinds = tuple(dict.fromkeys(rule.kind for rule in rules))

    def compute(self, candidates: Facts, past: Mapping[BehaviourKind, PastBehaviours], time: Integers) -> Floats:
        """Return the number of each relation for each candidate. NaN stands for a missing value.

        Args:
            candidates: the facts of c candidates of each request, keys (b, c, columns) and numbers (b, c, columns).
            past: the behaviours of each of `kinds` before the requests. The columns of facts are those of the rules.
            time: (b,) the time of each request in milliseconds.

        Returns:
            (relations, b, c).
        """
        windows = {kind: _Windows(candidates, past[kind], time) for kind in self.kinds}
        values = np.empty((len(self._rules), *candidates.keys.shape[:2]))
        for row, (rule, kind) in zip(values, self._rules, strict=True):
            row[:] = self._compute(rule, candidates, windows[kind])
        return values

    def _compute(self, rule: RelationRule, candidates: Facts, windows: _Windows) -> Floats:
        """Return the numbers of one relation. Shape (b, c) or (b, 1)."""
        key = None if rule.same is None else self._keys[rule.same]
        chosen = windows.selected(rule)
        if rule.compute == "count":
            return windows.count(key, chosen)
        if rule.compute == "share":
            return _divide(windows.count(key, chosen), windows.count(None, chosen))
        if rule.compute == "steps_since":
            return windows.at_last(windows.steps, key, chosen)
        if rule.compute == "seconds_since":
            return windows.at_last(windows.age_s, key, chosen)
        column = self._numbers[rule.column or ""]
        theirs = windows.over(rule.over, key, chosen, column)
        if rule.compute == "value":
            return theirs
        own: Floats = candidates.numbers[:, :, column]
        return own - theirs if rule.compute == "difference" else _divide(own, theirs)


@dataclass(frozen=True)
class _Selected:
    """The behaviours that `within_s` and `latest` of a rule select: some of the latest ones.

    Attributes:
        count: (b, 1), their number.
        mask: (b, 1, t), which they are.
        all: whether these are all behaviours.
    """

    count: Integers
    mask: Bools
    all: bool


class _Windows:
    """The behaviours of one kind, and which of them have the keys of the candidates."""

    def __init__(self, candidates: Facts, past: PastBehaviours, time: Integers) -> None:
        batch, self._length = past.time.shape
        self._lengths = past.length[:, None]
        self._row = np.arange(batch)[:, None]
        # A column follows that stands for no behaviour.
        self.age_s: Floats = np.full((batch, self._length + 1), np.nan)
        self.age_s[:, :-1] = (time[:, None] - past.time) / MS_PER_SECOND
        self.steps: Floats = np.arange(self._length + 1, dtype=np.float64)[None].repeat(batch, axis=0)
        self.steps[:, -1] = np.nan
        self._numbers = past.facts.numbers
        # Comparisons of contiguous rows take a third of the time. The shapes are (columns, b, c, t).
        seen = np.ascontiguousarray(past.facts.keys.transpose(2, 0, 1))[:, :, None, :]
        self._match: Bools = np.ascontiguousarray(candidates.keys.transpose(2, 0, 1))[:, :, :, None] == seen
        if seen.size and seen.min() == MISSING_ID:
            self._match &= seen != MISSING_ID
        # A product with a vector counts faster than a sum of booleans.
        self._counted = self._match.astype(np.float32)
        self._last = np.full(self._match.shape[:3], self._length)
        if self._length:
            np.copyto(self._last, self._match.argmax(axis=3), where=self._match.any(axis=3))
        self._chosen: dict[tuple[float | None, int | None], _Selected] = {}

    def selected(self, rule: RelationRule) -> _Selected:
        """Return the behaviours that `within_s` and `latest` select."""
        key = (rule.within_s, rule.latest)
        if key not in self._chosen:
            position = np.arange(self._length)
            count = self._lengths
            if rule.within_s is not None:
                near = (self.age_s[:, :-1] <= rule.within_s) & (position < count)
                count = near.sum(axis=1, keepdims=True)
            if rule.latest is not None:
                count = np.minimum(count, rule.latest)
            mask = (position < count)[:, None, :]
            self._chosen[key] = _Selected(count, mask, key == (None, None))
        return self._chosen[key]

    def count(self, key: int | None, chosen: _Selected) -> Floats:
        """Return the number of the selected behaviours for each candidate."""
        if key is None:
            return chosen.count.astype(np.float64)
        weights = chosen.mask.astype(np.float32).transpose(0, 2, 1)
        counts: Floats = np.matmul(self._counted[key], weights)[:, :, 0].astype(np.float64)
        return counts

    def at_last(self, values: Floats, key: int | None, chosen: _Selected) -> Floats:
        """Return the value of the last selected behaviour, or NaN if there is none.

        `values` has the shape (b, t + 1). Its last column is NaN.
        """
        if key is None:
            return np.where(chosen.count > 0, values[:, :1], np.nan)
        last = self._last[key]
        found: Floats = values[self._row, last]
        return found if chosen.all else np.where(last < chosen.count, found, np.nan)

    def over(self, how: str, key: int | None, chosen: _Selected, column: int) -> Floats:
        """Return one value of a column of numbers over the selected behaviours that have one, or NaN."""
        numbers: Floats = self._numbers[:, None, :, column]
        there = ~np.isnan(numbers) & chosen.mask
        if not there.any():
            return np.full((len(numbers), 1), np.nan)
        if key is not None:
            there = there & self._match[key]
        found: Floats = np.where(there.any(axis=2), _OVER[how](numbers, there), np.nan)
        return found


def _first(numbers: Floats, there: Bools) -> Floats:
    index = there.argmax(axis=2)
    found: Floats = numbers[:, 0][np.arange(len(numbers))[:, None], index]
    return found


def _mean(numbers: Floats, there: Bools) -> Floats:
    # Numbers are added one after the other, so padding does not change the last digit.
    total: Floats = np.cumsum(np.where(there, numbers, 0.0), axis=2)[:, :, -1]
    return _divide(total, there.sum(axis=2).astype(np.float64))


def _least(numbers: Floats, there: Bools) -> Floats:
    least: Floats = np.where(there, numbers, np.inf).min(axis=2)
    return least


def _most(numbers: Floats, there: Bools) -> Floats:
    most: Floats = np.where(there, numbers, -np.inf).max(axis=2)
    return most


_OVER: dict[str, Callable[[Floats, Bools], Floats]] = {"last": _first, "mean": _mean, "min": _least, "max": _most}
"""Functions of numbers (b, 1, t), latest first, and of a mask (b, c or 1, t) of the numbers that count."""


def _divide(one: Floats, other: Floats) -> Floats:
    """Return the quotients. NaN stands for a division by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(other == 0, np.nan, one / other)
