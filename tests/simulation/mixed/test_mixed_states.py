"""How cards change what users do with the cards after them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgerec.simulation.mixed.config import AD, LIVE, PRODUCT, VIDEO, CardConfig, MixedConfig
from edgerec.simulation.mixed.states import MixedStates, decayed
from edgerec.simulation.mixed.traits import MixedTraits, make_traits
from edgerec.simulation.world import Floats, Ints

CONFIG = MixedConfig(
    ad=CardConfig(level=-1.0),
    ad_annoyance=2.0,
    ad_spill=1.0,
    ad_power=2.0,
    ad_memory=0.5,
    ad_leave=3.0,
    ad_hours=1.0,
    video_tiredness=1.0,
    video_rest=1.0,
    video_memory=0.5,
    video_hours=2.0,
    same_kind=-0.4,
    other_kind=0.6,
    attention=0.0,
)
ME = np.zeros(1, np.int64)


def average() -> MixedTraits:
    """Return one user who likes all kinds and is as sensitive as the median."""
    return MixedTraits(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.ones(1, np.float32))


def states(config: MixedConfig = CONFIG) -> MixedStates:
    made = MixedStates(config, average())
    made.begin_sessions(ME, np.array([np.inf], np.float32))
    return made


def row(*values: int) -> Ints:
    return np.array([values], np.int64)


def show(made: MixedStates, *kinds: int) -> None:
    for place, kind in enumerate(kinds):
        made.show(ME, np.array([kind]), np.array([100 + place]))


def neighbours(made: MixedStates, kind: int, category: int = 0) -> float:
    return float(made.effects(ME, row(kind), row(category), 0).neighbours[0, 0])


def test_a_decaying_count_before_each_card() -> None:
    hits = np.array([[True, False, True, False]])
    counts = decayed(np.array([8.0], np.float32), hits, 0.5)
    assert counts.tolist() == [[8.0, 5.0, 2.5, 2.25]]


def test_the_effect_of_ads_grows_like_a_power_and_fades() -> None:
    made = states()
    assert neighbours(made, AD) == neighbours(made, PRODUCT) == 0
    show(made, AD)
    assert (neighbours(made, AD), neighbours(made, PRODUCT)) == (-2.0, -1.0)
    assert made.leaving(ME).tolist() == [4.0]
    show(made, AD)
    # 1.5 remembered ads, squared.
    assert neighbours(made, PRODUCT) == -2.25
    show(made, PRODUCT)
    assert neighbours(made, PRODUCT) == pytest.approx(-0.5625)


def test_videos_tire_only_of_videos_and_more_with_each_one() -> None:
    made = states()
    first = [neighbours(made, VIDEO)]
    for _ in range(3):
        show(made, VIDEO)
        first.append(neighbours(made, VIDEO))
        assert neighbours(made, LIVE) == 0
    assert first[0] == 0
    assert np.diff(first).max() < 0
    # softplus(1 - 1) - softplus(0 - 1)
    assert first[1] == pytest.approx(-(np.log(2) - np.log1p(np.exp(-1))), abs=1e-6)


def test_a_card_of_the_same_category_helps_other_kinds_and_harms_its_own() -> None:
    made = states()
    made.show(ME, np.array([PRODUCT]), np.array([7]))
    assert neighbours(made, PRODUCT, 7) == pytest.approx(-0.4)
    assert neighbours(made, LIVE, 7) == pytest.approx(0.6)
    assert neighbours(made, PRODUCT, 8) == neighbours(made, LIVE, 8) == 0


def test_a_session_begins_without_a_last_card_and_with_what_time_has_left() -> None:
    made = states()
    show(made, AD, VIDEO)
    annoyance, videos = made.annoyance[0], made.videos[0]
    made.begin_sessions(ME, np.array([3600.0], np.float32))
    assert made.annoyance[0] == pytest.approx(annoyance * np.exp(-1))
    assert made.videos[0] == pytest.approx(videos * np.exp(-0.5))
    # The last card of the session before had this category.
    assert neighbours(made, PRODUCT, 101) == neighbours(made, PRODUCT, 5)


def test_attention_fades_with_the_place() -> None:
    made = states(replace(CONFIG, attention=0.8, attention_places=10.0))
    faded = made.effects(ME, row(PRODUCT, PRODUCT), row(1, 2), 9).attention
    assert faded[0] == pytest.approx([-0.8 * (1 - np.exp(-0.9)), -0.8 * (1 - np.exp(-1.0))])


def lists(users: int, cards: int, seed: int) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, (users, cards)), rng.integers(0, 3, (users, cards))


def test_effects_of_a_list_are_those_of_its_cards_one_after_the_other() -> None:
    kinds, categories = lists(5, 12, 1)
    made = MixedStates(MixedConfig(), make_traits(MixedConfig(), 5, np.random.default_rng(2)))
    who = np.arange(5)
    before = made.effects(who, kinds[:, :4], categories[:, :4], 0)
    for place in range(4):
        one = made.effects(who, kinds[:, place, None], categories[:, place, None], place)
        np.testing.assert_allclose(one.total[:, 0], before.total[:, place], rtol=1e-5, atol=1e-6)
        made.show(who, kinds[:, place], categories[:, place])


def test_many_users_at_once_equal_each_user_alone() -> None:
    kinds, categories = lists(6, 10, 3)
    config, rng = MixedConfig(), np.random.default_rng(4)
    traits = make_traits(config, 6, rng)
    together, results = MixedStates(config, traits), list[Floats]()
    for place in range(10):
        together.show(np.arange(6), kinds[:, place], categories[:, place])
    results.append(together.effects(np.arange(6), kinds, categories, 3).total)
    for user in range(6):
        own = MixedTraits(traits.affinity[[user]], traits.ad_sensitivity[[user]], traits.video_sensitivity[[user]])
        alone = MixedStates(config, own)
        for place in range(10):
            alone.show(ME, kinds[user, [place]], categories[user, [place]])
        np.testing.assert_array_equal(alone.effects(ME, kinds[[user]], categories[[user]], 3).total, results[0][[user]])
        np.testing.assert_array_equal(alone.leaving(ME), together.leaving(np.array([user])))
