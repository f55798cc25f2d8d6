"""Compute relations. Samples call the same function for many requests at once, and the device for one.

The behaviours are sorted by key. Those with the key of a candidate are then side by side, and a binary search finds
them. So no candidate is compared with every behaviour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edgerec.features.behaviours import BehaviourKind
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.known import MS_PER_SECOND, Known, PastBehaviours, Window
from edgerec.features.relations.rule import RelationRule, number_columns, same_columns

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_TOGETHER = ("count", "seconds_since", "steps_since")
"""Relations with one of these computations are computed together, because on the device most of the time is NumPy's
overhead for each call."""

_ZERO = np.zeros(1, np.int64)


class Relations:
    """The relations of a specification.

    Args:
        rules: the rule of each relation.

    Attributes:
        kinds: the kinds of behaviour that the rules read.
    """

    def __init__(self, rules: Sequence[RelationRule]) -> None:
        self.kinds = tuple(dict.fromkeys(rule.kind for rule in rules))
        keys = {name: index for index, name in enumerate(same_columns(rules))}
        numbers = {name: index for index, name in enumerate(number_columns(rules))}
        # Which behaviours a rule reads: the index of the kind, the column of the key (None: any key), and the window.
        choices: dict[tuple[int, int | None, Window], int] = {}
        together: dict[str, list[tuple[int, int]]] = {name: [] for name in _TOGETHER}
        alone: list[tuple[int, tuple[RelationRule, tuple[int, int | None, Window], int | None]]] = []
        for row, rule in enumerate(rules):
            choice = (self.kinds.index(rule.kind), keys.get(rule.same or ""), (rule.within_s, rule.latest))
            if rule.compute in together:
                together[rule.compute].append((row, choices.setdefault(choice, len(choices))))
            else:
                alone.append((row, (rule, choice, numbers.get(rule.column or ""))))
        self._choices = tuple(choices)
        self._kind_of = np.array([kind for kind, _, _ in choices], np.int64)
        self._chosen = {name: np.array([index for _, index in pairs], np.int64) for name, pairs in together.items()}
        self._alone = [one for _, one in alone]
        computed = [row for pairs in together.values() for row, _ in pairs] + [row for row, _ in alone]
        self._order = np.argsort(np.array(computed, np.int64))

    def compute(
        self, candidates: Facts, request: Integers, past: Mapping[BehaviourKind, PastBehaviours], time: Integers
    ) -> Floats:
        """Return the number of each relation for each candidate. NaN stands for a missing value.

        Args:
            candidates: the facts of c candidates.
            request: (c,) the request of each candidate.
            past: the behaviours of each of `kinds` that r requests know. The columns of facts are those of the rules.
            time: (r,) the time of each request in milliseconds.

        Returns:
            (relations, c).
        """
        keys = np.ascontiguousarray(candidates.keys.T)
        known = [Known(past[kind], keys, request, time) for kind in self.kinds]
        blocks = self._together(known, request, time) if self._choices else []
        for rule, (kind, key, window), number in self._alone:
            if number is None:
                found = known[kind].share(key, window)
            else:
                found = known[kind].value(rule, key, window, number, candidates.numbers[:, number])
            blocks.append(found[None])
        values: Floats = np.concatenate(blocks).take(self._order, axis=0)
        return values

    def _together(self, known: Sequence[Known], request: Integers, time: Integers) -> list[Floats]:
        """Return the counts, seconds and steps. The shape of each array is (relations, c)."""
        ranges = (known[kind].rows(key, window) for kind, key, window in self._choices)
        orders, starts, stops = zip(*ranges, strict=True)
        shape = (len(orders), len(request))
        stop = np.concatenate(stops).reshape(shape)
        count = stop - np.concatenate(starts).reshape(shape)
        blocks: list[Floats] = [count.take(self._chosen["count"], axis=0).astype(np.float64)]
        for name in ("seconds_since", "steps_since"):
            chosen = self._chosen[name]
            if not len(chosen):
                continue
            kinds = self._kind_of.take(chosen)
            last = _last([orders[index] for index in chosen.tolist()], stop.take(chosen, axis=0))
            found: Floats
            if name == "seconds_since":
                # The times of all kinds, one kind after the other. The 0 is for requests that know no behaviour.
                times = np.concatenate([*(one.past.time for one in known), _ZERO])
                before = _starts(len(one.past.time) for one in known).take(kinds)
                found = (time.take(request) - times.take(last + before[:, None], mode="clip")) / MS_PER_SECOND
            else:
                ends = np.stack([one.past.end for one in known])
                found = (ends[kinds].take(request, axis=1) - 1 - last).astype(np.float64)
            np.putmask(found, count.take(chosen, axis=0) == 0, np.nan)
            blocks.append(found)
        return blocks


def _last(orders: Sequence[Integers], stops: Integers) -> Integers:
    """Return the last behaviour (orders, c) of each range. An empty range has any index.

    Args:
        orders: for each row of `stops`, the order of the behaviours.
        stops: (orders, c) the end of each range in its order.
    """
    before = _starts(map(len, orders))
    last: Integers = np.concatenate([*orders, _ZERO]).take(stops + (before - 1)[:, None], mode="clip")
    return last


def _starts(lengths: Iterable[int]) -> Integers:
    """Return the start of each of several arrays that are one after the other."""
    return np.array([0, *accumulate(lengths)][:-1], np.int64)
