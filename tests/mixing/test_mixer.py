"""The mixer: what each policy does with the same cards, and what follows the planned places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import ConfigurationError, NotFiniteError
from edgerec.mixing.cards import CardReader, cards_of
from edgerec.mixing.config import MixConfig, Policy
from edgerec.mixing.head import CardVectors
from edgerec.mixing.mixer import Mixed, Mixer
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.settings import MixSettings
from edgerec.mixing.slate import Cards, Plan, Problem
from edgerec.mixing.solve import solve
from edgerec.mixing.values import PointValues
from edgerec.mixing.violations import violations
from edgerec.mixing.walk import walk
from tests.mixing.esan_problems import random_head, random_vectors

P, V, A = 0, 1, 2


def rules_of(**ad: object) -> MixRules:
    kinds = {"product": {}, "video": {"worth": 0.5}, "ad": {"worth": 3, "share": (0, 0.2), **ad}}
    return MixRules.model_validate({"page": 10, "advertiser_column": "advertiser", "kinds": kinds})


def cards_from(*kinds: int, advertisers: tuple[int, ...] = ()) -> Cards:
    return Cards(np.array(kinds, np.int64), np.array(advertisers or [0] * len(kinds), np.int64))


def mixed(
    cards: Cards, *, policy: Policy = "price", rules: MixRules | None = None, seen: Cards | None = None, **more: object
) -> Mixed:
    settings = MixSettings(rules=rules or rules_of(), prior=more.pop("prior", None))  # type: ignore[arg-type]
    logits = np.linspace(0, -3, len(cards)).astype(np.float32)
    prices = more.pop("prices", {})
    mixer = Mixer(settings, MixConfig(policy=policy, **more))  # type: ignore[arg-type]
    return mixer.mix(cards, seen or Cards.none(), logits, prices=prices)  # type: ignore[arg-type]


FEED = cards_from(*[P] * 12, *[A] * 8)


def kinds_shown(found: Mixed, cards: Cards = FEED) -> list[int]:
    return cards.kinds[found.order].tolist()


def test_a_price_decides_how_many_ads_stand_on_a_page() -> None:
    counts = [kinds_shown(mixed(FEED, prices={"ad": price}))[:10].count(A) for price in (-5.0, 0.0, 5.0)]
    assert counts[0] == 8
    assert 0 < counts[1] < 8
    assert counts[2] == 0


@pytest.mark.parametrize("policy", ["page", "greedy"])
def test_caps_of_a_page_hold_on_the_first_pages(policy: Policy) -> None:
    shown = kinds_shown(mixed(FEED, policy=policy))
    assert shown[:10].count(A) == 2
    assert shown[:20].count(A) == 8, "there are no more products at the end"


def test_fixed_places_do_not_depend_on_values() -> None:
    free = kinds_shown(mixed(FEED, policy="fixed", targets={"ad": 0.2}))
    cheap = kinds_shown(mixed(FEED, policy="fixed", targets={"ad": 0.2}, prices={"ad": 100.0}))
    assert free == cheap
    assert free[:10].count(A) == 2


@settings(max_examples=30)
@given(st.data())
def test_a_mixed_order_follows_the_rules_at_every_place(data: st.DataObject) -> None:
    """Products have no rules, so that all rules can hold as long as there are products."""
    rules = rules_of(
        gap=data.draw(st.integers(1, 5)),
        first=data.draw(st.integers(1, 8)),
        advertiser_gap=data.draw(st.integers(1, 9)),
        at_most=data.draw(st.integers(0, 3)),
    )
    rest = data.draw(st.lists(st.sampled_from([V, A]), max_size=12))
    order = data.draw(st.permutations([P] * 25 + rest))
    cards = cards_from(*order, advertisers=tuple(data.draw(st.integers(0, 3)) for _ in order))
    seen = cards_from(*data.draw(st.lists(st.sampled_from([P, V]), max_size=12)))
    policy = data.draw(st.sampled_from(["price", "page", "greedy", "fixed"]))
    found = mixed(cards, policy=policy, rules=rules, seen=seen, places=10, prices={"ad": 0.2})
    assert sorted(found.order.tolist()) == list(range(len(cards)))
    last_product = max(place for place, card in enumerate(found.order) if cards.kinds[card] == P)
    plan = Plan(found.order, last_product + 1, 0.0, tuple(found.relaxed))
    assert violations(Problem(cards, seen, last_product + 1), rules, plan) == []


def test_a_walk_ends_where_no_card_is_allowed() -> None:
    rules = rules_of(gap=3)
    cards = cards_from(A, A, P, A)
    assert walk(rules, cards, Cards.none(), np.array([9.0, 8.0, 1.0, 7.0])) == [0, 2]
    order = mixed(cards, rules=rules, places=1).order.tolist()
    assert order == [0, 2, 1, 3], "cards that no rule allows yet come last"


def test_a_walk_hurries_where_a_page_needs_cards() -> None:
    rules = MixRules.model_validate({"page": 5, "kinds": {"product": {}, "video": {"at_least": 2, "gap": 2}}})
    kinds = [P] * 8 + [V] * 4
    order = walk(rules, cards_from(*kinds), Cards.none(), np.array([1.0] * 8 + [0.0] * 4))
    shown = [kinds[card] for card in order]
    assert shown[:5].count(V) == 2
    assert shown[5:10].count(V) == 2


@settings(max_examples=30)
@given(st.data())
def test_the_smallest_number_holds_in_the_plan_and_the_other_rules_hold_after_it(data: st.DataObject) -> None:
    rules = rules_of(gap=3, first=data.draw(st.integers(1, 4)), advertiser_gap=6, at_least=data.draw(st.integers(0, 2)))
    order = data.draw(st.permutations([P] * 25 + [A] * 6))
    cards = cards_from(*order, advertisers=tuple(data.draw(st.integers(1, 3)) for _ in order))
    found = mixed(cards, rules=rules, places=10)
    whole = Plan(found.order, 25, 0.0, ("at_least", *found.relaxed))
    assert violations(Problem(cards, places=10), rules, Plan(found.order, 10, 0.0, found.relaxed)) == []
    assert violations(Problem(cards, places=25), rules, whole) == []


def test_a_walk_does_not_look_ahead_as_far_as_a_plan() -> None:
    """The walk takes the ads so late that one advertiser's ads are too near; docs/mixing.md says so."""
    rules = MixRules.model_validate({"page": 6, "kinds": {"product": {}, "ad": {"at_least": 2, "advertiser_gap": 5}}})
    cards = cards_from(*[P] * 6, 1, 1, advertisers=(*[0] * 6, 7, 7))
    values = np.array([1.0] * 6 + [0.1] * 2)
    shown = cards.kinds[walk(rules, cards, Cards.none(), values)[:6]].tolist()
    assert shown.count(1) == 1
    plan = solve(Problem(cards, places=6), rules, PointValues(values, np.ones(8), np.zeros(8), np.ones(6), 2))
    assert not plan.relaxed
    assert cards.kinds[plan.order[:6]].tolist().count(1) == 2


@pytest.mark.parametrize("policy", ["page", "greedy"])
def test_shares_that_just_sum_to_one_fill_a_page(policy: Policy) -> None:
    """Rounded down, 0.333 and 0.667 of 20 places are 6 and 13."""
    kinds = {"product": {"share": (0, 0.667)}, "video": {"share": (0, 0)}, "ad": {"share": (0, 0.333)}}
    cards = cards_from(*[P, A] * 30)
    found = mixed(cards, policy=policy, rules=MixRules.model_validate({"page": 20, "kinds": kinds}))
    assert found.relaxed == ()
    assert kinds_shown(found, cards)[:20].count(A) <= 6


def test_relaxed_rules_are_named() -> None:
    found = mixed(cards_from(A, A, A, A), rules=rules_of(gap=4))
    assert found.relaxed == ("gap",)
    assert found.order.tolist() == [0, 1, 2, 3]


def test_calibration_and_departures_count() -> None:
    cards = cards_from(P, V)
    free = mixed(cards, prior=MixPrior(version_id="v", calibration={"product": (2.0, -1.0)}))
    assert free.rates.tolist() == pytest.approx([1 / (1 + np.exp(1)), 1 / (1 + np.exp(3))])
    leaving = MixPrior(version_id="v", later=10.0, departures={"product": 0.5}, examination=[1.0, 0.1])
    assert mixed(cards, prior=leaving).order.tolist() == [1, 0]


def test_an_empty_source_and_one_card() -> None:
    assert mixed(cards_from(P)).order.tolist() == [0]
    assert mixed(cards_from(A, A, A), rules=rules_of(gap=1)).order.tolist() == [0, 1, 2]


def test_scores_that_are_not_finite_are_refused() -> None:
    mixer = Mixer(MixSettings(rules=rules_of()), MixConfig())
    with pytest.raises(NotFiniteError, match="scores should be finite; NaN or infinite: 1 of 2"):
        mixer.mix(cards_from(P, A), Cards.none(), np.array([0.0, np.nan], np.float32), prices={})


def test_a_head_changes_order_and_predictions() -> None:
    """The predicted rates are those of the head for the order that is shown."""
    rng = np.random.default_rng(5)
    rules = MixRules.model_validate({"page": 6, "kinds": {"product": {}, "video": {}, "live": {}, "ad": {}}})
    head, vectors = random_head(rng), random_vectors(rng, 8)
    cards = cards_from(*rng.integers(0, 4, 8).tolist())
    seen = cards_from(0, 3)
    logits = head.relevance(vectors)
    mixer = Mixer(MixSettings(rules=rules), MixConfig(beam=64), head=head)
    found = mixer.mix(cards, seen, logits, vectors=vectors, prices={})
    plain = mixer.mix(cards, seen, logits, prices={})
    assert found.order.tolist() != plain.order.tolist()
    moved = CardVectors(vectors.own, vectors.before * 0, vectors.after * 0)
    assert not np.allclose(found.rates, mixer.mix(cards, seen, logits, vectors=moved, prices={}).rates)


def test_kinds_and_advertisers_of_raw_values() -> None:
    rules = MixRules.model_validate({"kinds": {"product": {}, "ad": {}}, "unknown": "ad"})
    reader = CardReader(rules)
    values = [("product", 3), ("ad", np.int64(7)), ("game", None), (None, True), (5, "x"), ("ad", 2**70)]
    found = cards_of(reader.read(kind, advertiser) for kind, advertiser in values)
    assert found.kinds.tolist() == [0, 1, 1, 1, 1, 1]
    assert found.advertisers.tolist() == [3, 7, 0, 0, 0, 0]
    assert [reader.knows(kind) for kind, _ in values] == [True, True, False, False, False, True]
    assert len(cards_of([])) == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prices": {"ad": float("nan")}}, "`prices` should have numbers from -1e\\+06 to 1e\\+06 by kind"),
        ({"targets": {"ad": 1.5}}, "`targets` should have numbers from 0 to 1 by kind; received 'ad': 1.5"),
        ({"targets": [1]}, "`targets` should be a mapping of kinds and numbers; received list"),
    ],
)
def test_wrong_prices_and_targets_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        MixConfig(**values)  # type: ignore[arg-type]
