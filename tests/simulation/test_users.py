from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgerec.simulation.actions import ACTIONS, BOUGHT_ALREADY, NONE, SEEN_TOO_OFTEN, Exposures, interest_of
from edgerec.simulation.config import BehaviourConfig, SimulationConfig
from edgerec.simulation.users import UserStates
from edgerec.simulation.world import make_users

CALM = BehaviourConfig(bias=-2, intent_drift=0, deletes=0, slips=0, price_contrast=0)
EVERYBODY = np.arange(2)
NO_UTILITY = np.zeros(2, np.float32)


def user_states(config: BehaviourConfig = CALM, *, users: int = 2, seed: int = 0) -> UserStates:
    """Return the states of some users in a world of two equally popular categories."""
    rng = np.random.default_rng(seed)
    states = UserStates(
        make_users(SimulationConfig(categories=2, behaviour=config), 0, users, rng), np.array([0.5, 0.5]), config, rng
    )
    states.begin_sessions(np.arange(users), np.full(users, np.inf, np.float32))
    return states


def expose(
    who: UserStates, category: list[int], probability: float, seen: float = 0, price_level: tuple[int, int] = (3, 3)
) -> Exposures:
    return who.expose(
        EVERYBODY, np.array(category), np.array(price_level), np.zeros(2, np.float32),
        np.full(2, probability, np.float32), np.full(2, seen, np.float32),
    )  # fmt: skip


def test_the_click_probability_equals_equation_1() -> None:
    config = BehaviourConfig(
        bias=-1, intent=2, category_fatigue=0.5, item_fatigue=0.25, item_fatigue_power=0.5, intent_drift=0, deletes=0,
        price_contrast=0.3, price_forgetting=0.5,
    )  # fmt: skip
    users = user_states(config)
    users.intents.share[:] = [[0.25, 0.75], [1, 0]]
    users.reference_level[:] = [1, 4]
    expose(users, [0, 1], 0.0, price_level=(5, 2))
    np.testing.assert_allclose(users.reference_level, [3, 3])
    logits = users.logits(
        np.array([[0], [1]]), np.array([[0, 1], [0, 1]]), np.array([[0, 0], [-2, 1]], np.float32),
        np.array([[0.0, 0.5], [0, 0]], np.float32), np.array([[0, 4], [0, 0]], np.float32),
    )  # fmt: skip
    expected = [
        [-1 + 2 * 0.5 - 0.5 * np.log(2), -1 + 0.5 + 2 * np.sqrt(0.75) - 0.25 * 2],
        [-1 + 2 + 0.3 * 2, -1 - 0.5 * np.log(2) - 0.3],
    ]
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


def test_a_page_view_with_more_actions_moves_more_intent_to_its_category() -> None:
    users = user_states(users=2000)
    who = np.arange(2000)
    users.intents.share[:] = 0.5
    view = users.view(who, np.ones(2000, np.int64), np.full(2000, 0.1, np.float32), slips=True)
    kept = view.actions[:, list(ACTIONS).index("buy")] == 0
    np.testing.assert_allclose(users.intents.share.sum(axis=1), 1, rtol=1e-5)
    count_of_actions = view.actions.sum(axis=1)
    assert (users.intents.share[kept, 1] > 0.5).all()
    means = [users.intents.share[kept & (count_of_actions == count), 1].mean() for count in range(4)]
    assert means == sorted(means)


def test_a_click_by_mistake_has_no_actions_and_does_not_change_the_intent() -> None:
    users = user_states(BehaviourConfig(slips=1))
    before = users.intents.share.copy()
    view = users.view(EVERYBODY, np.array([0, 1]), np.full(2, 0.9, np.float32), slips=True)
    assert not view.actions.any()
    assert np.array_equal(users.intents.share, before)
    users.view(EVERYBODY, np.array([0, 1]), np.full(2, 0.9, np.float32), slips=False)
    assert not np.array_equal(users.intents.share, before)


def test_exposures_without_a_click_raise_the_fatigue_of_their_category_only() -> None:
    users = user_states()
    both = (
        np.array([[0], [1]]), np.array([[0, 1], [0, 1]]), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32),
        np.zeros((2, 2)),
    )  # fmt: skip
    before = users.logits(*both)
    expose(users, [0, 1], 0.0)
    after = users.logits(*both)
    assert (np.diag(after) < np.diag(before)).all()
    assert after[0, 1] == before[0, 1]
    assert after[1, 0] == before[1, 0]
    expose(users, [0, 1], 1.0)
    np.testing.assert_allclose(users.logits(*both), before)


def test_fatigue_decays_between_sessions() -> None:
    fatigue = []
    for away in (60.0, 86_400.0):
        users = user_states()
        for _ in range(10):
            expose(users, [0, 0], 0.0)
        users.begin_sessions(EVERYBODY, np.full(2, away, np.float32))
        fatigue.append(users.fatigue[0, 0])
    assert fatigue[0] > 9
    assert fatigue[1] < 0.01


def test_a_session_starts_with_the_preferred_price_level() -> None:
    config = SimulationConfig(categories=2, behaviour=CALM)
    people = make_users(config, 0, 2, np.random.default_rng(0))
    users = UserStates(people, np.array([0.5, 0.5]), CALM, np.random.default_rng(0))
    for _ in range(2):
        users.begin_sessions(EVERYBODY, np.full(2, 60, np.float32))
        np.testing.assert_array_equal(users.reference_level, people.price_level)
        expose(users, [0, 0], 0.0, price_level=(6, 1))
        assert (users.reference_level != people.price_level).all()


def test_the_reference_price_level_follows_the_items_shown_before() -> None:
    """For a list, `above_reference` returns the values that would result if its items were shown one by one."""
    users = user_states(replace(CALM, price_contrast=0.5, price_forgetting=0.3))
    levels = np.array([[7, 1, 1, 4], [1, 7, 7, 4]])
    ahead = users.above_reference(EVERYBODY, levels)
    shown = []
    for level in levels.T:
        shown.append(level - users.reference_level)
        expose(users, [0, 0], 0.0, price_level=(int(level[0]), int(level[1])))
    np.testing.assert_allclose(ahead, np.stack(shown, axis=1), atol=1e-5)
    users.intents.share[:] = 0.5
    after_cheap, after_expensive = users.logits(EVERYBODY, np.array([0, 0]), ahead[:, 3], NO_UTILITY, NO_UTILITY)
    assert after_expensive > after_cheap


def test_a_satisfied_user_stays_longer() -> None:
    users = user_states(BehaviourConfig(leave=0.2, patience=10))
    for _ in range(20):
        users.expose(
            EVERYBODY, EVERYBODY, np.array([3, 3]), np.zeros(2, np.float32), np.array([1.0, 0.0], np.float32),
            np.zeros(2, np.float32),
        )  # fmt: skip
    leaves = sum(users.leaving(EVERYBODY).astype(int) for _ in range(500))
    assert leaves[0] < 0.1 * leaves[1]


def test_each_removal_has_the_right_reason() -> None:
    users = user_states(BehaviourConfig(deletes=1), users=2)
    assert (expose(users, [0, 0], 0.0).reason != NONE).all()
    assert (expose(users, [0, 0], 0.0, seen=2).reason == SEEN_TOO_OFTEN).all()
    users._buy(EVERYBODY, np.array([0, 0]))
    assert (expose(users, [0, 0], 0.0, seen=2).reason == BOUGHT_ALREADY).all()
    assert (expose(users, [0, 0], 1.0).reason == NONE).all()


def test_a_new_intent_has_a_few_categories_that_have_items() -> None:
    rng, config = (
        np.random.default_rng(0),
        SimulationConfig(categories=9, behaviour=BehaviourConfig(intent_categories=3)),
    )
    popularity = np.array([0, 0.2, 0.2, 0, 0.2, 0.1, 0.1, 0.2, 0])
    users = UserStates(make_users(config, 0, 500, rng), popularity, config.behaviour, rng)
    users.begin_sessions(np.arange(500), np.full(500, np.inf, np.float32))
    np.testing.assert_allclose(users.intents.share.sum(axis=1), 1, rtol=1e-5)
    assert set((users.intents.share > 0).sum(axis=1).tolist()) == {1, 2, 3}
    assert not users.intents.share[:, popularity == 0].any()
    assert set(users.intents.draw_categories(np.arange(500)).tolist()) == {1, 2, 4, 5, 6, 7}


def test_interest_rises_from_0_to_1_with_the_click_probability() -> None:
    values = interest_of(np.array([0.0, 0.02, 1 / 13, 0.5, 1.0], np.float32)).tolist()
    assert values == sorted(values)
    assert values[0] == 0
    assert values[2] == pytest.approx(0.5, abs=1e-6)
    assert values[-1] == pytest.approx(1)
