"""How near the beam comes to the best plan if values depend on surroundings, as those of ESAN do."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from edgerec.mixing.esan_values import EsanValues
from edgerec.mixing.head import CardVectors
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Cards, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import Prefixes
from edgerec.mixing.violations import violations
from tests.mixing.esan_problems import KINDS, random_head, random_vectors, repeated

PLACES = 8
TABLES = ("previous", "following", "distance", "count")
RULES = MixRules.model_validate(
    {
        "kinds": {
            "product": {},
            "video": {"worth": 0.4},
            "live": {"worth": 0.8},
            "ad": {"worth": 3.0, "gap": 4, "first": 4},
        }
    }
)


def _problem(seed: int) -> tuple[Problem, EsanValues]:
    """Return a list whose neighbours matter about as much as the cards themselves, as after training."""
    rng = np.random.default_rng(seed)
    head = random_head(rng)
    tables = {name: (0.1 if name in ("distance", "count") else 0.4) * getattr(head, name) for name in TABLES}
    head = dataclasses.replace(head, **tables, place=0.1 * head.place, bias=np.array([-2.0], np.float32))
    vectors = random_vectors(rng, 30)
    # The best cards stand first, as after a re-rank.
    order = np.argsort(-np.maximum(vectors.own, 0) @ head.output)
    vectors = CardVectors(vectors.own[order], 0.3 * vectors.before[order], 0.3 * vectors.after[order])
    kinds = rng.choice(len(KINDS), 30, p=[0.4, 0.2, 0.15, 0.25])
    problem = Problem(Cards(kinds, np.zeros(30, np.int64)), places=PLACES)
    return problem, EsanValues.of(head, vectors, problem, RULES)


def best_value(problem: Problem, values: EsanValues) -> float:
    """Return the value of the best of all plans."""
    patterns = np.array(list(itertools.product(range(len(KINDS)), repeat=PLACES)))
    ads = patterns == KINDS.index("ad")
    right = ~ads[:, :3].any(axis=1)
    for apart in range(1, 4):
        right &= ~(ads[:, apart:] & ads[:, :-apart]).any(axis=1)
    sources = [np.flatnonzero(problem.cards.kinds == kind) for kind in range(len(KINDS))]
    for kind, source in enumerate(sources):
        right &= (patterns == kind).sum(axis=1) <= len(source)
    patterns = patterns[right]
    prefixes = repeated(Prefixes.start(problem, len(KINDS)), len(patterns))
    taken, total = np.zeros((len(patterns), len(KINDS)), np.int64), np.zeros(len(patterns))
    for place, kinds in enumerate(patterns.T):
        rows = np.arange(len(kinds))
        following = np.array([source[np.minimum(taken[:, k], len(source) - 1)] for k, source in enumerate(sources)])
        gains, _ = values.extend(place, prefixes, following)
        total += gains[kinds, rows]
        taken[rows, kinds] += 1
        prefixes = prefixes.grow(rows, following[kinds, rows], kinds)
    return float(total.max())


def test_beam_finds_nearly_the_best_of_all_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [_problem(seed) for seed in range(6)]
    best = [best_value(*one) for one in drawn]

    def gap() -> float:
        plans = [solve(problem, RULES, values) for problem, values in drawn]
        for (problem, _), plan in zip(drawn, plans, strict=True):
            assert plan.solver == "beam"
            assert violations(problem, RULES, plan) == []
            assert not plan.relaxed
        gaps = [1 - plan.value / value for plan, value in zip(plans, best, strict=True)]
        assert min(gaps) > -1e-6
        return float(np.mean(gaps))

    assert gap() < 0.003
    # With the table alone to guide the beam, the same lists show that the check can fail.
    monkeypatch.setattr(EsanValues, "pairs", lambda *arguments: None)
    assert gap() > 0.005


def test_pairs_are_exact_where_nothing_else_matters() -> None:
    """Without tables and without cards after, a pair decides the value."""
    problem, values = _problem(3)
    blank = dataclasses.replace(
        values.tables,
        **{name: np.zeros_like(getattr(values.tables, name)) for name in ("previous", "shown", "back", "following")},
    )
    values = dataclasses.replace(values, tables=blank, after=np.zeros_like(values.after))
    cards = np.array([4, 9, 2])
    pairs = values.pairs(1, 3, cards, np.array([4, 2, 1, 1]))
    assert pairs.shape == (2, 3, 4)
    for (own, card), (column, before) in itertools.product(enumerate(cards), enumerate([*cards, -1])):
        kind = problem.cards.kinds[before] if before >= 0 else -1
        prefixes = Prefixes(np.zeros((len(KINDS), 1), np.int64), np.array([kind]), np.array([[-1], [before]]))
        gains, _ = values.extend(2, prefixes, np.full((len(KINDS), 1), card))
        assert pairs[1, own, column] == pytest.approx(gains[problem.cards.kinds[card], 0], abs=1e-5)
