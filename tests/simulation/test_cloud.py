from __future__ import annotations

import numpy as np
import pytest

from edgerec.simulation.cloud import Cloud
from edgerec.simulation.config import CloudConfig, SimulationConfig
from edgerec.simulation.history import History
from edgerec.simulation.world import make_catalogue, make_users

USERS = 30


@pytest.fixture
def config() -> SimulationConfig:
    return SimulationConfig(items=300, categories=12, users=USERS, cloud=CloudConfig(page=20, recall=60))


def cloud_of(config: SimulationConfig) -> Cloud:
    rng = np.random.default_rng(4)
    catalogue = make_catalogue(config, rng)
    return Cloud(config, catalogue, make_users(config, 0, USERS, rng), rng)


def test_a_page_has_distinct_items_sorted_by_score(config: SimulationConfig) -> None:
    who = np.arange(USERS)
    pages = cloud_of(config).serve(who, np.ones(USERS, np.float32), History(), who)
    assert pages.items.shape == pages.scores.shape == (USERS, 20)
    for items, scores, length in zip(pages.items, pages.scores, pages.length, strict=True):
        assert length == len(set(items[:length].tolist())) > 10
        assert scores[:length].tolist() == sorted(scores[:length].tolist(), reverse=True)
        assert ((items >= 0) & (items < 300)).all()


def test_items_already_shown_in_the_session_or_removed_are_not_served(config: SimulationConfig) -> None:
    who, history, session = np.arange(USERS), History(), np.full(USERS, 3)
    rng = np.random.default_rng(0)
    blocked = [rng.choice(300, 150, replace=False) for _ in who]
    keys = np.concatenate([user * 300 + items for user, items in zip(who, blocked, strict=True)])
    records = history.put(keys)
    history.session[records[::2]] = 3
    history.removed[records[1::2]] = True
    cloud = cloud_of(config)
    for _ in range(5):
        pages = cloud.serve(who, np.ones(USERS, np.float32), history, session)
        for items, length, excluded in zip(pages.items, pages.length, blocked, strict=True):
            assert not set(items[:length].tolist()) & set(excluded.tolist())


def test_page_views_raise_the_share_of_their_category_until_the_session_ends(config: SimulationConfig) -> None:
    noiseless = SimulationConfig(
        items=300, categories=12, cloud=CloudConfig(page=20, recall=60, noise=0, session=5, item_error=0)
    )
    rng = np.random.default_rng(4)
    catalogue = make_catalogue(noiseless, rng)
    cloud = Cloud(noiseless, catalogue, make_users(noiseless, 0, USERS, rng), rng)
    who = np.arange(USERS)
    wanted = np.full(USERS, 3)

    def share() -> float:
        pages = cloud.serve(who, np.ones(USERS, np.float32), History(), who)
        return float((catalogue.category[pages.items[:, :5]] == 3).mean())

    before = share()
    for _ in range(6):
        cloud.count_page_views(who, wanted)
    assert share() > before + 0.2
    cloud.begin_sessions(who)
    assert abs(share() - before) < 0.1


@pytest.mark.slow
def test_a_catalogue_with_1_5_million_brands_works() -> None:
    config = SimulationConfig(items=2_000_000, categories=1_000, brands_per_category=1_500, users=20)
    rng = np.random.default_rng(1)
    catalogue = make_catalogue(config, rng)
    assert catalogue.brand.max() < 1_500_000
    assert len(np.unique(catalogue.brand)) > 300_000
    assert np.array_equal(catalogue.brand // 1_500, catalogue.category)
    cloud = Cloud(config, catalogue, make_users(config, 0, 20, rng), rng)
    pages = cloud.serve(np.arange(20), np.ones(20, np.float32), History(), np.ones(20, np.int64))
    assert (pages.length == config.cloud.page).all()


def test_items_are_drawn_by_popularity_within_their_category() -> None:
    config = SimulationConfig(items=400, categories=8, zipf=1.0)
    rng = np.random.default_rng(1)
    catalogue = make_catalogue(config, rng)
    items = catalogue.draw(np.full(20_000, 2), rng.random(20_000))
    assert (catalogue.category[items] == 2).all()
    counts = np.bincount(items, minlength=400)[catalogue.starts[2] : catalogue.starts[3]]
    np.testing.assert_allclose(counts[1] / counts[0], 0.5, rtol=0.1)
    assert catalogue.draw(np.array([2, 2]), np.array([0.0, 1.0])).tolist() == [
        catalogue.starts[2], catalogue.starts[3] - 1,
    ]  # fmt: skip
