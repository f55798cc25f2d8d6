from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from edgerec.bench.mix.highs import highs
from edgerec.mixing import relaxation
from edgerec.mixing import solve as solve_module
from edgerec.mixing.limits import Caps, Limits, limits_of
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PointValues, value_of
from edgerec.mixing.violations import violations
from tests.mixing.problems import PairValues, best_value, draw, pair_values, window_values
from tests.mixing.strategies import problems

pytest.importorskip("scipy")


@settings(max_examples=50, deadline=None)
@given(problems())
def test_dp_has_the_value_that_highs_finds(drawn: tuple[Problem, MixRules, PairValues, Caps]) -> None:
    problem, rules, values, caps = drawn
    best = highs(problem, rules, values.table(problem.count), caps=caps)
    plan = solve(problem, rules, values, solver="dp", caps=caps)
    assert violations(problem, rules, plan, caps=caps) == []
    assert bool(plan.relaxed) == (best is None)
    if best is not None:
        assert plan.value == pytest.approx(best.value, abs=1e-9)
    assert plan.value == pytest.approx(value_of(values, problem, plan.order, plan.planned), abs=1e-9)


@pytest.mark.parametrize("solver", ["auto", "beam", "greedy"])
def test_solvers_break_no_rule_and_find_no_more_than_the_best_plan(solver: str) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        problem, rules, caps = draw(rng, most_places=5)
        values = pair_values(rng, problem, rules)
        best = best_value(problem, rules, values, caps)
        plan = solve(problem, rules, values, solver=solver, caps=caps)
        assert violations(problem, rules, plan, caps=caps) == []
        assert bool(plan.relaxed) == (best is None)
        if best is not None:
            assert plan.value <= best + 1e-9
            assert solver == "greedy" or plan.value >= best - 1e-9


@pytest.mark.parametrize("wide", [False, True], ids=["guided", "without_a_graph"])
def test_beam_finds_the_best_plan_where_values_depend_on_far_cards(wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wide:
        monkeypatch.setattr(solve_module, "SMALL", -1)
    gaps = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        problem, rules, caps = draw(rng, most_places=6)
        values = window_values(rng, problem, rules)
        best = best_value(problem, rules, values, caps)
        plan = solve(problem, rules, values, caps=caps)
        assert violations(problem, rules, plan, caps=caps) == []
        if best is not None:
            assert plan.solver == "beam"
            assert not plan.relaxed
            gaps.append((best - plan.value) / abs(best))
    assert len(gaps) > 10
    assert np.mean(gaps) < 0.001


def test_a_wider_beam_is_better_than_greedy() -> None:
    gains = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        kinds = rng.choice(3, 40, p=[0.5, 0.3, 0.2])
        rules = MixRules.model_validate({"kinds": {"product": {}, "video": {"at_most": 8}, "ad": {"gap": 4}}})
        problem = Problem(Cards(kinds, np.zeros(40, np.int64)), places=20)
        values = window_values(rng, problem, rules)
        found = {solver: solve(problem, rules, values, solver=solver).value for solver in ("beam", "greedy")}
        gains.append(found["beam"] / found["greedy"] - 1)
    assert min(gains) >= 0
    assert np.mean(gains) > 0.01


def test_equal_problems_have_equal_plans() -> None:
    rng = np.random.default_rng(5)
    problem, rules, caps = draw(rng)
    for values in (pair_values(rng, problem, rules), window_values(rng, problem, rules)):
        first, second = (solve(problem, rules, values, caps=caps) for _ in range(2))
        assert np.array_equal(first.order, second.order)
        assert first.value == second.value


def test_what_is_known_of_one_problem_does_not_change_another_one() -> None:
    """Spaces are kept for later problems, so one whose advertisers forbid much must leave nothing behind."""
    rules = MixRules.model_validate({"kinds": {"product": {}, "ad": {"advertiser_gap": 4}}})
    kinds = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    values = PointValues(np.linspace(0.9, 0.1, 8), np.ones(8), np.zeros(8), np.linspace(1, 0.3, 6), 2)
    for advertisers in ([1, 1, 1], [1, 2, 1], [1, 1, 1], [1, 2, 1]):
        problem = Problem(Cards(kinds, np.array([*advertisers, *[0] * 5])), places=6)
        best = highs(problem, rules, values.table(6))
        assert best is not None
        assert solve(problem, rules, values).value == pytest.approx(best.value)


def test_a_shorter_list_than_places_is_planned_whole() -> None:
    rules = MixRules.model_validate({"kinds": {"product": {}, "ad": {"first": 3}}})
    problem = Problem(Cards(np.array([1, 0, 0]), np.zeros(3, np.int64)), places=20)
    plan = solve(problem, rules, PairValues(np.ones((3, 3, 3))))
    assert plan.order.tolist() == [1, 2, 0]
    assert plan.planned == 3
    assert plan.relaxed == ()


def test_candidates_after_the_planned_places_keep_their_base_order() -> None:
    rules = MixRules.model_validate({"kinds": {"product": {}, "ad": {"at_most": 1}}})
    problem = Problem(Cards(np.array([1, 1, 0, 0, 0, 1]), np.zeros(6, np.int64)), places=3)
    table = np.ones((3, 6, 3))
    table[:, 0] = 2
    plan = solve(problem, rules, PairValues(table))
    assert sorted(plan.order[:3].tolist()) == [0, 2, 3]
    assert plan.order[3:].tolist() == [1, 4, 5]


def test_no_candidates_are_an_empty_plan() -> None:
    rules = MixRules.model_validate({"kinds": {"product": {}}})
    plan = solve(Problem(Cards.none()), rules, PairValues(np.zeros((20, 0, 2))))
    assert len(plan.order) == plan.planned == 0


@pytest.mark.parametrize("name", ["gap", "advertiser_gap", "first", "most", "least"])
def test_a_solver_that_breaks_a_rule_by_one_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks above could not fail if they did not find this."""

    def wrong(*arguments: Any, **settings: Any) -> Limits:
        limits = limits_of(*arguments, **settings)
        if name in ("most", "least"):
            step = 1 if name == "most" else -1
            pieces = (
                replace(one, **{name: tuple(max(count + step, 0) for count in getattr(one, name))})
                for one in limits.pieces
            )
            return replace(limits, pieces=tuple(pieces))
        least = 0 if name == "first" else 1
        return replace(limits, **{name: tuple(max(value - 1, least) for value in getattr(limits, name))})

    monkeypatch.setattr(relaxation, "limits_of", wrong)
    found = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        problem, rules, _ = draw(rng, free=True, most_cards=16)
        plan = solve(problem, rules, pair_values(rng, problem, rules))
        found += bool(violations(problem, rules, plan))
    assert found > 0


def test_pages_without_limits_are_one_page_of_the_graph() -> None:
    rules = MixRules.model_validate({"page": 4, "kinds": {"product": {}, "ad": {"gap": 3, "first": 2}}})
    limits = limits_of(rules, [0, 1], 9)
    (piece,) = limits.joined().pieces
    assert (len(limits.pieces), piece.start, piece.stop) == (3, 0, 9)
    # Two seen cards and nine more are on three pages, and no number of cards is too large for them.
    assert min(most - have for most, have in zip(piece.most, piece.already, strict=True)) >= 9
    for change in ({"at_most": 3}, {"at_least": 1}):
        bound = MixRules.model_validate({"page": 4, "kinds": {"product": {}, "ad": change}})
        bounded = limits_of(bound, [0, 1], 10)
        assert bounded.joined() is bounded


def test_a_plan_is_the_same_whether_or_not_its_pages_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rules = MixRules.model_validate(
            {"page": 5, "kinds": {"product": {}, "video": {}, "ad": {"gap": 3, "first": 2}}}
        )
        problem, _, _ = draw(rng, most_places=12, most_cards=16, least=0.8, like=rules)
        drawn.append((problem, rules, pair_values(rng, problem, rules)))
    joined = [solve(*one, solver="dp") for one in drawn]
    monkeypatch.setattr(Limits, "joined", lambda limits: limits)
    for one, plan in zip(drawn, joined, strict=True):
        assert solve(*one, solver="dp").value == pytest.approx(plan.value, abs=1e-9)
