"""Compute the relations of one request. Samples and the device call the same function.

Behaviours are read from the latest to the oldest. Candidates and behaviours are compared with each other, so the cost
grows with the product of their numbers. For the largest lists these are 15,000 comparisons of integers, which take some
microseconds. Each selection by `within_s` or `latest` is a number of latest behaviours.
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
    """The behaviours of one kind that a request knows, oldest first.

    Attributes:
        facts: the facts of t behaviours.
        time: (t,) int64, milliseconds.
    """

    facts: Facts
    time: Integers


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

    def compute(self, candidates: Facts, past: Mapping[BehaviourKind, PastBehaviours], time: int) -> Floats:
        """Return the number of each relation for each candidate. NaN stands for a missing value.

        Args:
            candidates: the facts of c candidates.
            past: the behaviours of each of `kinds` before the request. The columns of facts are those of the rules.
            time: the time of the request in milliseconds.

        Returns:
            (relations, c).
        """
        windows = {kind: _Window(candidates, past[kind], time) for kind in self.kinds}
        values = np.empty((len(self._rules), len(candidates)))
        for row, (rule, kind) in zip(values, self._rules, strict=True):
            row[:] = self._compute(rule, candidates, windows[kind])
        return values

    def _compute(self, rule: RelationRule, candidates: Facts, window: _Window) -> Floats | float:
        key = None if rule.same is None else self._keys[rule.same]
        latest = window.selected(rule)
        if rule.compute == "count":
            return window.count(key, latest)
        if rule.compute == "share":
            return window.count(key, latest) / latest if latest else np.nan
        if rule.compute == "steps_since":
            return window.at_last(window.steps, key, latest)
        if rule.compute == "seconds_since":
            return window.at_last(window.age_s, key, latest)
        column = self._numbers[rule.column or ""]
        theirs = window.over(rule.over, key, latest, column)
        if rule.compute == "value":
            return theirs
        own: Floats = candidates.numbers[:, column]
        if rule.compute == "difference":
            return own - theirs
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(theirs == 0, np.nan, own / theirs)


class _Window:
    """The behaviours of one kind, latest first, and which of them have the keys of the candidates."""

    def __init__(self, candidates: Facts, past: PastBehaviours, time: int) -> None:
        self._length = len(past.time)
        # An element follows that stands for no behaviour.
        self.age_s: Floats = np.append((time - past.time[::-1]) / MS_PER_SECOND, np.nan)
        self.steps: Floats = np.arange(self._length + 1, dtype=np.float64)
        self.steps[-1] = np.nan
        self._numbers: Floats = past.facts.numbers[::-1].T
        # Comparisons of contiguous rows take a third of the time.
        seen = np.ascontiguousarray(past.facts.keys[::-1].T)[:, None, :]
        self._match: Bools = np.ascontiguousarray(candidates.keys.T)[:, :, None] == seen
        if seen.size and seen.min() == MISSING_ID:
            self._match &= seen != MISSING_ID
        # A product with a vector of ones counts faster than a sum of booleans.
        self._counted = self._match.astype(np.float32)
        self._last = np.full(self._match.shape[:2], self._length)
        if self._length:
            np.copyto(self._last, self._match.argmax(axis=2), where=self._match.any(axis=2))

    def selected(self, rule: RelationRule) -> int:
        """Return how many of the latest behaviours the rule selects."""
        count = self._length
        if rule.within_s is not None:
            count = int(np.searchsorted(self.age_s[:-1], rule.within_s, side="right"))
        return count if rule.latest is None else min(count, rule.latest)

    def count(self, key: int | None, latest: int) -> Floats | float:
        """Return the number of the selected behaviours for each candidate."""
        if key is None:
            return float(latest)
        counts: Floats = (self._counted[key, :, :latest] @ np.ones(latest, np.float32)).astype(np.float64)
        return counts

    def at_last(self, values: Floats, key: int | None, latest: int) -> Floats | float:
        """Return the value of the last selected behaviour, or NaN if there is none.

        `values` has the shape (t + 1,). Its last element is NaN.
        """
        if not latest:
            return np.nan
        if key is None:
            return float(values[0])
        last = self._last[key]
        found: Floats = values[last]
        return found if latest == self._length else np.where(last < latest, found, np.nan)

    def over(self, how: str, key: int | None, latest: int, column: int) -> Floats | float:
        """Return one value of a column of numbers over the selected behaviours that have one, or NaN."""
        numbers = self._numbers[column, :latest]
        there = ~np.isnan(numbers)
        if key is None:
            numbers = numbers[there]
            return float(_OVER[how](numbers[None])[0]) if len(numbers) else np.nan
        if how == "last" and there.all():
            return self.at_last(np.append(self._numbers[column], np.nan), key, latest)
        if not there.any():
            return np.nan
        chosen = self._match[key, :, :latest] & there
        with np.errstate(invalid="ignore"):
            values = _OVER[how](np.where(chosen, numbers, np.nan))
        return np.where(chosen.any(axis=1), values, np.nan)


def _first(numbers: Floats) -> Floats:
    found: Floats = numbers[np.arange(len(numbers)), (~np.isnan(numbers)).argmax(axis=1)]
    return found


def _mean(numbers: Floats) -> Floats:
    there = ~np.isnan(numbers)
    # Behaviours are added one after the other, so the sum does not depend on the number of other behaviours.
    total: Floats = np.cumsum(np.where(there, numbers, 0.0), axis=1)[:, -1]
    mean: Floats = total / there.sum(axis=1)
    return mean


def _least(numbers: Floats) -> Floats:
    least: Floats = np.where(np.isnan(numbers), np.inf, numbers).min(axis=1)
    return least


def _most(numbers: Floats) -> Floats:
    most: Floats = np.where(np.isnan(numbers), -np.inf, numbers).max(axis=1)
    return most


_OVER: dict[str, Callable[[Floats], Floats]] = {"last": _first, "mean": _mean, "min": _least, "max": _most}
"""Functions of numbers (c, t), latest first, with at least one number in each row. NaN stands for a number that is not
selected."""
