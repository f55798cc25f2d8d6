"""Compute relations. Samples compute them for many requests at once, and the device for one request.

Each request reads a range of a user's behaviours, which are in order of time. All ranges are laid out one after the
other as pairs of request and behaviour. A group of pairs has the pairs of one request whose behaviours have one key.
Candidates find their group by a binary search. So the cost grows with the number of candidates and pairs, and not with
their product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgerec.features.behaviours import BehaviourKind
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.rule import RelationRule, number_columns, same_columns
from edgerec.features.vocabulary import MISSING_ID

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

MS_PER_SECOND = 1000.0


@dataclass(frozen=True)
class PastBehaviours:
    """Behaviours of one kind, and which of them each request knows.

    Attributes:
        facts: the facts of n behaviours. The behaviours of a user are in order of time.
        time: (n,) int64, milliseconds.
        ranges: (r, 2) int64, for each request the index of the first known behaviour and the index after the last one.
    """

    facts: Facts
    time: Integers
    ranges: Integers


@dataclass(frozen=True)
class Candidates:
    """The candidates of r requests.

    Attributes:
        facts: the facts of c candidates.
        request: (c,) int64, the request of each candidate, 0 to r - 1.
        time: (r,) int64, the time of each request in milliseconds.
    """

    facts: Facts
    request: Integers
    time: Integers


def compute_relations(
    rules: Sequence[RelationRule], candidates: Candidates, past: Mapping[BehaviourKind, PastBehaviours]
) -> list[Floats]:
    """Return the numbers of each rule, one (c,) array for each. NaN stands for a missing value.

    Args:
        rules: the rules.
        candidates: the candidates. The columns of their facts are those of all `rules`.
        past: the behaviours of each kind that a rule reads. The columns of their facts are the same.
    """
    columns: dict[str | None, int] = {name: index for index, name in enumerate(number_columns(rules))}
    keys = {name: index for index, name in enumerate(same_columns(rules))}
    pairs = {kind: _Pairs(candidates, past[kind], keys) for kind in {rule.kind: None for rule in rules}}
    return [_compute(rule, candidates, pairs[rule.kind], columns) for rule in rules]


@dataclass(frozen=True)
class _Groups:
    """The groups of pairs that share a request and a key.

    Attributes:
        count: the number of groups.
        pair: (pairs,) the group of each pair; `count` if no candidate reads the pair.
        candidate: (c,) the group of each candidate; `count` if its key is missing.
    """

    count: int
    pair: Integers
    candidate: Integers


class _Pairs:
    """The pairs of requests and behaviours of one kind."""

    def __init__(self, candidates: Candidates, past: PastBehaviours, keys: Mapping[str, int]) -> None:
        self._candidates, self._past, self._keys = candidates, past, keys
        begin, end = past.ranges[:, 0], past.ranges[:, 1]
        lengths = end - begin
        self.request = np.repeat(np.arange(len(lengths)), lengths)
        first = np.cumsum(lengths) - lengths
        self.behaviour = np.arange(len(self.request)) + np.repeat(begin - first, lengths)
        self._end = end
        self._groups: dict[str | None, _Groups] = {}
        self._selected: dict[tuple[float | None, int | None], NDArray[np.bool_] | None] = {}

    @cached_property
    def steps(self) -> Integers:
        """The number of behaviours between each pair's behaviour and the request. Shape (pairs,)."""
        steps: Integers = self._end[self.request] - 1 - self.behaviour
        return steps

    @cached_property
    def age(self) -> Integers:
        """Milliseconds from each pair's behaviour to the request. Shape (pairs,)."""
        age: Integers = self._candidates.time[self.request] - self._past.time[self.behaviour]
        return age

    def numbers(self, column: int) -> Floats:
        """Return the numbers of a column. Shape (pairs,)."""
        numbers: Floats = self._past.facts.numbers[self.behaviour, column]
        return numbers

    def selected(self, rule: RelationRule) -> NDArray[np.bool_] | None:
        """Return which pairs `within_s` and `latest` select, or None if they select all. Shape (pairs,)."""
        key = (rule.within_s, rule.latest)
        if key not in self._selected:
            chosen: NDArray[np.bool_] | None = None
            if rule.within_s is not None:
                chosen = self.age <= rule.within_s * MS_PER_SECOND
            if rule.latest is not None:
                last = self.steps < rule.latest
                chosen = last if chosen is None else chosen & last
            self._selected[key] = chosen
        return self._selected[key]

    def groups(self, same: str | None) -> _Groups:
        """Return the groups of pairs for a rule with this `same`."""
        if same not in self._groups:
            self._groups[same] = self._group(same)
        return self._groups[same]

    def _group(self, same: str | None) -> _Groups:
        candidates = self._candidates
        if same is None:
            return _Groups(len(candidates.time), self.request, candidates.request)
        column = self._keys[same]
        wanted, seen = candidates.facts.keys[:, column], self._past.facts.keys[self.behaviour, column]
        known, codes = np.unique(wanted, return_inverse=True)
        places = np.minimum(np.searchsorted(known, seen), len(known) - 1)
        found = (known[places] == seen) & (seen != MISSING_ID)
        if len(candidates.time) == 1:
            count, candidate, pair = len(known), codes, places
        else:
            # Request and key become one number. Only the numbers of candidates become groups.
            groups, candidate = np.unique(candidates.request * len(known) + codes, return_inverse=True)
            number = self.request * len(known) + places
            pair = np.minimum(np.searchsorted(groups, number), len(groups) - 1)
            found &= groups[pair] == number
            count = len(groups)
        return _Groups(count, np.where(found, pair, count), np.where(wanted == MISSING_ID, count, candidate))


def _compute(rule: RelationRule, candidates: Candidates, pairs: _Pairs, columns: Mapping[str | None, int]) -> Floats:
    groups, chosen = pairs.groups(rule.same), pairs.selected(rule)
    group = groups.pair if chosen is None else np.where(chosen, groups.pair, groups.count)
    if rule.compute in ("count", "share"):
        counts = _per_group(groups, group)
        found = counts[groups.candidate]
        if rule.compute == "count":
            return found
        every = pairs.groups(None)
        total = _per_group(every, every.pair if chosen is None else np.where(chosen, every.pair, every.count))
        return _divide(found, total[every.candidate])
    if rule.compute in ("seconds_since", "steps_since"):
        last = _last(groups, group)[groups.candidate]
        amount = pairs.age / MS_PER_SECOND if rule.compute == "seconds_since" else pairs.steps
        return _at(amount, last)
    column = columns[rule.column]
    theirs = _over(rule, groups, group, pairs.numbers(column))[groups.candidate]
    if rule.compute == "value":
        return theirs
    own = candidates.facts.numbers[:, column]
    return own - theirs if rule.compute == "difference" else _divide(own, theirs)


def _per_group(groups: _Groups, group: Integers, weights: Floats | None = None) -> Floats:
    """Return the number of pairs, or the sum of their weights, for each group. Then follows a 0 for no group."""
    sums = np.bincount(group, weights, minlength=groups.count + 1).astype(np.float64)
    sums[groups.count] = 0.0
    return sums


def _last(groups: _Groups, group: Integers) -> Integers:
    """Return the last pair of each group, or -1 if a group has no pair. Then follows a -1 for no group."""
    last = np.full(groups.count + 1, -1)
    # If an index occurs several times, NumPy keeps the last assignment. Pairs are in order of time.
    last[group] = np.arange(len(group))
    last[groups.count] = -1
    return last


def _at(values: NDArray[np.number], pair: Integers) -> Floats:
    """Return the values of the pairs, or NaN where the pair is -1."""
    if not len(values):
        return np.full(len(pair), np.nan)
    return np.where(pair < 0, np.nan, values[pair])


def _over(rule: RelationRule, groups: _Groups, group: Integers, numbers: Floats) -> Floats:
    """Return one value for each group, then NaN for no group."""
    there = ~np.isnan(numbers)
    group, numbers = group[there], numbers[there]
    if rule.over == "last":
        return _at(numbers, _last(groups, group))
    if rule.over == "mean":
        return _divide(_per_group(groups, group, numbers), _per_group(groups, group))
    start = np.inf if rule.over == "min" else -np.inf
    values = np.full(groups.count + 1, start)
    (np.minimum if rule.over == "min" else np.maximum).at(values, group, numbers)
    values[groups.count] = start
    return np.where(np.isinf(values), np.nan, values)


def _divide(one: Floats, other: Floats) -> Floats:
    """Return the quotients. NaN stands for a division by 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(other == 0, np.nan, one / other)
