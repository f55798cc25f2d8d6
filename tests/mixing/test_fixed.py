from __future__ import annotations

import numpy as np

from edgerec.mixing.fixed import fixed_slots, solve_fixed
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Problem
from edgerec.mixing.violations import violations
from tests.mixing.problems import PairValues

RULES = MixRules.model_validate({"kinds": {"product": {}, "ad": {"gap": 3, "first": 4}}})


def test_slots_have_the_shares_and_follow_the_rules() -> None:
    slots = fixed_slots(RULES, [0.8, 0.2], 100)
    assert (slots == 1).mean() == 0.2
    assert np.flatnonzero(slots)[0] == 3
    assert np.diff(np.flatnonzero(slots)).min() >= 3
    assert fixed_slots(RULES, [1.0, 0.0], 5).tolist() == [0] * 5


def test_slots_do_not_depend_on_values_or_on_how_much_was_seen() -> None:
    rng, shown = np.random.default_rng(0), []
    cards = Cards(np.array([0] * 16 + [1] * 8), np.zeros(24, np.int64))
    plan = solve_fixed(Problem(cards), RULES, PairValues(rng.normal(size=(20, 24, 3))), [0.8, 0.2])
    slots = fixed_slots(RULES, [0.8, 0.2], 20)
    assert cards.kinds[plan.order[:20]].tolist() == slots.tolist()
    assert plan.solver == "fixed"
    for seen in range(10):
        problem = Problem(cards, Cards(slots[:seen], np.zeros(seen, np.int64)), 5)
        later = solve_fixed(problem, RULES, PairValues(rng.normal(size=(5, 24, 3))), [0.8, 0.2])
        shown.append(cards.kinds[later.order[:5]].tolist() == slots[seen : seen + 5].tolist())
    assert all(shown)


def test_a_missing_kind_leaves_its_places_to_others() -> None:
    cards = Cards(np.array([0] * 20 + [1]), np.zeros(21, np.int64))
    problem = Problem(cards, places=20)
    plan = solve_fixed(problem, RULES, PairValues(np.ones((20, 21, 3))), [0.7, 0.3])
    assert plan.relaxed == ()
    assert violations(problem, RULES, plan) == []
    assert (cards.kinds[plan.order[:20]] == 1).sum() == 1
    assert plan.value == 20.0
