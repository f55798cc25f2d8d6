from __future__ import annotations

import numpy as np
import pytest

from edgerec.simulation.config import BehaviourConfig, SimulationConfig
from edgerec.simulation.world import make_catalogue, make_users, utility


@pytest.fixture
def config() -> SimulationConfig:
    return SimulationConfig(items=3_000)


def test_item_ids_do_not_correlate_with_attributes(config: SimulationConfig) -> None:
    items = make_catalogue(config, np.random.default_rng(1))
    for hidden in (items.quality, items.price, items.category.astype(np.float64), np.diff(items.cumulative)):
        assert abs(np.corrcoef(items.item_id, hidden)[0, 1]) < 0.1


def test_each_brand_has_one_category_and_each_price_level_has_equally_many_items(config: SimulationConfig) -> None:
    items = make_catalogue(config, np.random.default_rng(1))
    assert np.array_equal(items.brand // config.brands_per_category, items.category)
    sizes = np.bincount(items.price_level)[1:]
    assert len(sizes) == 7
    assert sizes.max() - sizes.min() <= 1


def test_items_of_high_quality_are_more_popular_on_average(config: SimulationConfig) -> None:
    items = make_catalogue(config, np.random.default_rng(1))
    first = items.quality[items.starts[:-1][np.diff(items.starts) > 20]]
    assert first.mean() > items.quality.mean() + 0.5
    assert (np.diff(items.category) >= 0).all()


def test_fashion_oscillates_with_its_amplitude(config: SimulationConfig) -> None:
    items = make_catalogue(config, np.random.default_rng(1))
    weights = BehaviourConfig(quality=1, trend=2)
    days = np.linspace(0, 15, 200, dtype=np.float32)
    appeal = items.appeal(np.full(200, 7), days, weights) - items.quality[7]
    assert appeal.max() == pytest.approx(2, abs=0.05)
    assert appeal.min() == pytest.approx(-2, abs=0.05)


def test_utility_is_the_sum_stated_in_the_docs(config: SimulationConfig) -> None:
    weights = BehaviourConfig(trend=0, gender_mismatch=0.7, age_distance=0.15, price_distance=0.06, quality=0.6)
    items = make_catalogue(config, np.random.default_rng(1))
    users = make_users(config, 0, 5, np.random.default_rng(2))
    utilities = utility(
        items, users, np.arange(5)[:, None], np.arange(40)[None, :], np.zeros((5, 1), np.float32), weights
    )
    for user in range(5):
        for item in range(40):
            expected = (
                users.taste[user, items.category[item]]
                + 0.6 * items.quality[item]
                - 0.7 * (items.gender[item] not in (2, users.gender[user]))
                - 0.15 * abs(items.age_level[item] - users.age_level[user])
                - 0.06 * users.price_sensitivity[user] * (items.price_level[item] - users.price_level[user]) ** 2
            )
            assert utilities[user, item] == pytest.approx(expected, abs=1e-4)


def test_activity_has_its_configured_mean_and_a_long_tail(config: SimulationConfig) -> None:
    activity = make_users(config, 0, 20_000, np.random.default_rng(3)).activity
    assert activity.min() >= 1
    assert activity.mean() == pytest.approx(config.sessions_per_user, rel=0.02)
    assert np.median(activity) < activity.mean()
    assert np.quantile(activity, 0.99) > 2.2 * np.median(activity)
