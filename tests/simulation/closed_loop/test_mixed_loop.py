"""The closed loop of a mixed world: users, recall and tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec.core.resumable import resumable_folder
from edgerec.data.logs import load_logs
from edgerec.simulation.closed_loop.blocks import EXPOSURE_COLUMNS, MIXED_EXPOSURE_COLUMNS, Plan
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.recall import SimulatedRecall
from edgerec.simulation.closed_loop.simulate_buckets import read_table, simulate_buckets
from edgerec.simulation.closed_loop.user import SimulatedUser
from edgerec.simulation.config import BehaviourConfig, CloudConfig, SimulationConfig
from edgerec.simulation.feed import DAY_MS
from edgerec.simulation.mixed.config import AD, KINDS, PRODUCT, MixedConfig
from edgerec.simulation.mixed.pattern import SLOTS

CONFIG = SimulationConfig(
    users=10, items=300, days=4, categories=5, cloud=CloudConfig(page=20, recall=48), mix=MixedConfig()
)
WORLD = LoopWorld(CONFIG, 1)
USER, NOW = 11, WORLD.start_ms + DAY_MS


def cards(kind: int, world: LoopWorld = WORLD) -> list[int]:
    """Return rows of cards of a kind, of different categories where possible."""
    assert world.cards is not None
    rows = np.flatnonzero(world.cards.kind == kind)
    return rows[np.argsort(world.catalogue.category[rows] * 1000 + np.arange(len(rows)) % 7)].tolist()


def begun(world: LoopWorld = WORLD) -> SimulatedUser:
    user = SimulatedUser(world, USER)
    user.begin_session(None)
    return user


def test_ads_change_the_clicks_on_the_cards_after_them() -> None:
    # Nothing else changes: no clicks, no contrast, no fatigue, no fading attention, no category.
    still = BehaviourConfig(bias=-6, price_contrast=0, intent_drift=0, category_fatigue=0)
    mix = MixedConfig(attention=0, same_kind=0, other_kind=0)
    world = replace(WORLD, config=replace(CONFIG, behaviour=still, mix=mix))
    user, ads, product = begun(world), cards(AD, world), cards(PRODUCT, world)[0]
    before = user.probabilities([ads[2], product], NOW)
    user.look(ads[0], NOW)
    once = user.probabilities([ads[2], product], NOW)
    user.look(ads[1], NOW)
    twice = user.probabilities([ads[2], product], NOW)
    assert (once < before).all()
    assert (twice < once).all()
    assert once[0] / before[0] < once[1] / before[1]


def test_the_probability_before_a_look_is_the_one_of_the_look() -> None:
    user = begun()
    for item in [cards(AD)[0], cards(PRODUCT)[0], cards(AD)[1], cards(PRODUCT)[1]]:
        expected = user.probabilities([cards(PRODUCT)[5], item], NOW)[1]
        assert user.look(item, NOW).probability == pytest.approx(float(expected), rel=1e-6)


def test_a_user_of_a_mixed_world_has_the_traits_of_the_plain_one() -> None:
    plain = SimulatedUser(LoopWorld(replace(CONFIG, mix=None), 1), USER)
    mixed = SimulatedUser(WORLD, USER)
    assert mixed.planned == plain.planned
    assert plain.card(0) is None
    assert mixed.card(cards(AD)[0]) == ("ad", 3.0)


def test_recall_serves_quotas_in_the_cloud_s_own_mix() -> None:
    recall = SimulatedRecall(WORLD)
    items, scores = recall.candidates(USER, 20, [], NOW)
    assert WORLD.cards is not None
    kinds = [int(WORLD.cards.kind[WORLD.row_of[item]]) for item in items.tolist()]
    assert Counter(kinds) == Counter({0: 10, 1: 4, 2: 2, 3: 4})
    assert kinds[:10] == list(SLOTS)
    for kind in range(len(KINDS)):
        of_kind = scores[np.array(kinds) == kind]
        assert (np.diff(of_kind) <= 0).all()
    more = recall.candidates(USER, 40, items.tolist(), NOW)[0]
    assert len(more) == 40
    assert not set(more.tolist()) & set(items.tolist())


def test_what_a_kind_lacks_other_kinds_fill_up() -> None:
    few = replace(MixedConfig(), live=replace(MixedConfig().live, items=0.005))
    world = replace(WORLD, config=replace(CONFIG, mix=few))
    items = SimulatedRecall(world).candidates(USER, 60, [], NOW)[0]
    assert len(set(items.tolist())) == 60


def test_exposures_have_kind_worth_and_exit(tmp_path: Path) -> None:
    plan = Plan(WORLD, (Bucket("cloud", page=20, prefetch=5),), 61, 3, "paired", 0, logs=True)
    with resumable_folder(tmp_path / "test", kind="ab_test", job={}, force=False, resume=False) as work:
        simulate_buckets(plan, work, processes=1, servers=False)
    table = read_table(tmp_path / "test", "exposures")
    assert table.schema == {**EXPOSURE_COLUMNS, **MIXED_EXPOSURE_COLUMNS}
    worth = dict(zip(KINDS, [1.0, 0.4, 0.8, 3.0], strict=True))
    assert all(value == pytest.approx(worth[kind]) for kind, value in table.select("kind", "worth").iter_rows())
    sessions = table.group_by("user_id", "session", maintain_order=True).agg(pl.col("left"))
    assert all(not any(left[:-1]) for left in sessions["left"].to_list())
    assert sum(left[-1] for left in sessions["left"].to_list()) > 0
    logs = load_logs(tmp_path / "test" / "logs" / "cloud")
    assert logs.spec == WORLD.spec
    assert set(logs.items["card_kind"]) == set(KINDS)


def test_after_the_last_card_of_the_feed_there_is_no_exit(tmp_path: Path) -> None:
    config = replace(CONFIG, pages=1, cloud=CloudConfig(page=3, recall=12), behaviour=BehaviourConfig(leave=0.4))
    plan = Plan(LoopWorld(config, 1), (Bucket("cloud", page=3, prefetch=1),), 61, 6, "paired", 0, logs=False)
    with resumable_folder(tmp_path / "test", kind="ab_test", job={}, force=False, resume=False) as work:
        simulate_buckets(plan, work, processes=1, servers=False)
    left = dict(read_table(tmp_path / "test", "exposures").group_by("position").agg(pl.col("left")).iter_rows())
    assert any(left[1])
    assert len(left[3]) > 5
    assert not any(left[3])
