"""Rules, cards and values that hypothesis draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgerec.mixing.limits import Caps
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Problem
from tests.mixing.problems import NAMES, PairValues

VALUE = st.integers(-8, 40).map(lambda eighths: eighths / 8)
"""Values without rounding errors, so that equal sums are equal."""


@st.composite
def kind_rules(draw: st.DrawFn, page: int) -> dict[str, Any]:
    """Draw the rules of one kind. Half of the numbers do not restrict."""
    gap = draw(st.sampled_from([1, 1, 1, 2, 3, 4]))
    room = 1 + (page - 1) // gap
    least = draw(st.sampled_from([0, 0, 0, min(1, room)]))
    return {
        "gap": gap,
        "advertiser_gap": draw(st.sampled_from([1, 1, 3, 5, 8])),
        "first": draw(st.sampled_from([1, 1, 2, 4])),
        "at_least": least,
        "at_most": draw(st.sampled_from([50, 50, max(least, 1), max(least, 2), max(least, 8)])),
    }


@st.composite
def rules(draw: st.DrawFn, *, kinds: int = 4) -> MixRules:
    """Draw the rules of 1 to `kinds` kinds. The first one is free, so that most problems have a plan."""
    count = draw(st.integers(1, kinds))
    page = draw(st.integers(count, 20))
    tables = {name: draw(kind_rules(page)) for name in NAMES[1:count]}
    first = draw(st.sampled_from([{}, {}, {"at_least": 1}, {"gap": 2}]))
    return MixRules.model_validate({"page": page, "kinds": {NAMES[0]: first, **tables}})


@st.composite
def cards(draw: st.DrawFn, count: int, kinds: int) -> Cards:
    """Draw cards. Half of them are of the first kind."""
    own = draw(st.lists(st.sampled_from([0] * (kinds - 1) + list(range(kinds))), min_size=count, max_size=count))
    by = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    return Cards(np.array(own, np.int64), np.array(by, np.int64))


@st.composite
def problems(
    draw: st.DrawFn, *, most_places: int = 8, most_cards: int = 14
) -> tuple[Problem, MixRules, PairValues, Caps]:
    """Draw a problem, its rules, exact values, and caps."""
    drawn = draw(rules())
    kinds = len(drawn.names)
    own = draw(cards(draw(st.integers(1, most_cards)), kinds))
    seen = draw(cards(draw(st.sampled_from([0, 0, 1, 3, drawn.page - 1, drawn.page + 2])), kinds))
    problem = Problem(own, seen, draw(st.integers(1, most_places)))
    before = kinds + 1 if draw(st.booleans()) else 1
    size = problem.count * len(own) * before
    some = np.array(draw(st.lists(VALUE, min_size=min(size, 40), max_size=min(size, 40))))
    # A value for each number would be too much to draw, so a few are spread over the table.
    spread = np.random.default_rng(draw(st.integers(0, 1000))).integers(0, len(some), size)
    table = some[spread].reshape(problem.count, len(own), before)
    table = np.repeat(table, kinds + 1, axis=2) if before == 1 else table
    pages = st.integers(len(seen) // drawn.page, (len(seen) + problem.count - 1) // drawn.page)
    cap = st.tuples(st.integers(0, 1), st.integers(0, 4))
    caps = draw(st.dictionaries(st.tuples(pages, st.integers(0, kinds - 1)), cap, max_size=2))
    return problem, drawn, PairValues(table), caps
