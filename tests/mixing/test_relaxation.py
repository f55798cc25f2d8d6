from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import ConfigurationError, NotFiniteError, ShapeError
from edgerec.mixing import solve as solve_module
from edgerec.mixing.rules import MixRules, parse_rules
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.violations import violations
from tests.mixing.checks import before_last, faults
from tests.mixing.problems import PairValues, draw, pair_values, plans, window_values

PRODUCT, AD = 0, 1


def _rules(ad: dict[str, Any], **others: Any) -> MixRules:
    return MixRules.model_validate({"page": 6, **others, "kinds": {"product": {}, "ad": ad}})


def _cards(kinds: list[int], advertisers: list[int] | None = None) -> Cards:
    return Cards(np.array(kinds, np.int64), np.array(advertisers or [0] * len(kinds), np.int64))


def _solve(problem: Problem, rules: MixRules, **settings: Any) -> Plan:
    rng = np.random.default_rng(0)
    values = PairValues(rng.uniform(size=(problem.count, len(problem.cards), 3)))
    plan = solve(problem, rules, values, **settings)
    assert faults(problem, rules, plan, settings.get("caps") or {}) == []
    return plan


def test_an_empty_source_gives_up_only_the_smallest_number() -> None:
    plan = _solve(Problem(_cards([PRODUCT] * 8), places=6), _rules({"at_least": 1, "gap": 3, "first": 2}))
    assert plan.relaxed == ("at_least",)
    assert plan.planned == 6


def test_only_ads_are_left() -> None:
    plan = _solve(Problem(_cards([AD] * 4), _cards([PRODUCT]), places=4), _rules({"gap": 3, "first": 2, "at_most": 2}))
    assert plan.relaxed == ("at_most", "gap"), "an ad may stand at place 2, and nothing else is broken"
    assert plan.order.tolist() == [0, 1, 2, 3]


def test_rules_hold_for_as_many_places_as_possible() -> None:
    rules = _rules({"gap": 3, "first": 2, "at_most": 2})
    problem = Problem(_cards([AD] * 4 + [PRODUCT] * 4), places=8)
    plan = _solve(problem, rules)
    assert plan.relaxed
    assert plan.planned == 8
    kinds = problem.cards.kinds[plan.order]
    # Two ads with two products between them, one before them, and one after: then only ads are left.
    assert kinds.tolist() == [PRODUCT, AD, PRODUCT, PRODUCT, AD, PRODUCT, AD, AD]
    assert plan.kept == 6
    kept = Plan(plan.order, 6, 0.0)
    assert violations(Problem(problem.cards, places=6), rules, kept) == []


@pytest.mark.parametrize("solver", ["dp", "beam", "greedy"])
def test_no_rule_is_given_up_if_an_earlier_one_is_enough(solver: str) -> None:
    """Ads at places 4, 7 and 10 break only `at_most`. With the first two at 6 and 9, the third would break `gap`."""
    rules = _rules({"gap": 3, "first": 4, "at_most": 2}, page=10)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        problem = Problem(_cards(rng.permutation([PRODUCT] * 7 + [AD] * 3).tolist()), places=10)
        values = PairValues(rng.normal(size=(10, 10, 3)))
        plan = solve(problem, rules, values, solver=solver)
        assert plan.relaxed == ("at_most",)
        assert faults(problem, rules, plan, {}) == []


@pytest.mark.parametrize("exact", [True, False])
def test_rules_are_given_up_in_their_order_and_only_if_no_plan_follows_them(exact: bool) -> None:
    relaxed = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        problem, rules, caps = draw(rng, most_places=5)
        plan = solve(problem, rules, (pair_values if exact else window_values)(rng, problem, rules), caps=caps)
        assert faults(problem, rules, plan, caps) == []
        if plan.relaxed:
            relaxed += 1
            assert plans(problem, *before_last(rules, caps, plan.relaxed)) == []
    assert relaxed > 20


def test_a_rule_that_may_not_be_given_up_holds_for_as_many_places_as_possible() -> None:
    problem = Problem(_cards([AD, AD, AD, PRODUCT, PRODUCT, PRODUCT]), places=6)
    plan = _solve(problem, _rules({"gap": 4, "first": 2}, relax=["at_least", "first"]))
    assert plan.relaxed == ("all",)
    kinds = problem.cards.kinds[plan.order].tolist()
    assert kinds == [AD, PRODUCT, PRODUCT, PRODUCT, AD, AD], "without `first`, five places keep the gap"


@pytest.mark.parametrize(
    ("ad", "seen", "expected"),
    [
        ({"gap": 4}, [PRODUCT, AD], "gap"),
        ({"first": 5}, [PRODUCT], "first"),
        ({"at_most": 1}, [AD, PRODUCT], "at_most"),
        ({"advertiser_gap": 4}, [AD], "advertiser_gap"),
    ],
)
def test_a_rule_that_forbids_every_card_is_given_up(ad: dict[str, Any], seen: list[int], expected: str) -> None:
    problem = Problem(_cards([AD], [7]), _cards(seen, [7] * len(seen)), places=1)
    plan = _solve(problem, _rules(ad))
    assert plan.relaxed[-1] == expected
    for name in (expected,):
        assert _solve(problem, _rules(ad, relax=[name])).relaxed == (name,)


def test_without_rules_to_give_up_the_base_order_stands() -> None:
    problem = Problem(_cards([AD, AD, PRODUCT], [1, 1, 0]), _cards([AD], [1]), places=3)
    plan = _solve(problem, _rules({"gap": 3, "advertiser_gap": 3}, relax=[]))
    assert plan.relaxed == ("all",)
    plan = _solve(Problem(_cards([AD, AD]), _cards([AD]), places=2), _rules({"gap": 3}, relax=["at_least", "first"]))
    assert plan.relaxed == ("all",)
    assert plan.order.tolist() == [0, 1]


def test_another_order_of_the_cards_lets_advertisers_keep_their_distance() -> None:
    rules = _rules({"advertiser_gap": 2}, relax=["at_least", "order", "advertiser_gap"])
    plan = _solve(Problem(_cards([AD] * 4, [1, 1, 2, 2]), places=4), rules)
    assert plan.relaxed == ("order",)
    advertisers = np.array([1, 1, 2, 2])[plan.order].tolist()
    assert advertisers in ([1, 2, 1, 2], [2, 1, 2, 1])


@pytest.mark.parametrize("solver", ["dp", "beam", "greedy"])
def test_caps_hold_and_are_given_up_before_rules(solver: str) -> None:
    rules, problem = _rules({"at_most": 3}), Problem(_cards([PRODUCT] * 5 + [AD] * 5), places=6)
    for least, most in ((0, 0), (2, 2), (0, 1)):
        plan = _solve(problem, rules, solver=solver, caps={(0, AD): (least, most)})
        count = int((problem.cards.kinds[plan.order[:6]] == AD).sum())
        assert plan.relaxed == (() if most else ("shares",))
        assert least <= count <= max(most, 1)
    plan = _solve(problem, rules, solver=solver, caps={(0, AD): (0, 50), (0, PRODUCT): (0, 2)})
    assert plan.relaxed == ("shares",)
    assert (problem.cards.kinds[plan.order[:5]] == AD).sum() >= 3, "both caps hold for the first five places"


def test_a_rule_wins_over_a_cap() -> None:
    rules, problem = _rules({"at_least": 2}), Problem(_cards([PRODUCT] * 6 + [AD] * 4), places=6)
    plan = _solve(problem, rules, caps={(0, AD): (0, 1)})
    assert plan.relaxed == ()
    assert (problem.cards.kinds[plan.order[:6]] == AD).sum() == 2


@pytest.mark.parametrize("wide", [False, True])
def test_without_a_graph_the_same_rules_are_given_up(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wide:
        monkeypatch.setattr(solve_module, "SMALL", -1)
    rules = _rules({"gap": 3, "first": 2, "at_most": 2, "at_least": 1})
    assert _solve(Problem(_cards([PRODUCT] * 8), places=6), rules).relaxed == ("at_least",)
    only_ads = _solve(Problem(_cards([AD] * 4), places=4), rules)
    assert only_ads.relaxed == ("at_most", "first", "gap")
    assert only_ads.solver == ("beam" if wide else "dp")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_error(wrong: float) -> None:
    table = np.ones((2, 3, 3))
    table[1, 2, 0] = wrong
    with pytest.raises(NotFiniteError, match=r"received -?(nan|inf) for candidate 2 at place 2 of the plan"):
        solve(Problem(_cards([0, 1, 0]), places=2), _rules({}), PairValues(table))


def test_beam_refuses_a_value_that_is_not_finite() -> None:
    class Later(PairValues):
        exact = False

        def extend(self, place: int | np.ndarray, prefixes: Any, cards: np.ndarray) -> tuple[np.ndarray, None]:
            return (np.full(cards.shape, np.nan), None) if place == 1 else super().extend(place, prefixes, cards)

    with pytest.raises(NotFiniteError, match="values should be finite"):
        solve(Problem(_cards([0, 1, 0]), places=2), _rules({}), Later(np.ones((2, 3, 3))))


def test_an_unknown_kind_and_wrong_lengths_are_errors() -> None:
    values = PairValues(np.ones((1, 1, 3)))
    with pytest.raises(ShapeError, match=r"kinds of `cards` should be from 0 to 1 \(product, ad\); received 2"):
        solve(Problem(_cards([2]), places=1), _rules({}), values)
    with pytest.raises(ShapeError, match=r"kinds of `seen` should be from 0 to 1 .* received -1"):
        solve(Problem(_cards([0]), _cards([-1]), places=1), _rules({}), values)
    with pytest.raises(ShapeError, match="as many kinds as advertisers; received 1 and 0"):
        solve(Problem(Cards(np.zeros(1, np.int64), np.zeros(0, np.int64)), places=1), _rules({}), values)
    with pytest.raises(ShapeError, match=r"shape \(1, 2, 3\); received \(1, 1, 3\)"):
        solve(Problem(_cards([0, 0]), places=1), _rules({}), values)
    with pytest.raises(ShapeError, match="`places` should be at least 1"):
        solve(Problem(_cards([0]), places=0), _rules({}), values)


def test_dp_says_what_to_do_if_a_problem_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solve_module, "LARGEST", 1)
    with pytest.raises(ConfigurationError, match="too large for solver `dp`: use solver `auto` or `beam`"):
        _solve(Problem(_cards([0, 1]), places=2), _rules({}), solver="dp")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"kinds": {"ad": {"at_least": 3, "at_most": 2}}}, "at_least (3) should be at most at_most (2)"),
        ({"page": 6, "kinds": {"ad": {"at_least": 3, "gap": 3}}}, "do not fit on a page of 6: at most 2 do"),
        ({"page": 3, "kinds": {"ad": {"at_least": 2}, "video": {"at_least": 2}}}, "the sum is 4"),
        ({"kinds": {"ad": {"share": [0, 0.4]}, "video": {"share": [0, 0.5]}}}, "the largest to 0.9"),
    ],
)
def test_rules_that_contradict_each_other_are_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_rules({"format": 1, **changes}, where="rules.toml")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
