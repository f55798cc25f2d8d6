"""The values of plans by ESAN."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.core.errors import InputError
from edgerec.mixing.esan_values import EsanValues
from edgerec.mixing.head import CardVectors, neighbour_vectors
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.slate import NONE
from edgerec.mixing.surroundings import Surroundings, place_row
from edgerec.mixing.values import Prefixes, value_of
from tests.mixing.esan_problems import KINDS, random_head, random_problem, random_vectors, repeated, rules_of

PRIOR = MixPrior(
    version_id="v",
    calibration={"product": (0.8, -0.1), "ad": (1.2, 0.3)},
    examination=[1.0, 0.9, 0.7],
    prices={"ad": 0.4},
    later=2.0,
    departures={"ad": 0.05},
)
# The rules and the model list the kinds in different orders.
RULES = rules_of("ad", "live", "product", "video")


@pytest.mark.parametrize("seen", [0, 1, 3, 20])
def test_sum_of_extensions_is_value_of_list(seen):
    rng = np.random.default_rng(seen)
    head, vectors, problem = random_head(rng), random_vectors(rng, 12), random_problem(rng, 12, seen=seen)
    values = EsanValues.of(head, vectors, problem, RULES, prior=PRIOR)
    order = rng.permutation(12)
    codes = np.array([1 + KINDS.index(name) for name in RULES.names])
    around = Surroundings.in_list(codes[problem.cards.kinds[order]], codes[problem.seen.kinds])
    shown = CardVectors(vectors.own[order], vectors.before[order], vectors.after[order])
    logits = head.logits(neighbour_vectors(shown), around).astype(np.float64)
    names = [RULES.names[kind] for kind in problem.cards.kinds[order]]
    expected = 0.0
    for place, (name, logit) in enumerate(zip(names, logits, strict=True)):
        scale, shift = PRIOR.calibration.get(name, (1.0, 0.0))
        rate = 1 / (1 + np.exp(-(scale * logit + shift)))
        cost = PRIOR.prices.get(name, 0.0) + PRIOR.departures.get(name, 0.0) * PRIOR.later
        expected += PRIOR.examination[min(place, 2)] * (rate * RULES.kinds[name].worth - cost)
    assert value_of(values, problem, order, 12) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seen", [0, 2])
def test_batch_equals_single_with_and_without_what_is_known(seen):
    rng = np.random.default_rng(5)
    head, vectors, problem = random_head(rng), random_vectors(rng, 12), random_problem(rng, 12, seen=seen)
    values = EsanValues.of(head, vectors, problem, RULES, prior=PRIOR)
    sources = [np.flatnonzero(problem.cards.kinds == kind) for kind in range(4)]
    prefixes, kinds = repeated(Prefixes.start(problem, 4), 4), np.arange(4)
    for place in range(5):
        cards = np.array([rng.choice(source, 4) for source in sources])
        together, known = values.extend(place, prefixes, cards)
        for i in kinds:
            alone = Prefixes(prefixes.shown[:, [i]], prefixes.kinds[[i]], prefixes.cards[:, [i]])
            np.testing.assert_allclose(together[:, [i]], values.extend(place, alone, cards[:, [i]])[0], atol=1e-6)
        # Each plan grows from another one, by a card of another kind.
        parents = rng.permutation(4)
        prefixes = prefixes.grow(parents, cards[kinds, parents], kinds, known.take(kinds * 4 + parents))


def test_table_knows_kind_of_card_before():
    rng = np.random.default_rng(6)
    head, vectors, problem = random_head(rng), random_vectors(rng, 5), random_problem(rng, 5)
    table = EsanValues.of(head, vectors, problem, RULES).table(3)
    assert table.shape == (3, 5, 5)
    for card, kind in enumerate(problem.cards.kinds):
        own = head.code(RULES.names[kind])
        for column, row in enumerate([*(2 + head.code(name) for name in RULES.names), 1]):
            hidden = vectors.own[card] + head.previous[own, row]
            logit = np.maximum(hidden, 0) @ head.output + head.bias[0] + head.place[place_row(np.int64(2))]
            assert table[2, card, column] == pytest.approx(RULES.kinds[RULES.names[kind]].worth / (1 + np.exp(-logit)))


def test_worth_and_prices_of_single_cards():
    rng = np.random.default_rng(7)
    head, vectors, problem = random_head(rng), random_vectors(rng, 3), random_problem(rng, 3)
    free = EsanValues.of(head, vectors, problem, RULES, worth=np.ones(3), prices=np.zeros(3)).table(1)
    dear = EsanValues.of(head, vectors, problem, RULES, worth=np.full(3, 2.0), prices=np.full(3, 0.5)).table(1)
    np.testing.assert_allclose(dear, 2 * free - 0.5)


def test_kind_that_model_does_not_know_has_code_0():
    rng = np.random.default_rng(8)
    head, vectors, problem = random_head(rng, kinds=("product",)), random_vectors(rng, 4), random_problem(rng, 4)
    values = EsanValues.of(head, vectors, problem, RULES)
    assert np.isfinite(values.table(2)).all()
    np.testing.assert_array_equal(values.tables.previous[0, 1], head.previous[0, 2])


def test_vectors_of_other_candidates_are_refused():
    rng = np.random.default_rng(9)
    with pytest.raises(InputError, match="should be those of 4 candidates with 8 numbers each; received shape"):
        EsanValues.of(random_head(rng), random_vectors(rng, 3), random_problem(rng, 4), RULES)


def test_surroundings_of_list():
    around = Surroundings.in_list(np.array([1, 2, 1, 1]), np.array([3, 1]))
    assert around.previous.tolist() == [2 + 1, 2 + 1, 2 + 2, 2 + 1]
    assert around.following.tolist() == [1 + 2, 1 + 1, 1 + 1, 0]
    assert around.distance.tolist() == [1, 8, 2, 1]
    assert around.count.tolist() == [1 + 1, 1 + 0, 1 + 2, 1 + 3]
    assert around.place.tolist() == [3, 4, 5, 6]
    top = Surroundings.in_list(np.array([2]), np.zeros(0, np.int64))
    assert (top.previous.tolist(), top.distance.tolist(), top.place.tolist()) == ([1], [8], [1])
    assert NONE == -1
